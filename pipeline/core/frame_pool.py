"""Pool of frame buffers: no memory is allocated per frame in steady state."""

from __future__ import annotations

import sys
import threading

import numpy as np

from pipeline.core.data import Image

# What sys.getrefcount returns for a buffer that only the pool's list, the loop variable and the
# call itself refer to. Measured, not assumed: it differs between interpreter versions.
_probe = [np.empty(0, np.uint8)]
_IDLE_REFERENCES = next(sys.getrefcount(buffer) for buffer in _probe)

MAX_BYTES = 2**28


class FramePool:
    """Pool of u8[H,W,3] arrays; an array is free again once nothing refers to it.

    NumPy makes every view, slice and exported buffer refer to the array that owns the memory, so
    the owner's reference count shows whether one is left. `keep` bounds the idle memory and must
    exceed what the queues of a run hold together, otherwise a slow sink makes every frame a new
    allocation; a consumer that keeps frames makes the pool allocate, never wait or overwrite. Of
    large pictures at most MAX_BYTES are kept, but always two. Any thread may take and release.
    """

    def __init__(self, keep: int = 64) -> None:
        self._keep = keep
        self._buffers: list[Image] = []
        self._lock = threading.Lock()

    def take(self, height: int, width: int) -> Image:
        """Return a writable u8[height,width,3] array with arbitrary content."""
        size = height * width * 3
        with self._lock:
            if self._buffers and self._buffers[0].size != size:
                self._buffers.clear()
            for buffer in self._buffers:
                if sys.getrefcount(buffer) == _IDLE_REFERENCES:
                    return buffer.reshape(height, width, 3)
            fresh: Image = np.empty(size, np.uint8)
            if len(self._buffers) < min(self._keep, max(2, MAX_BYTES // size)):
                self._buffers.append(fresh)
            return fresh.reshape(height, width, 3)

    def clear(self) -> None:
        """Drop all idle memory; buffers in use stay with their users and are not reused."""
        with self._lock:
            self._buffers.clear()
