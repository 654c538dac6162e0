"""Settings of glibc's allocator that keep memory small; no effect with another C library."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable

SPARED_S = 10.0
"""Processor time of this process between two times that freed memory is given back."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_ARENAS = 2
_LARGE_BYTES = 2**21


def share_arenas() -> None:
    """Let all threads of this process allocate from two heaps.

    By default glibc gives each new thread a heap of its own, and what a thread frees stays in it:
    a tenth of the memory of a run with a dozen threads that each allocate little. Large blocks are
    given back to the system when they are freed: by default only until the first one is freed, and
    gaps of decoders' pictures stay in the heaps from then on.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE_BYTES)


def return_freed() -> None:
    """Give what was freed back to the system: worth it once, after loading a network."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


class Trimmer:
    """Gives freed memory back after things that may come often, such as the end of a short file.

    All that is given back must be asked for anew: for a clip of a second and its video that was
    40 ms of processor time. So it is done once for each `SPARED_S` of this process's own time.
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
        """Give freed memory back unless that was done a moment ago; any thread."""
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
"""The one of this process, whose heap is one for all."""
