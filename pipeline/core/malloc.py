"""Settings of glibc's allocator that keep memory small; no effect with another C library."""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads of this process allocate from two heaps.

    By default glibc gives each new thread a heap of its own, and what a thread frees stays in it:
    a tenth of the memory of a run with a dozen threads that each allocate little.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def return_freed() -> None:
    """Give what was freed back to the system: worth it once, after loading a network."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
