"""Limits of this process: memory and open files (cores are in core.cpu_count)."""

from __future__ import annotations

import platform
from pathlib import Path

from pipeline.core.cpu_count import control_groups, read_text

_UNLIMITED_BYTES = 1 << 60  # version 1 writes a huge number where there is no limit


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes this process's control groups allow it, None without a limit."""
    limits = [
        int(text)
        for folder in control_groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := read_text(folder / name)).isdecimal() and int(text) < _UNLIMITED_BYTES
    ]
    return min(limits, default=None)


def memory_of_machine(root: Path = Path("/")) -> tuple[int, int] | None:
    """Return (total, available) bytes as Linux reports them, None elsewhere."""
    found = {}
    for line in read_text(root / "proc/meminfo").splitlines():
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
    """Return the processor's model name."""
    for line in read_text(root / "proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
