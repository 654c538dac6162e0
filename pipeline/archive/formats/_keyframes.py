"""Keyframes of a track: from boxes per frame to the stretches of editors, and back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MAX_FILLED = 10_000_000
"""Maximum rows between the keyframes of one track; four days at 25 frames per second."""
MAX_ROWS = 50_000_000
"""Maximum rows of a file: a few keyframes can expand to any amount of memory."""


def spans(frame: NDArray[np.int64], *marks: NDArray[np.generic]) -> list[tuple[int, int]]:
    """Return [first, end) rows of each run of consecutive frames with the same marks."""
    if not len(frame):
        return []
    breaks = np.diff(frame) != 1
    for mark in marks:
        breaks |= mark[1:] != mark[:-1]
    return [*pairwise([0, *(np.flatnonzero(breaks) + 1).tolist(), len(frame)])]


def expanded(
    frame: NDArray[np.int64], xyxy: NDArray[np.float64], goes_on: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (frames, boxes) with those between keyframes interpolated where the track continues.

    `frame` i64[N] is strictly ascending, `xyxy` f64[N,4]; `goes_on` bool[N]: the object is visible
    between this keyframe and the next. All keyframes are kept. Raises ValueError if a track would
    get more than MAX_FILLED rows.
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


def check_filled(rows: int) -> None:
    """Raise ValueError if the tracks of a file have more than MAX_ROWS rows."""
    if rows > MAX_ROWS:
        raise ValueError(f"its keyframes stand for more than {MAX_ROWS:,} boxes")
