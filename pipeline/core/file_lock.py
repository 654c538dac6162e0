"""A lock file that one program holds at a time, and that names the process that holds it.

The lock itself is `filelock`'s; the holder in the file, and removing the file again, are ours.
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
    """Another program holds the lock; `pid` is its process id, None where it cannot be read.

    `host` is its machine, which a network file system shares with others, `since` the time (UTC) it
    got the lock, as text; "" where they cannot be read.
    """

    def __init__(self, pid: int | None, host: str = "", since: str = "") -> None:
        self.pid, self.host, self.since = pid, host, since
        super().__init__(f"held by {self.holder}")

    @property
    def holder(self) -> str:
        """Return who holds it, for a message: "process 12 on host3 since 2024-01-31T14:25:01Z"."""
        if not self.pid:
            return "another process"
        where = f" on {self.host}" if self.host else ""
        return f"process {self.pid}{where}{f' since {self.since}' if self.since else ''}"


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
                raise _holder_in(path) from None
            # the one before has just removed it
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            with suppress(OSError):
                path.unlink()
            return lambda: None
    owner = os.getpid()
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    with suppress(OSError):  # a full disk: the lock holds, only its holder is missing
        path.write_text(f"{owner} {now} {platform.node()}\n", "utf-8")

    def release() -> None:
        if os.getpid() != owner:
            return
        with suppress(OSError):
            path.unlink()
        lock.release()

    return release


def _holder_in(path: Path) -> LockHeldError:
    """Return who holds the lock by its file, which is empty for a moment after it was taken."""
    with suppress(OSError, ValueError):
        pid, since, host = [*path.read_text("utf-8").split(maxsplit=2), "", ""][:3]
        return LockHeldError(int(pid), host.strip(), since)
    return LockHeldError(None)
