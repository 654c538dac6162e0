"""Events as they are stored and delivered, and queries for them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, PlainSerializer

from pipeline.core.data import Event

ZONE_KINDS = ("enter", "leave", "dwell")
LINE_KINDS = ("cross",)
Box = tuple[float, float, float, float]
NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)


def _rounded(digits: int) -> PlainSerializer:
    """Return a serializer that rounds a number in JSON."""
    return PlainSerializer(lambda value: round(value, digits), return_type=float)


_Hundredths = Annotated[float, _rounded(2)]
_Milliseconds = Annotated[float, _rounded(3)]
_Microseconds = Annotated[float, _rounded(6)]


def new_uid() -> str:
    """Return a new unique name of an event: 32 hexadecimal digits."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event: `time` in Unix seconds, `uid` globally unique; the rest as in `Event`.

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
    score: float | None = None
    uid: str = field(default_factory=new_uid)
    visit: str = ""
    """Name of the visit it belongs to; "" if that of its track is unknown."""

    @classmethod
    def of(cls, event: Event, utc_at_monotonic_zero: float, visit: str = "") -> EventRecord:
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
            score=event.score,
            visit=visit,
        )


class StoredEvent(BaseModel):
    """A stored event, as returned by queries and the REST interface, and as delivered."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: int
    uid: str
    """Globally unique name."""
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
    score: float | None = None
    """Best score of its track so far; null for cameras, and for events of older versions."""
    clip: bool
    """Whether a finished clip shows it."""
    clip_offset_s: _Milliseconds | None = None
    """Seconds from the clip's start to the event; overlapping events share a clip."""
    visit: int | None = None
    """Number of the visit it belongs to."""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as JSON, the same for the REST interface and for deliveries."""
        return self.model_dump(mode="json")


class Touched(BaseModel):
    """A visit's activity at one zone or line, or in the whole picture (`area` "")."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: str
    area: str
    direction: str


class StoredVisit(BaseModel):
    """All events of one track of one camera in one run, as returned by the REST interface.

    Track 0 is the camera itself, from "lost" until "live".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: int
    uid: str
    """Globally unique name."""
    camera: str
    track_id: int
    class_name: str
    started: _Milliseconds
    """Unix seconds of its first event."""
    ended: _Milliseconds | None
    """When the track was last seen; null while it is present."""
    seconds: _Milliseconds
    """Length in seconds; up to its latest event while it is present."""
    dwell_s: _Milliseconds
    """Its longest stay in a zone, in seconds."""
    events: int
    touched: tuple[Touched, ...]
    """What it did and where, in order of first occurrence."""
    event_id: int | None
    """Its first event, whose clip shows the start of the visit."""
    clip: bool
    """Whether a finished clip shows it."""
    clip_offset_s: _Milliseconds | None
    """Seconds from the clip's start to the first event."""
    thumbnail: int | None
    """A number that changes with the picture of its best moment; null while it has none."""
    revision: int
    """A number that grows with every change of any visit."""

    def as_dict(self) -> dict[str, Any]:
        """Return the visit as JSON."""
        return self.model_dump(mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """A query for events or visits, newest first; None matches all.

    `area` is a zone or a line, "" the whole picture. `before_id` and `after_id` exclude the event
    itself; `visit` is a number, and for events only. `since` and `until` are Unix seconds, `until`
    excluded. `min_s` and `max_s` limit the length of a visit, or of an event's stay. `before` is
    the (time, id) of the last item of an earlier answer. A visit matches if one of its events does;
    with `line`, another of its events must be at that line.
    """

    camera: str | None = None
    kind: str | None = None
    class_name: str | None = None
    area: str | None = None
    before_id: int | None = None
    after_id: int | None = None
    since: float | None = None
    until: float | None = None
    visit: int | None = None
    zone: str | None = None
    line: str | None = None
    min_s: float | None = None
    max_s: float | None = None
    before: tuple[float, int] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class EventCount:
    """Number of events of one kind and class at one zone or line."""

    camera: str
    area: str
    kind: str
    direction: str
    class_name: str
    count: int


class EventLabel(NamedTuple):
    """What events are counted by; `area` is a zone or line, "" the whole picture."""

    camera: str
    area: str
    kind: str
    direction: str
    class_name: str


class SlotCount(NamedTuple):
    """Number of events in one time slot, which begins at `began` (Unix seconds)."""

    began: int
    label: EventLabel
    total: int
