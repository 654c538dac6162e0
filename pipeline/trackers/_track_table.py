"""Track table: one column per track with its id, age, class and last detection.

`TrackTable` also decides when a track is confirmed and which tracks are reported. `Columns` is the
growing array behind it, `ClassVotes` the vote on a track's class, `Observations` the usable
detections of a frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Detections, Tracks
from pipeline.trackers._options import TrackClock

Float64 = NDArray[np.float64]
Rows = NDArray[np.intp]


class Columns:
    """f64[C,n] in a buffer that grows by doubling: C numbers for each of n tracks.

    One column of numbers is contiguous (struct of arrays), so that whole-array arithmetic runs
    at full speed. `table` is a view: read it again after `append` and `keep`.
    """

    def __init__(self, columns: int) -> None:
        self._buffer = np.empty((columns, 16))
        self.table: Float64 = self._buffer[:, :0]

    def __len__(self) -> int:
        return int(self.table.shape[1])

    def append(self, values: Float64) -> None:
        """Append f64[C,m]; a [C,1] adds one track."""
        start = len(self)
        stop = start + values.shape[1]
        if stop > self._buffer.shape[1]:
            grown = np.empty((len(self._buffer), 2 * stop))
            grown[:, :start] = self.table
            self._buffer = grown
        self._buffer[:, start:stop] = values
        self.table = self._buffer[:, :stop]

    def keep(self, rows: Rows) -> None:
        """Keep only `rows`, in that order."""
        left = self.table.take(rows, 1)
        self.table = self._buffer[:, : len(rows)]
        self.table[:] = left

    def load(self, table: Float64) -> None:
        """Replace the content by a copy of f64[C,n]; raises ValueError for another C."""
        if table.ndim != 2 or len(table) != len(self.table):
            raise ValueError(f"want shape ({len(self.table)}, n), got {table.shape}")
        self.table = self._buffer[:, :0]
        self.append(table)


_MIN_VOTE = 1e-6  # a detection of score 0 still says more than none


class ClassVotes:
    """Votes on the class: for each of n tracks, the sum of scores per class, K classes so far."""

    def __init__(self) -> None:
        self._class_id: Float64 = np.empty(0)
        self._sums = Columns(0)

    @property
    def table(self) -> Float64:
        """f64[K,1+n]: a class's id, then its sums; a copy."""
        return np.column_stack((self._class_id, self._sums.table))

    def load(self, table: Float64) -> None:
        """Restore a `table`; raises ValueError for another shape."""
        if table.ndim != 2 or not table.shape[1]:
            raise ValueError(f"want votes of shape (K, 1+n), got {table.shape}")
        self._class_id = table[:, 0].copy()
        self._sums = Columns(len(table))
        self._sums.append(table[:, 1:])

    def append(self, tracks: int) -> None:
        """Add tracks without votes."""
        self._sums.append(np.zeros((len(self._class_id), tracks)))

    def keep(self, rows: Rows) -> None:
        """Leave only the tracks `rows`, in that order."""
        self._sums.keep(rows)

    def add(self, rows: Rows, class_id: Float64, score: Float64) -> Float64:
        """Count one detection for each of `rows`; return the leading class of each, f64."""
        if not len(rows):
            return class_id
        known = self._class_id
        if len(known) != 1 or (class_id != known[0]).any():
            return self._count(rows, class_id, score)
        self._sums.table[0, rows] += np.maximum(score, _MIN_VOTE)
        return class_id

    def _count(self, rows: Rows, class_id: Float64, score: Float64) -> Float64:
        """Count if there is more than one class, or for the first."""
        new = np.setdiff1d(class_id, self._class_id)
        if len(new):
            self.load(np.pad(self.table, ((0, len(new)), (0, 0))))
            self._class_id[-len(new) :] = new
        order = self._class_id.argsort()
        place = order[self._class_id[order].searchsorted(class_id)]
        sums = self._sums.table
        sums[place, rows] += np.maximum(score, _MIN_VOTE)
        leading: Float64 = self._class_id[sums[:, rows].argmax(0)]
        return leading


# No picture is this large; within it no computation of the trackers can overflow.
_FARTHEST_PX = 1e7

# Rows of the table. ID is 0 while the track is tentative; STREAK the time from which on it was
# detected in every frame; ROW the matched row of this frame's detections, -1 without one. The
# last four come from a detection.
BORN_S, ID, STREAK, SEEN, SCORE, CLASS, ROW = range(7)
_OBSERVED = slice(SEEN, ROW + 1)


class Observations(NamedTuple):
    """The usable detections of a frame: boxes f64[4,N] and their table columns f64[4,N]."""

    xyxy: Float64
    columns: Float64

    @property
    def score(self) -> Float64:
        """f64[N], as the detector gave it."""
        score: Float64 = self.columns[SCORE - SEEN]
        return score

    @property
    def class_id(self) -> Float64:
        """f64[N], whole numbers."""
        class_id: Float64 = self.columns[CLASS - SEEN]
        return class_id

    def take(self, places: Rows) -> Observations:
        """Return the detections at `places`, in that order."""
        return Observations(self.xyxy.take(places, 1), self.columns.take(places, 1))


