"""Time, CPU and memory of `trackline batch` with one and two workers, beside `trackline run`.

python benchmarks/batch_workers.py ../shared/video [--workers 1 2] [--rounds 3] [--work FOLDER]

The videos are cut into 40 recordings of six cameras, each command detects and tracks all of them
and writes Parquet, in turn, round by round. Memory is the sum over the command's processes of
their proportional share (PSS), every quarter of a second: the most at a time, and its sum over
time by hour of video. The machine should do nothing else; its load before each run is printed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from _batch_pieces import cut_videos
from batch_kill import PIECES

from pipeline.sources._file.probe import probe

SAMPLE_EVERY_S = 0.25
QUIET_LOAD = 0.7


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    mb_s: float


def main() -> None:
    """Print one line per run, and the medians beside those of `trackline run`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", default="", help="of all commands, as '--imgsz 320'")
    parser.add_argument("--work", type=Path, help="folder to keep the recordings in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        root = args.work or Path(text)
        videos = root / "videos"
        if not videos.is_dir():
            cut_videos(args.videos, videos, PIECES)
        files = sorted(videos.glob("*.mp4"))
        hours = sum(probe(each).duration_s for each in files) / 3600
        print(f"{len(files)} recordings, {hours * 60:.1f} minutes of video", flush=True)
        commands = {"run": ["run", str(videos), "--save", "parquet"]}
        for count in args.workers:
            commands[f"batch --workers {count}"] = ["batch", str(videos), "--workers", str(count)]
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, words in commands.items():
                shutil.rmtree(root / "out", ignore_errors=True)
                words = [*words, *shlex.split(args.options), "-o", str(root / "out")]
                costs[name].append(measured(name, [sys.executable, "-m", "pipeline", *words]))
                show(name, costs[name][-1], hours)
        print("\nmedians")
        base = statistics.median(each.wall_s for each in costs["run"])
        for name, each in costs.items():
            middle = Cost(
                *(
                    statistics.median(getattr(one, field) for one in each)
                    for field in ("wall_s", "cpu_s", "peak_mb", "mb_s")
                )
            )
            show(name, middle, hours, f"  {base / middle.wall_s:.2f} x the speed of run")


def measured(name: str, command: list[str]) -> Cost:
    """Run a command alone and return what it took."""
    wait_until_quiet(name)
    began, before_s = time.monotonic(), children_cpu_s()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    watched = psutil.Process(process.pid)
    peak = total = 0.0
    last = began
    while process.poll() is None:
        now, held = time.monotonic(), pss(watched) / 2**20
        peak, total, last = max(peak, held), total + held * (now - last), now
        time.sleep(SAMPLE_EVERY_S)
    wall_s = time.monotonic() - began
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(process.stderr.read().decode())
    cpu_s = children_cpu_s() - before_s
    return Cost(wall_s, cpu_s, peak, total)


def children_cpu_s() -> float:
    """Return the CPU time of all commands that have ended, with their workers."""
    times = os.times()
    return times.children_user + times.children_system


def pss(process: psutil.Process) -> int:
    """Return the proportional share of a process and those that it started, in bytes."""
    held = 0
    with suppress(psutil.Error):
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                held += each.memory_full_info().pss
    return held


def wait_until_quiet(name: str) -> None:
    """Wait up to a minute for the machine to do nothing else, and print its load."""
    deadline = time.monotonic() + 60
    cores = psutil.cpu_count() or 1
    while (busy := psutil.cpu_percent(2.0) / 100 * cores) > QUIET_LOAD:
        if time.monotonic() > deadline:
            break
    print(f"  (before {name}: {busy:.1f} cores busy)", flush=True)


def show(name: str, cost: Cost, hours: float, more: str = "") -> None:
    """Print a line."""
    cpu_s, gb_h = cost.cpu_s / hours, cost.mb_s / 1024 / 3600 / hours
    print(
        f"{name:18} {cost.wall_s:6.1f} s, peak {cost.peak_mb:5.0f} MB; per hour of video "
        f"{cpu_s:6.0f} CPU s and {gb_h:5.2f} GB h{more}",
        flush=True,
    )


if __name__ == "__main__":
    main()
