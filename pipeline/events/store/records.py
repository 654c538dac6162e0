"""Events as they are stored and delivered, and queries of them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer

from pipeline.core.data import Event

Box = tuple[float, float, float, float]
NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)


def _rounded(digits: int) -> PlainSerializer:
    """Return what rounds a number as it becomes JSON."""
    return PlainSerializer(lambda value: round(value, digits), return_type=float)


_Hundredths = Annotated[float, _rounded(2)]
_Milliseconds = Annotated[float, _rounded(3)]
_Microseconds = Annotated[float, _rounded(6)]


def new_uid() -> str:
    """Return a new unique name of an event: 32 hexadecimal digits."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event: `time` in Unix seconds, `uid` its name everywhere; the rest as in `Event`.

    Cameras have events too ("lost", "live"): no area, track 0, no class.
    """

    time: float
    kind: str
    camera: str
    area: str = ""
    direction: str = ""
    track_id: int = 0
    class_id: int = -1
    class_name: str = ""
    dwell_s: float = 0.0
    index: int = 0
    pts_s: float = 0.0
    xyxy: Box = NOWHERE
    uid: str = field(default_factory=new_uid)

    @classmethod
    def of(cls, event: Event, utc_at_monotonic_zero: float) -> EventRecord:
        """Return the record of an event; `utc_at_monotonic_zero` in Unix seconds."""
        return cls(
            time=utc_at_monotonic_zero + event.captured_at,
            kind=event.kind,
            camera=event.source,
            area=event.area,
            direction=event.direction,
            track_id=event.track_id,
            class_id=event.class_id,
            class_name=event.class_name,
            dwell_s=event.dwell_s,
            index=event.index,
            pts_s=event.pts_s,
            xyxy=event.xyxy,
        )


class StoredEvent(BaseModel):
    """A stored event, as it is queried, delivered and answered by the REST interface."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: int
    uid: str
    """Its name, which no other event anywhere has."""
    time: _Milliseconds
    """Unix seconds."""
    kind: str
    camera: str
    area: str
    direction: str
    track_id: int
    class_name: str
    dwell_s: _Milliseconds
    index: int
    pts_s: _Microseconds
    xyxy: tuple[_Hundredths, _Hundredths, _Hundredths, _Hundredths]
    clip: bool
    """Whether a finished clip shows it."""
    clip_offset_s: _Milliseconds | None = None
    """Seconds from the clip's start to the event: events that overlap share one."""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as JSON, the same in the REST interface and in deliveries."""
        return self.model_dump(mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """A query of events, the newest first; None matches all.

    `before_id` and `after_id` exclude the event itself; `since` and `until` are Unix seconds,
    `until` excluded.
    """

    camera: str | None = None
    kind: str | None = None
    class_name: str | None = None
    area: str | None = None
    before_id: int | None = None
    after_id: int | None = None
    since: float | None = None
    until: float | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class EventCount:
    """The number of events of one kind and class at one zone or line."""

    camera: str
    area: str
    kind: str
    direction: str
    class_name: str
    count: int
