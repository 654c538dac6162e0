"""How many cores, how much memory and how many open files this process may really use.

Containers limit a process without changing what the machine says of itself: affinity masks, and
control groups of version 2 (`cpu.max`, `memory.max`) or 1 (`cpu.cfs_quota_us`, ...); see the Linux
kernel's Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED_BYTES = 1 << 60  # version 1 writes a huge number where there is no limit


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of the machine, those this process may run on, and the quota of its control group."""

    machine: int
    allowed: int
    quota: float | None

    @property
    def usable(self) -> float:
        """Return how many cores' worth of time there is."""
        return min(self.allowed, self.quota) if self.quota else self.allowed


def cores(root: Path = Path("/")) -> Cores:
    """Return what there is; `root` is where /proc and /sys are found."""
    machine = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    quotas = [quota for folder in _groups(root, "cpu") if (quota := _quota(folder)) is not None]
    return Cores(machine, allowed, min(quotas, default=None))


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes this process's control groups allow it, None without a limit."""
    limits = [
        int(text)
        for folder in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _read(folder / name)).isdecimal() and int(text) < _UNLIMITED_BYTES
    ]
    return min(limits, default=None)


def memory_of_machine(root: Path = Path("/")) -> tuple[int, int] | None:
    """Return (total, available) bytes as Linux tells them, None elsewhere."""
    found = {}
    for line in _read(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if value.strip().endswith("kB"):
            found[key] = int(value.split()[0]) * 1024
    if "MemTotal" not in found:
        return None
    return found["MemTotal"], found.get("MemAvailable", found["MemTotal"])


def open_files() -> tuple[int, int] | None:
    """Return the (soft, hard) limit of open files, None where the system has no such thing."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def cpu_name(root: Path = Path("/")) -> str:
    """Return what the processor calls itself."""
    for line in _read(root / "proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, up to the outermost: each may limit."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / controllers
        folder = base / path.lstrip("/")
        while True:
            yield folder
            # A container sees its own group as the root, whatever /proc says.
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent


def _quota(folder: Path) -> float | None:
    """Return a group's cores: its time per period."""
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # "max", or -1 in version 1
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
