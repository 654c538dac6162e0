"""Two programs at the same job, each measurement a process of its own; the table of the two."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OURS, THEIRS = "trackline", "ultralytics"


def measured(command: list[str], side: str, checkout: Path = ROOT) -> Any:
    """Run a worker in an empty folder and return what it prints last, as JSON; ends on failure.

    It imports the package of that `checkout`.
    """
    path = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))
    quiet = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **quiet, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{side} failed with exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def is_worker(given: argparse.Namespace, work: Callable[[argparse.Namespace], object]) -> bool:
    """In a worker, print what `work` measures as JSON; else print the head of the table."""
    if given.worker:
        print(json.dumps(work(given)))
        return True
    print(f"{machine_name()}; {given.video.name}, {given.model.name}, {given.frames} frames")
    print(f"median of {given.repeats} (range); one after the other, in turn")
    return False


def timed(start: Callable[[], Iterable[object]]) -> dict[str, float]:
    """Return frames, seconds, cpu_s and peak_mb of this process, until the last result."""
    started, cpu_started = time.perf_counter(), time.process_time()
    frames = sum(1 for _ in start())
    seconds = time.perf_counter() - started
    return {
        "frames": frames,
        "seconds": seconds,
        "cpu_s": time.process_time() - cpu_started,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    """Return the most memory this process had."""
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says on Linux began with the process that started this
        held = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(held.split()[1]) * 1024 / 1e6
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def print_row(
    title: str,
    rounds: list[dict[str, dict[str, float]]],
    value: Callable[[dict[str, float]], float],
) -> None:
    """Print the medians of both sides with their ranges, and the ratio of the medians."""
    ours, theirs = ([value(one[side]) for one in rounds] for side in (OURS, THEIRS))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ours) / statistics.median(theirs)
    spread = f"{ratio:.2f}x ({min(ratios):.2f}..{max(ratios):.2f})"
    print(f"{title:28}{cell(ours):>22}{cell(theirs):>22}{spread:>22}", flush=True)


def cell(values: list[float]) -> str:
    """Return the median and the range of values."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}..{max(values):.1f})"


def machine_name() -> str:
    """Return the processor's name and how many cores there are."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores"
