"""A database file belongs to one program at a time: two would finish and deliver each other's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.core.errors import StoreError
from pipeline.core.file_lock import LockHeldError, lock_file


def claim(file: Path) -> Callable[[], None]:
    """Return what lets go of the file again; raises StoreError while another program has it.

    A lock file beside it says so, which a killed program leaves without its lock. Where the system
    or the file system has no such locks, nothing is checked.
    """
    try:
        return lock_file(file.with_name(f"{file.name}.lock"))
    except LockHeldError:
        told = "another Trackline keeps its events there; choose another output folder"
        raise StoreError(f"events database {file}: {told}") from None
