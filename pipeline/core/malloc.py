"""Settings of glibc's allocator that reduce memory; no effect with other C libraries."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable

SPARED_S = 10.0
"""CPU time of this process between two returns of freed memory, in seconds."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_ARENAS = 2
_LARGE_BYTES = 2**21


def share_arenas() -> None:
    """Let all threads of this process allocate from two heaps.

    By default glibc gives each new thread a heap of its own, and memory freed by a thread stays in
    it: a tenth of the memory of a run with a dozen threads that each allocate little. Large blocks
    are returned to the system when they are freed: by default glibc does so only until the first
    one is freed, and from then on gaps left by decoders' pictures stay in the heaps.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE_BYTES)


def return_freed() -> None:
    """Return freed memory to the system: worth it once, after loading a network."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


class Trimmer:
    """Returns freed memory to the system after frequent events, such as the end of a short file.

    Returned memory must be requested anew: 40 ms of CPU time for a clip of a second and its video.
    So it is done at most once per `SPARED_S` of this process's CPU time.
    """

    def __init__(
        self,
        trim: Callable[[], None] = return_freed,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._trim, self._clock = trim, clock
        self._due_s = 0.0
        self._lock = threading.Lock()

    def trim(self) -> None:
        """Return freed memory to the system unless that was done recently; any thread."""
        with self._lock:
            now = self._clock()
            if now < self._due_s:
                return
            self._due_s = now + SPARED_S
        self._trim()


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None


often = Trimmer()
"""The process-wide instance: all threads share one heap."""
