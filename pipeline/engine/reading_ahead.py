"""How far ahead files may be decoded: how many at a time, and how many frames of each."""

from __future__ import annotations

from pipeline.interfaces import SourceInfo

LEAST_AHEAD, CHEAP_BYTES = 4, 2**22
"""Frames of a file that may always be decoded ahead, to ride out a slow one, and how much memory
is not worth saving."""


def most_in(megabytes: int, info: SourceInfo) -> int:
    """Return how many frames fit into that much memory; 2 at least."""
    return max(2, megabytes * 2**20 // _frame_bytes(info))


def most_for(detector_frames: int, info: SourceInfo) -> int:
    """Return how many frames are of use to a detector that is given so many, or are cheap."""
    return max(LEAST_AHEAD, detector_frames, CHEAP_BYTES // _frame_bytes(info))


def _frame_bytes(info: SourceInfo) -> int:
    return max(info.width * info.height * 3, 1)
