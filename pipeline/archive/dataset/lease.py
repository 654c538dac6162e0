"""Lock of a dataset in an object store: an object that one job puts, renews and removes.

Stores have no file locks, but they can refuse to replace an existing object, so only one of two
jobs that put `.lock-000007` gets it. A killed job stops renewing; the next one takes the next
number, which a suspended holder notices when it resumes.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.archive.dataset.files import names_in, put_bytes, read_text, remove_file
from pipeline.core.errors import OutputError
from pipeline.core.file_lock import LockHeldError

log = logging.getLogger("trackline")

LEASE_S = 120.0
"""Seconds a lease is valid without renewal; clocks must differ by less than half of it."""
RENEW_S = 20.0
_NAME = re.compile(r"\.lock-(\d{6,})")


class LeaseHeldError(LockHeldError):
    """Another job holds the lease; `holder` is its process and machine."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        super().__init__(None)

    @property
    def holder(self) -> str:
        """Return the holder, for a message."""
        return self._holder


def is_lease(name: str) -> bool:
    """Return whether a name in the dataset's folder is that of a lease."""
    return _NAME.fullmatch(name) is not None


def take_lease(dataset: Path) -> Callable[[], None]:
    """Acquire the dataset's lease; return its release function. Raises LeaseHeldError, OSError."""
    held = sorted(filter(is_lease, names_in(dataset)), key=_number)
    if held and (holder := _holder(dataset / held[-1])):
        raise LeaseHeldError(holder)
    own = f".lock-{_number(held[-1]) + 1 if held else 1:06d}"
    try:
        put_bytes(dataset / own, _content(), is_new=True)
    except FileExistsError:
        raise LeaseHeldError("another process, which began just now") from None
    for name in held:
        remove_file(dataset / name)
    return _Renewal(dataset, own).stop


def _number(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0


def _content() -> bytes:
    value = {"host": platform.node(), "pid": os.getpid(), "until": time.time() + LEASE_S}
    return json.dumps(value).encode()


def _holder(path: Path) -> str:
    """Return the holder of a lease, "" if it has expired or its process is gone."""
    try:
        value = json.loads(read_text(path))
        host, pid, until = str(value["host"]), int(value["pid"]), float(value["until"])
    except FileNotFoundError:
        return ""  # released just now
    except (ValueError, TypeError, KeyError):
        return ""
    if until < time.time() or (host == platform.node() and not _is_running(pid)):
        return ""
    return f"process {pid} on {host}"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class _Renewal:
    """Renews a lease on its own thread until it is released."""

    def __init__(self, dataset: Path, name: str) -> None:
        self._dataset = dataset
        self._name = name
        self._is_lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Release the lease; raises OutputError if another job has taken it."""
        self._stop.set()
        self._thread.join()
        if self._is_lost:
            raise OutputError(
                f"{self._dataset}: its lock could not be renewed, and another job took it; "
                "run the command again once that has ended"
            )
        with suppress(OSError):
            remove_file(self._dataset / self._name)

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S):
            try:
                newest = max(filter(is_lease, names_in(self._dataset)), key=_number, default="")
                if _number(newest) > _number(self._name):
                    self._is_lost = True
                    log.error("%s: another job took its lock", self._dataset)
                    return
                put_bytes(self._dataset / self._name, _content())
            except OSError as error:
                log.warning("%s: its lock could not be renewed: %s", self._dataset, error.strerror)