def usable_detections(detections: Detections, now: float) -> Observations:
    """Return the detections with a finite score and a box of reasonable size with an area."""
    xyxy = detections.xyxy.T.astype(np.float64, order="C")
    columns = np.empty((ROW + 1 - SEEN, len(detections)))
    columns[0] = now
    columns[SCORE - SEEN] = detections.score
    columns[CLASS - SEEN] = detections.class_id
    columns[ROW - SEEN] = np.arange(len(detections))
    usable = xyxy[:2] < xyxy[2:]  # false for NaN
    usable &= xyxy[:2] > -_FARTHEST_PX
    usable &= xyxy[2:] < _FARTHEST_PX
    usable &= np.isfinite(columns[SCORE - SEEN])
    seen = Observations(xyxy, columns)
    return seen if usable.all() else seen.take(np.flatnonzero(usable.all(axis=0)))


class ReportRules(NamedTuple):
    """Rules for reporting tracks, which differ between trackers."""

    vote: bool = False
    """Detections of several classes may be one track."""
    published: bool = False
    """SORT's: only after a streak, again after each miss, or in the video's first frames."""


class TrackTable:
    """n tracks, a column each in `table` f64[7,n]; new ids follow `last_id`."""

    def __init__(self, clock: TrackClock, rules: ReportRules, last_id: int = 0) -> None:
        self._clock = clock
        self._rules = rules
        self._columns = Columns(ROW + 1)
        self._votes = ClassVotes() if rules.vote else None
        self.last_id = last_id

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def table(self) -> Float64:
        """f64[7,n], a view."""
        return self._columns.table

    @property
    def born_s(self) -> Float64:
        """f64[n], when each track began, in seconds, a view."""
        return self._row(BORN_S)

    @property
    def track_id(self) -> Float64:
        """f64[n], 0 while tentative, a view."""
        return self._row(ID)

    @property
    def last_seen(self) -> Float64:
        """f64[n], when each track was last detected, in the clock's unit, a view."""
        return self._row(SEEN)

    @property
    def class_id(self) -> Float64:
        """f64[n], whole numbers, a view."""
        return self._row(CLASS)

    @property
    def score(self) -> Float64:
        """f64[n], of the last detection, a view."""
        return self._row(SCORE)

    @property
    def detection(self) -> Float64:
        """f64[n], the matched row of the last frame's detections, -1 without one, a view."""
        return self._row(ROW)

    def _row(self, place: int) -> Float64:
        row: Float64 = self.table[place]
        return row

    def record(self, rows: Rows, seen: Observations) -> None:
        """Record the detections matched to the tracks `rows`; all other tracks were missed."""
        table = self.table
        table[ROW] = -1
        table[_OBSERVED, rows] = seen.columns
        if self._votes:
            table[CLASS, rows] = self._votes.add(rows, seen.class_id, seen.score)
        table[STREAK, table[ROW] < 0] = self._clock.now

    def start(self, seen: Observations) -> None:
        """Add a tentative track for each of these detections."""
        entry = np.zeros((ROW + 1, len(seen.score)))
        entry[BORN_S] = self._clock.now_s
        entry[STREAK] = self._clock.now
        entry[_OBSERVED] = seen.columns
        self._columns.append(entry)
        if self._votes:
            self._votes.append(len(seen.score))
            rows = np.arange(len(self) - len(seen.score), len(self))
            self._votes.add(rows, seen.class_id, seen.score)

    def keep(self, rows: Rows) -> None:
        """Leave only `rows`, in that order."""
        self._columns.keep(rows)
        if self._votes:
            self._votes.keep(rows)

    def select_reported(self) -> Rows:
        """Give ids to newly confirmed tracks; return the rows to report."""
        table, clock = self.table, self._clock
        reported = self._confirmed()
        fresh = (reported & (table[ID] == 0)).nonzero()[0]
        table[ID, fresh] = np.arange(self.last_id + 1, self.last_id + 1 + len(fresh))
        self.last_id += len(fresh)
        if not self._rules.published:
            reported = table[ID] > 0
            reported &= table[SEEN] >= clock.now - clock.coast
        rows: Rows = reported.nonzero()[0]
        return rows

    def due_for_id(self) -> NDArray[np.bool_]:
        """Return bool[n]: the tentative tracks that `select_reported` is about to give an id."""
        due: NDArray[np.bool_] = self._confirmed() & (self.table[ID] == 0)
        return due

    def set_id(self, row: int, track_id: int, born_s: float) -> None:
        """Give a track this id, and the start time of its former owner."""
        self.table[[ID, BORN_S], row] = track_id, born_s

    def swap_ids(self, row: int, other: int) -> None:
        """Swap the ids of two tracks, and their start times."""
        both = np.ix_((ID, BORN_S), (row, other))
        self.table[both] = self.table[both][:, ::-1]

    def _confirmed(self) -> NDArray[np.bool_]:
        """Return bool[n]: detected now, and in every frame for long enough."""
        table, clock = self.table, self._clock
        confirmed: NDArray[np.bool_] = table[ROW] >= 0
        early = self._rules.published and clock.now < clock.confirm
        # Like ByteTrack: a lone picture, and a video's first frames, are not empty.
        early |= clock.first and not self._rules.published
        if not early:
            confirmed &= table[STREAK] <= clock.now - clock.confirm
        return confirmed

    def report(self, rows: Rows, xyxy: Float64) -> Tracks:
        """Return the tracks `rows` as Tracks with the boxes f64[4,m]."""
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
        """Return copies of the whole state, by name."""
        state = {"tracks": self.table.copy(), "last_id": np.array([float(self.last_id)])}
        if self._votes:
            state["votes"] = self._votes.table
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Load what `save` returned; raises KeyError, ValueError."""
        self._columns.load(state["tracks"])
        self.last_id = int(state["last_id"][0])
        if self._votes:
            self._votes.load(state["votes"])
