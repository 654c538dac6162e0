"""Who the tracks are: since when, under which id, last seen when, as what; and who is reported."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.data import Detections, Tracks
from pipeline.trackers._clock import Clock
from pipeline.trackers._columns import Columns, Float64, Rows
from pipeline.trackers._votes import Votes

# No picture is this large; within it nothing the trackers compute can overflow.
_FARTHEST_PX = 1e7

# The ledger's columns. ID is 0 until the track is confirmed; STREAK the time from which on it was
# detected in every frame; ROW the matched row of this frame's detections, -1 without one. The
# last four are what a detection tells.
BORN_S, ID, STREAK, SEEN, SCORE, CLASS, ROW = range(7)
_TOLD = slice(SEEN, ROW + 1)


class Seen(NamedTuple):
    """The usable detections of a frame: boxes f64[4,N] and what the ledger is told f64[4,N]."""

    xyxy: Float64
    told: Float64

    @property
    def score(self) -> Float64:
        """f64[N], as the detector gave it."""
        score: Float64 = self.told[SCORE - SEEN]
        return score

    @property
    def class_id(self) -> Float64:
        """f64[N], whole numbers."""
        class_id: Float64 = self.told[CLASS - SEEN]
        return class_id

    def take(self, places: Rows) -> Seen:
        """Return the detections at `places`, in that order."""
        return Seen(self.xyxy.take(places, 1), self.told.take(places, 1))


def read(detections: Detections, now: float) -> Seen:
    """Return the detections whose score is finite and whose box has an area, within reason."""
    xyxy = detections.xyxy.T.astype(np.float64, order="C")
    told = np.empty((ROW + 1 - SEEN, len(detections)))
    told[0] = now
    told[SCORE - SEEN] = detections.score
    told[CLASS - SEEN] = detections.class_id
    told[ROW - SEEN] = np.arange(len(detections))
    usable = xyxy[:2] < xyxy[2:]  # false for NaN
    usable &= xyxy[:2] > -_FARTHEST_PX
    usable &= xyxy[2:] < _FARTHEST_PX
    usable &= np.isfinite(told[SCORE - SEEN])
    seen = Seen(xyxy, told)
    return seen if usable.all() else seen.take(np.flatnonzero(usable.all(axis=0)))


class Rules(NamedTuple):
    """Where trackers differ in who is reported."""

    vote: bool = False
    """Detections of several classes may be one track."""
    published: bool = False
    """SORT's: only after a streak, again after each miss, or in the video's first frames."""


class Ledger:
    """The entries of n tracks, `table` f64[7,n]; ids go on from `last_id`."""

    def __init__(self, clock: Clock, rules: Rules, last_id: int = 0) -> None:
        self._clock = clock
        self._rules = rules
        self._columns = Columns(ROW + 1)
        self._votes = Votes() if rules.vote else None
        self.last_id = last_id

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def table(self) -> Float64:
        """f64[7,n], a view."""
        return self._columns.table

    def tell(self, rows: Rows, seen: Seen) -> None:
        """Note which track was seen as what in this frame; all others were missed."""
        table = self.table
        table[ROW] = -1
        table[_TOLD, rows] = seen.told
        if self._votes:
            table[CLASS, rows] = self._votes.cast(rows, seen.class_id, seen.score)
        table[STREAK, table[ROW] < 0] = self._clock.now

    def begin(self, seen: Seen) -> None:
        """Enter a track for each of these detections."""
        entry = np.zeros((ROW + 1, len(seen.score)))
        entry[BORN_S] = self._clock.now_s
        entry[STREAK] = self._clock.now
        entry[_TOLD] = seen.told
        self._columns.append(entry)
        if self._votes:
            self._votes.append(len(seen.score))
            rows = np.arange(len(self) - len(seen.score), len(self))
            self._votes.cast(rows, seen.class_id, seen.score)

    def keep(self, rows: Rows) -> None:
        """Leave only `rows`, in that order."""
        self._columns.keep(rows)
        if self._votes:
            self._votes.keep(rows)

    def due(self) -> Rows:
        """Number the tracks that are now confirmed and return the rows to be reported."""
        table, clock = self.table, self._clock
        due = table[ROW] >= 0
        early = self._rules.published and clock.now < clock.confirm
        # As ByteTrack does: a lone picture, and a video's first frames, are not empty.
        early |= clock.first and not self._rules.published
        if not early:
            due &= table[STREAK] <= clock.now - clock.confirm
        fresh = (due & (table[ID] == 0)).nonzero()[0]
        table[ID, fresh] = np.arange(self.last_id + 1, self.last_id + 1 + len(fresh))
        self.last_id += len(fresh)
        if not self._rules.published:
            due = table[ID] > 0
            due &= table[SEEN] >= clock.now - clock.coast
        rows: Rows = due.nonzero()[0]
        return rows

    def report(self, rows: Rows, xyxy: Float64) -> Tracks:
        """Return `rows` with the boxes f64[4,m]."""
        entry = self.table.take(rows, 1)
        return Tracks(
            xyxy=np.ascontiguousarray(xyxy.T, np.float32),
            score=entry[SCORE].astype(np.float32),
            class_id=entry[CLASS].astype(np.int32),
            track_id=entry[ID].astype(np.int64),
            detection=entry[ROW].astype(np.int32),
            age_s=(self._clock.now_s - entry[BORN_S]).astype(np.float32),
        )

    def save(self) -> dict[str, Float64]:
        """Return copies of all there is, by name."""
        state = {"ledger": self.table.copy(), "last_id": np.array([float(self.last_id)])}
        if self._votes:
            state["votes"] = self._votes.table
        return state

    def load(self, state: dict[str, Float64]) -> None:
        """Be as the ledger that `save` was called on; raises KeyError, ValueError."""
        self._columns.load(state["ledger"])
        self.last_id = int(state["last_id"][0])
        if self._votes:
            self._votes.load(state["votes"])
