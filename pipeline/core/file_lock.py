"""Lock file that one process holds at a time and that names its holder.

The lock itself is `filelock`'s; naming the holder and removing the file are ours.
"""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


class LockHeldError(Exception):
    """Another process holds the lock; `pid` is its process id, None if it cannot be read.

    `host` is its machine, for file systems shared over a network; `since` is the time (UTC) it
    acquired the lock, as text; both are "" if they cannot be read.
    """

    def __init__(self, pid: int | None, host: str = "", since: str = "") -> None:
        self.pid, self.host, self.since = pid, host, since
        super().__init__(f"held by {self.holder}")

    @property
    def holder(self) -> str:
        """Describe the holder for a message: "process 12 on host3 since 2024-01-31T14:25:01Z"."""
        if not self.pid:
            return "another process"
        where = f" on {self.host}" if self.host else ""
        return f"process {self.pid}{where}{f' since {self.since}' if self.since else ''}"


def lock_file(path: Path) -> Callable[[], None]:
    """Create and lock the file; return the function that unlocks and removes it.

    The lock of a killed process is released with it, and its file is taken over; a forked child
    never holds the lock. On file systems without locks (some network ones) nothing is checked.
    Raises LockHeldError, OSError.
    """
    from filelock import FileLock, Timeout

    path.parent.stat()  # filelock would create it
    lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            if path.exists():
                raise _holder_in(path) from None
            # the previous holder has just removed it
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            with suppress(OSError):
                path.unlink()
            return lambda: None
    owner = os.getpid()
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    with suppress(OSError):  # a full disk: the lock is held, only its holder is not named
        path.write_text(f"{owner} {now} {platform.node()}\n", "utf-8")

    def release() -> None:
        if os.getpid() != owner:
            return
        with suppress(OSError):
            path.unlink()
        lock.release()

    return release


def _holder_in(path: Path) -> LockHeldError:
    """Return the holder named in the file, which is empty for a moment after locking."""
    with suppress(OSError, ValueError):
        pid, since, host = [*path.read_text("utf-8").split(maxsplit=2), "", ""][:3]
        return LockHeldError(int(pid), host.strip(), since)
    return LockHeldError(None)
