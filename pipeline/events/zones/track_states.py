"""State of each track at each zone and line, and the tracks seen in one frame, as arrays.

In arrays with an axis `zones`, a zone's index counts zones first and lines after them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import EventKind, Frame, Tracks
from pipeline.events.zones.geometry import Bools, Float64, Rows

Int64 = NDArray[np.int64]

# A moment: the frame's index, presentation time and capture time, and the track's box.
MOMENT = 7


@dataclass(slots=True, eq=False)
class TrackStates:
    """n tracks by rising id; `[n]` and, after the blank line, `[n, zones]`, `side` `[n, edges]`.

    Times are microseconds of the watcher's clock.
    """

    id: Int64
    seen_us: Int64
    class_id: Int64
    height: Float64
    foot: Float64
    moment: Float64
    side: Bools

    inside: Bools
    """The last foot point is in the zone, and the class is counted there."""
    reported: Bools
    """An "enter" event was emitted, and no "leave" yet."""
    armed: Bools
    """Was once clearly on a side, so that a change of sides counts."""
    pending: Bools
    """Has changed sides, or has just started, and is not yet decided."""
    dwelt: Bools
    """A "dwell" event was emitted for this stay."""
    net: Int64
    """Crossings of the line since the last decision: to the right minus to the left."""
    changed_us: Int64
    """Time of the last change of sides."""
    clear_us: Int64
    """Time since which the foot point is clearly off the border; the far future if it is not."""
    since_us: Int64
    """Time of the first change of sides since the last decision."""
    entered_us: Int64
    """Start of the reported stay."""
    anchor: Float64
    """[n, zones, 2] The foot point before the first change of sides since the last decision."""
    first: Float64
    """[n, zones, 7] The moment of `since_us`."""
    last: Float64
    """[n, zones, 7] The moment of `changed_us`."""

    @classmethod
    def empty(cls, zones: int, edges: int) -> Self:
        """Return the states of no tracks."""
        none, pairs = (0,), (0, zones)
        columns: dict[str, NDArray[Any]] = {
            "id": np.zeros(none, np.int64),
            "seen_us": np.zeros(none, np.int64),
            "class_id": np.zeros(none, np.int64),
            "height": np.zeros(none),
            "foot": np.zeros((0, 2)),
            "moment": np.zeros((0, MOMENT)),
            "side": np.zeros((0, edges), np.bool_),
            "anchor": np.zeros((*pairs, 2)),
            "first": np.zeros((*pairs, MOMENT)),
            "last": np.zeros((*pairs, MOMENT)),
        }
        columns |= {name: np.zeros(pairs, np.bool_) for name in _FLAGS}
        columns |= {name: np.zeros(pairs, np.int64) for name in _WHOLE}
        return cls(**columns)

    def __len__(self) -> int:
        return len(self.id)

    def keep(self, rows: Rows | Bools) -> None:
        """Keep only `rows`, in that order."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[rows])

    def rows_for(self, ids: Int64) -> tuple[Rows, Bools]:
        """Return (row, whether it is a new one) of each of these different ids."""
        rows, fresh = rows_of_ids(self.id, ids)
        if fresh.any():
            more = int(np.count_nonzero(fresh))
            for field in fields(self):
                column: NDArray[Any] = getattr(self, field.name)
                blank = np.zeros((more, *column.shape[1:]), column.dtype)
                setattr(self, field.name, np.concatenate([column, blank]))
            self.id[-more:] = ids[fresh]
            self.keep(self.id.argsort(kind="stable"))
            rows = self.id.searchsorted(ids)
        return rows, fresh

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of all columns, by name."""
        return {field.name: getattr(self, field.name).copy() for field in fields(self)}

    def load(self, columns: Mapping[str, Any]) -> None:
        """Restore what `save` gave; raises KeyError, and ValueError for other zones' columns."""
        count = len(columns["id"])
        for field in fields(self):
            column, blank = columns[field.name], getattr(self, field.name)
            if column.dtype != blank.dtype or column.shape != (count, *blank.shape[1:]):
                raise ValueError(f"{field.name}: got {column.dtype} {column.shape}")
        for field in fields(self):
            setattr(self, field.name, columns[field.name].copy())

    def add_side_change(self, rows: Rows, zones: Rows, now: int) -> None:
        """Record that these pairs changed sides at the tracks' last moment.

        The anchor of those that were decided is the foot point; the caller moves it afterwards.
        """
        begins = ~self.pending[rows, zones]
        new, of = rows[begins], zones[begins]
        self.anchor[new, of] = self.foot[new]
        self.first[new, of] = self.moment[new]
        self.since_us[new, of] = now
        self.pending[rows, zones] = True
        self.changed_us[rows, zones] = now
        self.clear_us[rows, zones] = np.iinfo(np.int64).max
        self.last[rows, zones] = self.moment[rows]

    def with_zones(self, origin: Rows, edges: int) -> Self:
        """Return the states for other zones: each is that of the old `origin`, -1 for none."""
        other = type(self).empty(len(origin), edges)
        old, new = origin[origin >= 0], origin >= 0
        for field in fields(self):
            column: NDArray[Any] = getattr(self, field.name)
            if field.name in _PAIRED or field.name == "side":
                kept = column
                shape = (len(self), *getattr(other, field.name).shape[1:])
                column = np.zeros(shape, kept.dtype)
                if field.name in _PAIRED:
                    column[:, new] = kept[:, old]
            setattr(other, field.name, column)
        return other


