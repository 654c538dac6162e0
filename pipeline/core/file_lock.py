"""A lock file that one program holds at a time, and that names the process that holds it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class LockHeldError(Exception):
    """Another program holds the lock; `pid` is its process id, None where it cannot be read."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}")
        self.pid = pid


def lock_file(path: Path) -> Callable[[], None]:
    """Make and lock the file, return what unlocks and removes it; raises LockHeldError, OSError.

    A killed program leaves the file without its lock, which the next one takes. Where the system
    (Windows) or the file system (some network ones) has no such locks, nothing is checked.
    """
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        return lambda: None
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            pid = _pid_in(number)
            os.close(number)
            raise LockHeldError(pid) from None
        except OSError:
            os.close(number)
            with suppress(OSError):
                path.unlink()
            return lambda: None
        if _is_still(path, number):
            break
        os.close(number)  # the one before has just removed it
    with suppress(OSError):  # a full disk: the lock holds, only its pid is missing
        os.ftruncate(number, 0)
        os.pwrite(number, f"{os.getpid()}\n".encode(), 0)

    def release() -> None:
        with suppress(OSError):
            path.unlink()
        os.close(number)

    return release


def _pid_in(number: int) -> int | None:
    with suppress(OSError, ValueError):
        return int(os.pread(number, 32, 0))
    return None


def _is_still(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except FileNotFoundError:
        return False
