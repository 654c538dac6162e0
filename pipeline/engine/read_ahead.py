"""How many frames of a file may be decoded ahead, and be on their way to the last sink."""

from __future__ import annotations

from pipeline.core.run_info import SourceInfo

READ_AHEAD, READ_AHEAD_BYTES, MIN_READ_AHEAD, CHEAP_BYTES = 4, 2**26, 2, 2**22
"""Frames of a file that may be decoded ahead to ride out a slow one, unless they take more bytes;
so many in any case; and how much memory is not worth saving."""

MOVING_BYTES, MIN_MOVING = 2**25, 2
"""Bytes of a file's pictures that may be between its decoder and the end of the last sink, wherever
the slowest stage makes them wait; and how many may be there in any case."""


def max_moving(frame_bytes: int, batch_size: int, in_flight: int) -> int:
    """Return how many frames of a file may be on their way: a detector gets all it can work on.

    A quarter more where those are many, to ride out slow ones. On two processors two frames are
    being inferred, while the third is decoded, drawn on or encoded.
    """
    detector = batch_size * in_flight
    return max(MIN_MOVING, MOVING_BYTES // max(frame_bytes, 1), detector + detector // 4)


def frames_in_memory(megabytes: int, info: SourceInfo) -> int:
    """Return how many frames fit into that much memory; 2 at least."""
    return max(2, megabytes * 2**20 // bytes_of_frame(info))


def useful_read_ahead(detector_frames: int, info: SourceInfo) -> int:
    """Return how many frames a detector that takes so many has a use for, or are cheap."""
    size = bytes_of_frame(info)
    ahead = max(MIN_READ_AHEAD, min(READ_AHEAD, READ_AHEAD_BYTES // size))
    return max(ahead, detector_frames, CHEAP_BYTES // size)


def bytes_of_frame(info: SourceInfo) -> int:
    """Return the bytes of one of a source's frames as BGR; 1 if its size is unknown."""
    return max(info.width * info.height * 3, 1)
