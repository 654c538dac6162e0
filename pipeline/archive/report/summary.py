"""Summary of one source for a report, collected from its tracks, recording by recording.

Times are seconds on the source's own axis: Unix time where every recording has it, else seconds
from its start, recordings one after the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.videos import at_one_size
from pipeline.core.heatmap import HeatMap, feet_of
from pipeline.core.sequences import RecordedSequence
from pipeline.core.simplification import simplified
from pipeline.core.track_files import BoxTable

Floats = NDArray[np.float64]

MAX_PATHS = 300
"""Trajectories that are drawn: the longest."""
SHORT_S = 0.5
"""Tracks seen for less are called short."""
_TOLERANCE_PX = 3.0
_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    7 * 86_400, 28 * 86_400,
)  # fmt: skip
_MAX_BINS = 60


@dataclass(slots=True)
class TrackFacts:
    """One track: first and last time seen, frames seen in, frames by class."""

    first_s: float
    last_s: float
    frames: int
    classes: Counter[str]

    @property
    def class_name(self) -> str:
        """Return the class it had in most frames."""
        return min(self.classes, key=lambda name: (-self.classes[name], name))


@dataclass(slots=True)
class Span:
    """The time axis: from `start_s` to `end_s`; `is_utc`: in Unix time."""

    start_s: float
    end_s: float
    is_utc: bool

    @property
    def seconds(self) -> float:
        """Return its length."""
        return max(self.end_s - self.start_s, 0.0)

    @property
    def crosses_days(self) -> bool:
        """Return whether midnight, in UTC, lies in it."""
        return math.floor(self.start_s / 86_400) != math.floor(self.end_s / 86_400)

    def bin_s(self) -> float:
        """Return the width of time bins: a round number, at most about 60 of them."""
        fitting = (step for step in _STEPS_S if self.seconds / step <= _MAX_BINS)
        return float(next(fitting, math.ceil(self.seconds / _MAX_BINS)))

    def bin_of(self, time_s: float, width_s: float) -> int:
        """Return the number of the bin that a moment is in; those outside go to the ends."""
        return min(max(self._bin(time_s, width_s), 0), self.bin_count(width_s) - 1)

    def bin_count(self, width_s: float) -> int:
        """Return how many bins there are."""
        # What ends where a bin would begin has nothing in it.
        first = math.floor(self.start_s / width_s)
        return max(math.ceil(self.end_s / width_s) - first, 1)

    def bin_start(self, number: int, width_s: float) -> float:
        """Return when a bin begins; bins begin at round times."""
        return (math.floor(self.start_s / width_s) + number) * width_s

    def _bin(self, time_s: float, width_s: float) -> int:
        return math.floor(time_s / width_s) - math.floor(self.start_s / width_s)


class SourceSummary:
    """Tracks, busiest minutes, heat map and paths of one source, in memory that tracks decide.

    `size` is (width, height) of the picture all is drawn on.
    """

    def __init__(self, name: str, span: Span, size: tuple[int, int]) -> None:
        self.name, self.span, self.size = name, span, size
        self.rows = 0
        self.rows_without_id = 0
        self.tracks: dict[int, TrackFacts] = {}
        self.paths: dict[int, list[Floats]] = {}
        self.heat = HeatMap((size[1], size[0]))
        self.busy_s = next(s for s in (1.0, 10.0, 60.0) if s == 60 or span.seconds <= 60 * s / 3)
        self.scaled: set[str] = set()
        self._busy: dict[int, set[int]] = {}
        self._most: Counter[int] = Counter()

    def add(self, sequence: RecordedSequence, offset_s: float) -> None:
        """Add one recording's tracks; it begins at `offset_s` of an axis that is not UTC."""
        sequence, sizes = at_one_size(sequence)
        self.scaled |= set(sizes)
        table = sequence.table
        self.rows += len(table)
        if not len(table):
            return
        times = self._times(sequence, offset_s)
        xyxy = table.xyxy * self._scale(sequence)
        seen = table.state == "matched"
        self.heat.add(xyxy[seen], 1 / sequence.video.fps)
        self.rows_without_id += int((table.track_id == 0).sum())
        keep = np.flatnonzero(seen & (table.track_id > 0))
        if not len(keep):
            return
        table, times, xyxy = table[keep], times[keep], xyxy[keep]
        self._add_busy(table, times)
        order = np.lexsort((times, table.track_id))
        ids = table.track_id[order]
        for rows in np.split(order, np.flatnonzero(np.diff(ids)) + 1):
            self._add_track(sequence.class_names, table[rows], times[rows], xyxy[rows])
        self._limit_paths(2 * MAX_PATHS)

    def busiest(self, count: int = 5) -> list[tuple[float, int, int]]:
        """Return (start, tracks seen, maximum at once) of the busiest minutes, busiest first."""
        found = [
            (self.span.bin_start(number, self.busy_s), len(ids), self._most[number])
            for number, ids in self._busy.items()
        ]
        return sorted(found, key=lambda one: (-one[1], -one[2], one[0]))[:count]

    def longest_paths(self) -> dict[int, list[Floats]]:
        """Return {track: pieces f64[N,3] of x, y, time} of the tracks that moved farthest."""
        self._limit_paths(MAX_PATHS)
        return self.paths

    def tracks_by_class(self) -> dict[str, list[TrackFacts]]:
        """Return the tracks of each class, the most frequent class first."""
        found: dict[str, list[TrackFacts]] = {}
        for track in self.tracks.values():
            found.setdefault(track.class_name, []).append(track)
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))

    def _times(self, sequence: RecordedSequence, offset_s: float) -> Floats:
        return times_of(sequence, offset_s, is_utc=self.span.is_utc)

    def _scale(self, sequence: RecordedSequence) -> Floats:
        video = sequence.video
        if not video.has_known_size or (video.width, video.height) == self.size:
            return np.ones(4)
        self.scaled.add(f"{video.width}x{video.height}")
        factor = (self.size[0] / video.width, self.size[1] / video.height)
        return np.array([*factor, *factor])

    def _add_busy(self, table: BoxTable, times: Floats) -> None:
        start = math.floor(self.span.start_s / self.busy_s)
        numbers = (np.floor(times / self.busy_s) - start).astype(np.int64)
        pairs = np.unique(np.column_stack([numbers, table.track_id]), axis=0)
        for number, track_id in pairs.tolist():
            self._busy.setdefault(number, set()).add(track_id)
        frames, first, at_once = np.unique(table.frame, return_index=True, return_counts=True)
        del frames
        for number, count in zip(numbers[first].tolist(), at_once.tolist(), strict=True):
            self._most[number] = max(self._most[number], count)

    def _add_track(
        self, names: Mapping[int, str], rows: BoxTable, times: Floats, xyxy: Floats
    ) -> None:
        track_id = int(rows.track_id[0])
        first_s, last_s = float(times[0]), float(times[-1])
        track = self.tracks.setdefault(track_id, TrackFacts(first_s, last_s, 0, Counter()))
        track.last_s = max(track.last_s, last_s)
        track.frames += len(rows)
        for class_id, count in zip(*np.unique(rows.class_id, return_counts=True), strict=True):
            name = names.get(int(class_id), "object" if class_id < 0 else str(class_id))
            track.classes[name] += int(count)
        feet = feet_of(xyxy)
        kept = simplified(times, feet, _TOLERANCE_PX)
        self.paths.setdefault(track_id, []).append(np.column_stack([feet, times])[kept])

    def _limit_paths(self, limit: int) -> None:
        if len(self.paths) > limit:
            longest = sorted(self.paths, key=lambda one: -_extent(self.paths[one]))[:MAX_PATHS]
            self.paths = {track_id: self.paths[track_id] for track_id in sorted(longest)}


def times_of(sequence: RecordedSequence, offset_s: float, *, is_utc: bool) -> Floats:
    """Return the rows' times on a source's axis."""
    table = sequence.table
    if is_utc:
        return table.utc_s
    known = np.isfinite(table.pts_s)
    return np.where(known, table.pts_s, table.frame / sequence.video.fps) + offset_s


def _extent(pieces: list[Floats]) -> float:
    """Return the diagonal of what a path covers."""
    whole = np.concatenate(pieces)
    return float(np.hypot(*np.ptp(whole[:, :2], axis=0)))


@dataclass(slots=True)
class Facts:
    """Facts about a source, besides its tracks."""

    recordings: int = 1
    video_s: float = 0.0
    frames: int = 0
    dropped: int = 0
    warnings: list[str] = field(default_factory=list)
