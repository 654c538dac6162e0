"""Settings of glibc's allocator that keep memory small; no effect with another C library."""

from __future__ import annotations

import ctypes
import sys

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


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
