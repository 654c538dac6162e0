"""Keyframes of a track: thinned out for editors, and expanded into a box per frame again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MAX_FILLED = 10_000_000
"""Rows between the keyframes of one track; four days at 25 frames per second."""


def spans(frame: NDArray[np.int64], *marks: NDArray[np.generic]) -> list[tuple[int, int]]:
    """Return [first, end) rows of each run of consecutive frames with the same marks."""
    if not len(frame):
        return []
    breaks = np.diff(frame) != 1
    for mark in marks:
        breaks |= mark[1:] != mark[:-1]
    return [*pairwise([0, *(np.flatnonzero(breaks) + 1).tolist(), len(frame)])]


def thinned(
    frame: NDArray[np.int64], xyxy: NDArray[np.float64], tolerance: float
) -> NDArray[np.intp]:
    """Return the rows to keep so that lines between them meet each side within `tolerance` pixels.

    `frame` i64[N] ascends, `xyxy` f64[N,4]; the first and last row stay. Tolerance 0 keeps all.
    Splits where the line is farthest off (Douglas and Peucker 1973, on the four sides at once).
    """
    if tolerance <= 0 or len(frame) < 3:
        return np.arange(len(frame))
    keep = np.zeros(len(frame), bool)
    keep[[0, -1]] = True
    todo = [(0, len(frame) - 1)]
    while todo:
        first, last = todo.pop()
        if last - first < 2:
            continue
        share = (frame[first : last + 1] - frame[first]) / (frame[last] - frame[first])
        line = xyxy[first] + share[:, None] * (xyxy[last] - xyxy[first])
        off = np.abs(xyxy[first : last + 1] - line).max(axis=1)
        worst = int(off.argmax())
        if off[worst] > tolerance:
            keep[first + worst] = True
            todo += [(first, first + worst), (first + worst, last)]
    return np.flatnonzero(keep)


def expanded(
    frame: NDArray[np.int64], xyxy: NDArray[np.float64], goes_on: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (frames, boxes) with those between keyframes interpolated where the track goes on.

    `frame` i64[N] ascends without repetition, `xyxy` f64[N,4]; `goes_on` bool[N] says that the
    object is seen between a keyframe and the next. Keyframes themselves all stay. Raises
    ValueError where a track would get more than MAX_FILLED rows.
    """
    if not len(frame):
        return frame, xyxy
    missing = np.where(goes_on[:-1], np.diff(frame) - 1, 0)
    if missing.sum() > MAX_FILLED:
        raise ValueError(f"keyframes are {missing.max()} frames apart")
    left = np.repeat(np.arange(len(frame) - 1), missing)
    place = np.arange(len(left)) - np.repeat(missing.cumsum() - missing, missing) + 1
    share = (place / (frame[left + 1] - frame[left]))[:, None]
    frames = np.concatenate([frame, frame[left] + place])
    boxes = np.concatenate([xyxy, xyxy[left] * (1 - share) + xyxy[left + 1] * share])
    order = frames.argsort(kind="stable")
    return frames[order], boxes[order]
