"""A lock file that one program holds at a time, and that names the process that holds it.

The lock itself is `filelock`'s; the process id in the file, and removing the file again, are ours.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


class LockHeldError(Exception):
    """Another program holds the lock; `pid` is its process id, None where it cannot be read."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}")
        self.pid = pid

    @property
    def holder(self) -> str:
        """Return who holds it, for a message: "process 123"."""
        return f"process {self.pid}" if self.pid else "another process"


def lock_file(path: Path) -> Callable[[], None]:
    """Make and lock the file, return what unlocks and removes it; raises LockHeldError, OSError.

    A killed program leaves the file without its lock, which the next one takes; a forked child
    never holds it. Where the file system has no such locks (some network ones), nothing is checked.
    """
    from filelock import FileLock, Timeout

    path.parent.stat()  # which filelock would make
    lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            if path.exists():
                raise LockHeldError(_pid_in(path)) from None
            # the one before has just removed it
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            with suppress(OSError):
                path.unlink()
            return lambda: None
    owner = os.getpid()
    with suppress(OSError):  # a full disk: the lock holds, only its pid is missing
        path.write_text(f"{owner}\n", "ascii")

    def release() -> None:
        if os.getpid() != owner:
            return
        with suppress(OSError):
            path.unlink()
        lock.release()

    return release


def _pid_in(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text("ascii"))
    return None
