"""CPU cores this process may use, by affinity and control group; sets the numbers of threads.

Containers limit a process without changing what the machine reports: through affinity masks, and
control groups of version 2 (`cpu.max`, `memory.max`) or 1 (`cpu.cfs_quota_us`, ...); see the Linux
kernel's Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of the machine, cores this process may run on, and the quota of its control group."""

    machine: int
    allowed: int
    quota: float | None

    @property
    def usable(self) -> float:
        """Return the usable CPU time, in cores."""
        return min(self.allowed, self.quota) if self.quota else self.allowed

    @property
    def threads(self) -> int:
        """Return how many threads can compute at a time; at least 1.

        A fraction counts as a whole core: with a quota of 1.5, one thread would leave a third of it
        unused, while two use it up and pause until the period (a tenth of a second) is over.
        """
        return max(1, math.ceil(self.usable))

    @property
    def rationed(self) -> bool:
        """Return whether the quota is smaller than the number of cores it may run on."""
        return self.usable < self.allowed


def cores(root: Path = Path("/")) -> Cores:
    """Return the cores of this process; /proc and /sys are read below `root`."""
    machine = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    quotas = [
        quota for folder in control_groups(root, "cpu") if (quota := _quota(folder)) is not None
    ]
    return Cores(machine, allowed, min(quotas, default=None))


def share_of_cores(number: int, count: int) -> tuple[int, ...]:
    """Return the cores for one of several worker processes, `number` of `count`.

    Each gets cores of its own as long as there are enough; empty if the system cannot bind
    processes.
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    each = min(len(allowed), cores().threads) // count
    return tuple(allowed[number * each : (number + 1) * each]) if each else ()


class SingleOpenCvThread:
    """Limits OpenCV to one thread for as long as it is held; several may hold it.

    A network has a thread on every core; OpenCV's would compete with them, and spin while they
    wait for the next picture. The number is process-wide; the last release restores it.
    """

    _lock = threading.Lock()
    _holders = 0
    _before = 1

    def __init__(self) -> None:
        self._holds = False

    def hold(self) -> None:
        """Hold it; no effect if held already."""
        import cv2

        every = SingleOpenCvThread
        with self._lock:
            if self._holds:
                return
            if every._holders == 0:
                every._before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._holds = True
            every._holders += 1

    def release(self) -> None:
        """Release it; safe to call twice."""
        import cv2

        every = SingleOpenCvThread
        with self._lock:
            if not self._holds:
                return
            self._holds = False
            every._holders -= 1
            if every._holders == 0 and cv2.getNumThreads() == 1:
                cv2.setNumThreads(every._before)


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, innermost first; any may set a limit."""
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / controllers
        folder = base / path.lstrip("/")
        while True:
            yield folder
            # A container sees its own group as the root, whatever /proc lists.
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent


def _quota(folder: Path) -> float | None:
    """Return a group's quota in cores: its time per period."""
    quota, _, period = read_text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = (
            read_text(folder / "cpu.cfs_quota_us"),
            read_text(folder / "cpu.cfs_period_us"),
        )
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # "max", or -1 in version 1, means no quota
    return int(quota) / int(period)


def read_text(path: Path) -> str:
    """Return the text of a file in /proc or /sys, "" if there is none."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
