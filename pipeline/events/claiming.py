"""A database file belongs to one program at a time: two would finish and deliver each other's."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.errors import StoreError


def claim(file: Path) -> Callable[[], None]:
    """Return what lets go of the file again; raises StoreError while another program has it.

    A lock file beside it says so, which a killed program leaves without its lock. Where the system
    or the file system has no such locks, nothing is checked.
    """
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        return lambda: None
    lock = file.with_name(f"{file.name}.lock")
    while True:
        number = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(number)
            told = "another Trackline keeps its events there; choose another output folder"
            raise StoreError(f"events database {file}: {told}") from None
        except OSError:  # some network file systems
            os.close(number)
            return lambda: None
        if _is_still(lock, number):
            break
        os.close(number)  # the one before us has just removed it

    def release() -> None:
        with suppress(OSError):
            lock.unlink()
        os.close(number)

    return release


def _is_still(lock: Path, number: int) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(number))
    except FileNotFoundError:
        return False