def rows_of_ids(known: Int64, ids: Int64) -> tuple[Rows, Bools]:
    """Return (row among the sorted `known` ids, whether it is not among them) of each of `ids`."""
    rows = known.searchsorted(ids)
    fresh: Bools = rows == len(known)
    fresh |= known.take(rows, mode="clip") != ids if len(known) else True
    return rows, fresh


_FLAGS = ("inside", "reported", "armed", "pending", "dwelt")
_WHOLE = ("net", "changed_us", "clear_us", "since_us", "entered_us")
_PAIRED = frozenset((*_FLAGS, *_WHOLE, "anchor", "first", "last"))


_FARTHEST_PX = 65_536.0  # within it float32 keeps the hundredths that track files have


class SeenTracks(NamedTuple):
    """The tracks seen in a frame: id, class, score, foot f64[n,2], box height, f64[n,7] moment."""

    id: Int64
    class_id: Int64
    score: Float64
    foot: Float64
    height: Float64
    moment: Float64


class Decision(NamedTuple):
    """A decided event: kind, row of the track, zone or line, and the moment it happened."""

    kind: EventKind
    row: int
    zone: int
    moment: Float64
    direction: str = ""
    dwell_us: int = 0


Decisions = Iterator[Decision]


class FrameClock:
    """The clock of a source: microseconds of the frames' own time, which never runs back.

    In whole numbers, so that it makes no difference which frames in between are known.
    """

    def __init__(self) -> None:
        self.now = 0
        self._last: int | None = None
        self._offset = 0

    def at(self, pts_s: float) -> int:
        """Advance to a frame and return its time."""
        if math.isfinite(pts_s):
            pts_us = round(round(pts_s, 6) * 1e6)
            if self._last is not None and pts_us < self._last:
                self._offset += self._last - pts_us
            self._last = pts_us
            self.now = pts_us + self._offset
        return self.now

    def save(self) -> list[int | None]:
        """Return the state of the clock."""
        return [self.now, self._last, self._offset]

    def load(self, state: Sequence[int | None]) -> None:
        """Restore the state that `save` returned; raises ValueError."""
        now, self._last, offset = state
        self.now, self._offset = now or 0, offset or 0


def seen_tracks(frame: Frame, tracks: Tracks) -> SeenTracks:
    """Return the tracks of a frame that have an identity and a detection.

    Boxes to a hundredth of a pixel and times to a microsecond, as the track files have them.
    """
    seen = np.flatnonzero((tracks.track_id > 0) & (tracks.detection >= 0))
    ids = tracks.track_id[seen]
    if len(set(ids.tolist())) < len(ids):  # only in a file from elsewhere: the first row counts
        seen = seen[np.sort(np.unique(ids, return_index=True)[1])]
        ids = tracks.track_id[seen]
    xyxy = tracks.xyxy[seen].astype(np.float64).clip(-_FARTHEST_PX, _FARTHEST_PX).round(2)
    moment = np.empty((len(ids), MOMENT))
    moment[:, :3] = frame.index, round(frame.pts_s, 6), frame.captured_at
    moment[:, 3:] = xyxy
    foot = np.stack([(xyxy[:, 0] + xyxy[:, 2]) / 2, xyxy[:, 3]], 1)
    height = xyxy[:, 3] - xyxy[:, 1]
    class_id, score = tracks.class_id[seen].astype(np.int64), tracks.score[seen].astype(np.float64)
    return SeenTracks(ids, class_id, score.round(4), foot, height, moment)


class BestScores:
    """The best score of each current track, {id: score}."""

    def __init__(self) -> None:
        self._scores: dict[int, float] = {}

    def update(self, seen: SeenTracks, known: Int64) -> None:
        """Update with the tracks of a frame; forget those that are neither in it nor `known`."""
        for track_id, score in zip(seen.id.tolist(), seen.score.tolist(), strict=True):
            if score > self._scores.get(track_id, -1.0):  # NaN, of a file without scores, is not
                self._scores[track_id] = score
        there = {*known.tolist(), *seen.id.tolist()}
        if len(self._scores) > 2 * len(there):
            self._scores = {each: best for each, best in self._scores.items() if each in there}

    def of(self, track_id: int) -> float | None:
        """Return a track's best score, None where none is known."""
        return self._scores.get(track_id)

    def save(self) -> dict[str, NDArray[Any]]:
        """Return ids and scores as arrays."""
        ids = np.array(list(self._scores), np.int64)
        return {"id": ids, "score": np.array(list(self._scores.values()), np.float64)}

    def load(self, columns: Mapping[str, Any]) -> None:
        """Restore what `save` gave; raises KeyError, ValueError."""
        ids, scores = columns["id"].tolist(), columns["score"].tolist()
        self._scores = dict(zip(ids, scores, strict=True))
