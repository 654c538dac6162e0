"""Visits: everything one track of one camera did in one run, and which tracks are still present."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from pipeline.core.data import Result
from pipeline.core.usual_interval import UsualInterval
from pipeline.events.store.records import EventRecord

GONE_S = 3.0
"""A track that is not seen for so long has ended its visit."""
REMEMBERED_S = 60.0
"""Seen again within this time, it goes on with it."""
SILENT_S = 10.0
"""A camera without a result for so long has ended its visits; longer where results are few."""
MAX_OPEN = 10_000
"""Tracks that are followed at once; of more, the visits end with their last event."""
_REOPENS_S = 0.5


def visit_uid(run: str, camera: str, track_id: int) -> str:
    """Return the name of a track's visit, 32 hexadecimal digits: the same from all its events."""
    return hashlib.sha256(f"{run}\0{camera}\0{track_id}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What the events of one track add up to; times in Unix seconds, `ended` None while it goes on.

    Track 0 is the camera itself: from "lost" until "live". `pts_s` is the start on the frames'
    clock, on which `seconds` are counted.
    """

    uid: str
    camera: str
    track_id: int
    class_name: str
    started: float
    pts_s: float
    seconds: float = 0.0
    ended: float | None = None
    dwell_s: float = 0.0
    events: int = 0

    @classmethod
    def begun_by(cls, record: EventRecord) -> Self:
        """Return the visit that an event begins, before it is added."""
        return cls(
            uid=record.visit,
            camera=record.camera,
            track_id=record.track_id,
            class_name=record.class_name,
            started=record.time,
            pts_s=record.pts_s,
        )

    def with_event(self, record: EventRecord) -> Self:
        """Return the visit with one more event, which may have happened before those it has."""
        since = record.time - self.started
        if record.track_id > 0:
            since = record.pts_s - self.pts_s
        started, pts_s, seconds = self.started, self.pts_s, max(self.seconds, since)
        if since < 0:
            started, pts_s, seconds = record.time, record.pts_s, self.seconds - since
        ended = self.ended
        if record.kind == "live":
            ended = record.time
        elif ended is not None and since > self.seconds + _REOPENS_S:
            ended = None
        return replace(
            self,
            class_name=record.class_name,
            started=started,
            pts_s=pts_s,
            seconds=seconds,
            ended=ended,
            dwell_s=max(self.dwell_s, record.dwell_s),
            events=self.events + 1,
        )

    def changed(self, pts_s: float | None) -> Self:
        """Return the visit whose track was last seen then, on the frames' clock; None: it goes on.

        It does not end before its last event.
        """
        if pts_s is None:
            return replace(self, ended=None)
        seconds = max(self.seconds, pts_s - self.pts_s)
        return replace(self, seconds=seconds, ended=self.started + seconds)


class VisitChange(NamedTuple):
    """The end of a visit, or that it goes on after all.

    `pts_s` is when its track was last seen, on the frames' clock; None if it is seen again.
    """

    uid: str
    pts_s: float | None


@dataclass(slots=True)
class _Followed:
    uid: str
    pts_s: float  # last seen
    ended: bool = False


class OpenVisits:
    """The tracks with a visit that are still seen, of all cameras; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cameras: dict[str, dict[int, _Followed]] = {}
        self._seen_at: dict[str, float] = {}
        self._intervals: dict[str, UsualInterval] = {}

    def update(self, result: Result, records: list[EventRecord]) -> list[VisitChange]:
        """Follow the tracks of a result's events; return which visits have ended or go on."""
        frame, tracks = result.frame, result.tracks
        with self._lock:
            now = time.monotonic()
            self._intervals.setdefault(frame.source, UsualInterval()).add(now, frame.epoch)
            known = self._cameras.get(frame.source)
            if known is None:
                if not records:
                    return []
                known = self._cameras[frame.source] = {}
            self._seen_at[frame.source] = now
            beyond = list[VisitChange]()
            for record in records:
                if record.track_id in known:
                    continue
                if len(known) < MAX_OPEN:
                    known[record.track_id] = _Followed(record.visit, record.pts_s)
                else:
                    beyond.append(VisitChange(record.visit, record.pts_s))
            seen = tracks.track_id[tracks.detection >= 0].tolist() if known else []
            changes = _see(known, set(seen), frame.pts_s)
            return beyond + changes + _end(known, frame.pts_s)

    def end_silent(self, now: float | None = None) -> list[VisitChange]:
        """Return the visits that end at cameras without a result for long; `now` is monotonic."""
        now = time.monotonic() if now is None else now
        with self._lock:
            silent = [
                name
                for name, at in self._seen_at.items()
                if at < now - self._intervals[name].max_wait_s(SILENT_S)
            ]
            return self._end_all(silent)

    def close(self) -> list[VisitChange]:
        """Return the ends of all visits that have none."""
        with self._lock:
            changes = self._end_all(list(self._cameras))
            self._cameras.clear()
            return changes

    def _end_all(self, cameras: list[str]) -> list[VisitChange]:
        changes: list[VisitChange] = []
        for name in cameras:
            self._seen_at.pop(name, None)
            changes += _end(self._cameras.get(name, {}), float("inf"), keep=True)
        return changes


def _see(known: dict[int, _Followed], seen: set[int], now: float) -> list[VisitChange]:
    """Note that these tracks are seen; return the visits that go on."""
    changes = []
    for track_id in known.keys() & seen:
        one = known[track_id]
        one.pts_s = now
        if one.ended:
            one.ended = False
            changes.append(VisitChange(one.uid, None))
    return changes


def _end(known: dict[int, _Followed], now: float, *, keep: bool = False) -> list[VisitChange]:
    """End the visits of tracks not seen for a while; forget those not seen for long."""
    changes = []
    for track_id, one in list(known.items()):
        is_back = one.pts_s > now + GONE_S  # the frames' clock began anew
        if not one.ended and (one.pts_s <= now - GONE_S or is_back):
            one.ended = True
            changes.append(VisitChange(one.uid, one.pts_s))
        if not keep and (one.pts_s <= now - REMEMBERED_S or is_back):
            del known[track_id]
    return changes
