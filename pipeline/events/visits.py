"""Visits: all that one track of one camera did in one run, and which tracks are still there."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from pipeline.core.data import Result
from pipeline.events.store.records import EventRecord

GONE_S = 3.0
"""A track that is not seen for so long has ended its visit; seen again, it goes on with it."""
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

    def closed(self, seconds: float | None = None) -> Self:
        """Return the visit ended after `seconds`, with its last event where they are None."""
        seconds = max(self.seconds, seconds or 0.0)
        return replace(self, seconds=seconds, ended=self.started + seconds)


class VisitEnd(NamedTuple):
    """The end of a visit: its name, and when its track was last seen, on the frames' clock."""

    uid: str
    pts_s: float


class OpenVisits:
    """The tracks with a visit that are still seen, of all cameras; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cameras: dict[str, dict[int, VisitEnd]] = {}
        self._seen_at: dict[str, float] = {}

    def update(self, result: Result, records: list[EventRecord]) -> list[VisitEnd]:
        """Follow the tracks of a result's events; return the visits that have ended."""
        frame, tracks = result.frame, result.tracks
        with self._lock:
            known = self._cameras.get(frame.source)
            if known is None:
                if not records:
                    return []
                known = self._cameras[frame.source] = {}
            for record in records:
                if record.track_id not in known and len(known) < MAX_OPEN:
                    known[record.track_id] = VisitEnd(record.visit, record.pts_s)
            self._seen_at[frame.source] = time.monotonic()
            seen = tracks.track_id[tracks.detection >= 0].tolist() if known else []
            for track_id in known.keys() & set(seen):
                known[track_id] = VisitEnd(known[track_id].uid, frame.pts_s)
            gone = [
                track_id
                for track_id, one in known.items()
                if not one.pts_s > frame.pts_s - GONE_S or one.pts_s > frame.pts_s + GONE_S
            ]
            return [known.pop(track_id) for track_id in gone]

    def end_silent(self, now: float | None = None) -> list[VisitEnd]:
        """Return the visits at cameras without a result for a while; `now` is monotonic."""
        now = time.monotonic() if now is None else now
        with self._lock:
            silent = [name for name, at in self._seen_at.items() if at < now - GONE_S]
            return self._end(silent)

    def close(self) -> list[VisitEnd]:
        """Return all visits that have not ended."""
        with self._lock:
            return self._end(list(self._cameras))

    def _end(self, cameras: list[str]) -> list[VisitEnd]:
        found: list[VisitEnd] = []
        for name in cameras:
            self._seen_at.pop(name, None)
            found += self._cameras.pop(name, {}).values()
        return found
