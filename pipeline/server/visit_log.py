"""VisitLog: a run's visits for the page; RecentVisits keeps those of a run without a database."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.core.data import Float32
from pipeline.events.positions import no_seconds
from pipeline.events.store.records import (
    LINE_KINDS,
    ZONE_KINDS,
    EventQuery,
    EventRecord,
    StoredVisit,
    Touched,
)
from pipeline.events.visits import Visit, VisitChange

if TYPE_CHECKING:
    from pipeline.events.store.positions import VisitPath

MAX_RECENT = 1000


class VisitLog(Protocol):
    """Read access to a run's visits; any thread may call it, and calls may take a while."""

    def query(self, wanted: EventQuery) -> Sequence[StoredVisit]:
        """Return visits, those that began last first."""

    def get(self, number: int) -> StoredVisit | None:
        """Return one visit, None if there is none of this number."""

    def after(self, revision: int | None, limit: int) -> tuple[Sequence[StoredVisit], int]:
        """Return visits changed after `revision`, in order, and the newest revision seen.

        No visits for None, which asks for the newest revision only.
        """

    def thumbnail(self, number: int) -> Path | None:
        """Return the picture of a visit's best moment, None where there is none."""

    def boxes(self, event_id: int) -> Mapping[str, Any] | None:
        """Return the boxes in an event's clip as `clip_boxes.unpacked` has them, None without."""

    def positions(self, wanted: EventQuery) -> Float32:
        """Return seconds that objects stood in each cell of a camera's picture: f32[36,64]."""

    def paths(self, wanted: EventQuery) -> Sequence[VisitPath]:
        """Return paths of at most `wanted.limit` visits that have a clip."""


@dataclass(slots=True)
class _Kept:
    id: int
    visit: Visit
    event_id: int
    revision: int = 0
    touched: list[Touched] = field(default_factory=list)
    labels: set[tuple[str, str, str]] = field(default_factory=set)  # area, kind, class name


class RecentVisits:
    """VisitLog of the last thousand visits in memory, without clips and pictures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visits: OrderedDict[str, _Kept] = OrderedDict()
        self._last_id = self._revision = 0

    def add(self, record: EventRecord, event_id: int) -> int:
        """Add an event to its visit; return the visit's number."""
        with self._lock:
            kept = self._visits.get(record.visit)
            if kept is None:
                self._last_id += 1
                kept = _Kept(self._last_id, Visit.begun_by(record), event_id)
                self._visits[record.visit] = kept
                if len(self._visits) > MAX_RECENT:
                    self._visits.popitem(last=False)
            kept.visit = kept.visit.with_event(record)
            one = Touched(kind=record.kind, area=record.area, direction=record.direction)
            if one not in kept.touched:
                kept.touched.append(one)
            kept.labels.add((record.area, record.kind, record.class_name))
            self._changed(kept)
            return kept.id

    def end(self, ends: Sequence[VisitChange]) -> None:
        """End visits, or have them go on."""
        with self._lock:
            for one in ends:
                if (kept := self._visits.get(one.uid)) is not None:
                    kept.visit = kept.visit.changed(one.pts_s)
                    self._changed(kept)

    def query(self, wanted: EventQuery) -> Sequence[StoredVisit]:
        """Return visits, those that began last first."""
        with self._lock:
            fitting = [_stored(kept) for kept in self._visits.values() if _matches(kept, wanted)]
        fitting.sort(key=lambda one: (one.started, one.id), reverse=True)
        return fitting[: wanted.limit]

    def get(self, number: int) -> StoredVisit | None:
        """Return one visit, None if there is none of this number."""
        with self._lock:
            found = (kept for kept in self._visits.values() if kept.id == number)
            kept = next(found, None)
            return None if kept is None else _stored(kept)

    def after(self, revision: int | None, limit: int) -> tuple[Sequence[StoredVisit], int]:
        """Return visits changed after `revision`, in order, and the newest revision seen."""
        with self._lock:
            if revision is None:
                return [], self._revision
            changed = [kept for kept in self._visits.values() if kept.revision > revision]
            changed.sort(key=lambda kept: kept.revision)
            found = [_stored(kept) for kept in changed[:limit]]
        return found, max((one.revision for one in found), default=revision)

    def thumbnail(self, number: int) -> Path | None:
        """Return None: there are no pictures."""
        del number
        return None

    def boxes(self, event_id: int) -> Mapping[str, Any] | None:
        """Return None: there are no clips."""
        del event_id
        return None

    def positions(self, wanted: EventQuery) -> Float32:
        """Return no time anywhere: positions are kept in a database only."""
        del wanted
        return no_seconds()

    def paths(self, wanted: EventQuery) -> Sequence[VisitPath]:
        """Return none: there are no clips."""
        del wanted
        return []

    def _changed(self, kept: _Kept) -> None:
        self._revision += 1
        kept.revision = self._revision


def _matches(kept: _Kept, wanted: EventQuery) -> bool:
    visit = kept.visit
    place = visit.started, kept.id
    return (
        wanted.camera in (None, visit.camera)
        and (wanted.since is None or visit.started >= wanted.since)
        and (wanted.until is None or visit.started < wanted.until)
        and (wanted.min_s is None or visit.seconds >= wanted.min_s)
        and (wanted.max_s is None or visit.seconds <= wanted.max_s)
        and (wanted.before is None or place < wanted.before)
        and _touches(kept, wanted)
    )


def _touches(kept: _Kept, wanted: EventQuery) -> bool:
    """Return whether one event fits, and where zone and line are given, another is at the line."""
    line = wanted.line
    if line is not None and wanted.zone is not None:
        if not any(area == line and kind in LINE_KINDS for area, kind, _ in kept.labels):
            return False
        line = None
    return any(
        wanted.kind in (None, kind)
        and wanted.class_name in (None, class_name)
        and wanted.area in (None, area)
        and (wanted.zone is None or (area == wanted.zone and kind in ZONE_KINDS))
        and (line is None or (area == line and kind in LINE_KINDS))
        for area, kind, class_name in kept.labels
    )


def _stored(kept: _Kept) -> StoredVisit:
    visit = kept.visit
    return StoredVisit(
        id=kept.id,
        uid=visit.uid,
        camera=visit.camera,
        track_id=visit.track_id,
        class_name=visit.class_name,
        started=visit.started,
        ended=visit.ended,
        seconds=visit.seconds,
        dwell_s=visit.dwell_s,
        events=visit.events,
        touched=tuple(kept.touched),
        event_id=kept.event_id,
        clip=False,
        clip_offset_s=None,
        thumbnail=None,
        revision=kept.revision,
    )
