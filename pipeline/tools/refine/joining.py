"""Joining of track fragments of one object, by motion and size, in one assignment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import cxcywh_from_xyxy
from pipeline.core.track_files import BoxTable
from pipeline.tools.refine.options import RefineOptions
from pipeline.trackers._association import assign

Float64 = NDArray[np.float64]
Rows = NDArray[np.intp]

# A fragment's speed is fitted to so many seconds at its end, with a pull towards standing still
# as strong as so many seconds' worth of boxes have against it.
_FIT_S = 0.5
_PULL_S = 0.25


class _Ends:
    """State of F fragments at their starts or at their ends.

    `frame` i64[F], `class_id` i64[F], `centre` f64[F,2] and `height` f64[F] in pixels, `speed`
    f64[F,2] in pixels per second.
    """

    def __init__(self, fragments: list[BoxTable], fps: float, *, last: bool) -> None:
        count = max(round(_FIT_S * fps), 2)
        near = [rows[-count:] if last else rows[:count] for rows in fragments]
        edge = -1 if last else 0
        self.frame = np.array([rows.frame[edge] for rows in near])
        self.class_id = np.array([rows.class_id[edge] for rows in near])
        fits = [_line(rows, edge, fps) for rows in near]
        self.centre = np.array([fit[0] for fit in fits])
        self.speed = np.array([fit[1] for fit in fits])
        self.height = np.array([np.median(rows.xyxy[:, 3] - rows.xyxy[:, 1]) for rows in near])


def joined(fragments: list[BoxTable], fps: float, options: RefineOptions) -> list[int]:
    """Return for each fragment the index of the one that continues it, -1 if there is none.

    Two fragments may be one object if the second begins at most `join_s` after the first ended, is
    of the same class, and each, extrapolated at its own speed, meets the other within `reach`
    heights, with sizes that agree. The pairs are the assignment with the best total, in which each
    fragment has at most one successor and one predecessor.
    """
    if len(fragments) < 2:
        return [-1] * len(fragments)
    ends, starts = (_Ends(fragments, fps, last=last) for last in (True, False))
    i, j = _in_time(ends.frame, starts.frame, max(int(options.join_s * fps), 0))
    same = ends.class_id[i] == starts.class_id[j]
    i, j = i[same], j[same]
    benefit = _agreement(ends, starts, i, j, fps, options) if len(i) else np.empty(0)
    following = np.full(len(fragments), -1)
    rows, columns, _ = assign(i, j, benefit, (len(fragments), len(fragments)))
    following[rows] = columns
    return [int(each) for each in following]


def _line(rows: BoxTable, edge: int, fps: float) -> tuple[Float64, Float64]:
    """Return the centre at the edge and the speed in pixels per second."""
    centre = cxcywh_from_xyxy(rows.xyxy)[:, :2]
    seconds = (rows.frame - rows.frame[edge]) / fps
    away, moved = seconds - seconds.mean(), centre - centre.mean(axis=0)
    pull = len(rows) * _PULL_S**2 / 12
    speed = away @ moved / (away @ away + pull)
    return centre.mean(axis=0) - seconds.mean() * speed, speed


def _in_time(end: NDArray[np.int64], start: NDArray[np.int64], gap: int) -> tuple[Rows, Rows]:
    """Return the pairs (i, j) with start[j] after end[i], at most `gap` frames missing between."""
    order = start.argsort(kind="stable")
    begin = start[order]
    first = begin.searchsorted(end, "right")
    count = begin.searchsorted(end + gap + 1, "right") - first
    i = np.arange(len(end)).repeat(count)
    j = np.arange(len(i)) + (first - (count.cumsum() - count)).repeat(count)
    return i, order[j]


def _agreement(
    ends: _Ends, starts: _Ends, i: Rows, j: Rows, fps: float, options: RefineOptions
) -> Float64:
    """Return f64[P]: how well start j continues end i, 1 perfectly, 0 and less not at all."""
    seconds = ((starts.frame[j] - ends.frame[i]) / fps)[:, None]
    between = starts.centre[j] - ends.centre[i]
    forward = np.hypot(*(between - ends.speed[i] * seconds).T)
    backward = np.hypot(*(between - starts.speed[j] * seconds).T)
    height = np.minimum(ends.height[i], starts.height[j])
    apart = (forward + backward) / 2 / height
    larger = np.abs(np.log(ends.height[i] / starts.height[j])) / np.log(options.size_ratio)
    agreement: Float64 = 1 - np.hypot(apart / options.reach, larger)
    return agreement
