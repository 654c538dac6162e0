"""Runs many cameras on few cores: whether any starves, how old pictures get, and what it takes.

    python benchmarks/many_cameras.py [--cameras 16] [--fps 10] [--seconds 60] [--model builtin]
        [--video VIDEO] [--width 1920 --height 1080] [--before CHECKOUT] [--repeats 1]

Without VIDEO synthetic cameras give a frame every 1/fps seconds whether it is taken or not. With
it each camera is a stream of that video (H.264 in MPEG-TS over TCP, from a process of its own),
which is decoded as any other. `--before` measures another checkout in the same turns. Prints
results a second, ages of results when the sinks get them, peak memory and CPU time of the whole
process, then each camera's books; exit code 1 where a camera starves, the worst p95 age is more
than twice the best, or the books do not balance.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _side_by_side import OURS, ROOT, machine_name, measured, timed

WORST_TO_BEST = 2.0
STARVING = 0.5
"""A camera that gets less than this part of what the average one gets starves."""
BEFORE = "before"


def main() -> int:
    """Run, print and judge; return the exit code."""
    given = _arguments()
    if given.worker is not None:
        print(json.dumps(_work(given)))
        return 0
    checkouts = {OURS: ROOT} | ({BEFORE: given.before} if given.before else {})
    rounds: dict[str, list[dict[str, Any]]] = {side: [] for side in checkouts}
    for _ in range(given.repeats):
        for side, checkout in checkouts.items():
            with _camera_streams(given) as port:
                rounds[side].append(measured(_worker(given, port), side, checkout))
    shown = given.video.name if given.video else "synthetic"
    print(
        f"{machine_name()}; {given.cameras} cameras of {given.width}x{given.height} ({shown}) "
        f"at {given.fps:g} fps for {given.seconds} s, {Path(given.model).name} at {given.imgsz}\n"
    )
    _print_sides(rounds)
    last = rounds[OURS][-1]["sources"]
    if given.json:
        print(json.dumps(last, indent=2))
    print(f"\n{'camera':10}{'grabbed':>9}{'delivered':>11}{'dropped':>9}{'p50 ms':>9}{'p95 ms':>9}")
    for name, one in last.items():
        counts = f"{one['grabbed']:>9}{one['delivered']:>11}{one['dropped']:>9}"
        print(f"{name:10}{counts}{one['age']['p50_ms']:>9.0f}{one['age']['p95_ms']:>9.0f}")
    problems = judged(last)
    print("\n" + "\n".join(problems or ["no camera starves, ages are alike, the books balance"]))
    return 1 if problems else 0


def judged(sources: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is wrong with the cameras' books, in words."""
    delivered = {name: one["delivered"] for name, one in sources.items()}
    average = sum(delivered.values()) / len(delivered)
    ages = {name: one["age"]["p95_ms"] for name, one in sources.items()}
    ratio = max(ages.values()) / max(min(ages.values()), 1e-9)
    print(f"\ndelivered {min(delivered.values())} to {max(delivered.values())} each; ", end="")
    print(f"p95 age {min(ages.values()):.0f} to {max(ages.values()):.0f} ms: {ratio:.2f}x")
    problems = [
        f"{name} starves: {count} results, {average:.0f} on average"
        for name, count in delivered.items()
        if count < STARVING * average
    ]
    if ratio > WORST_TO_BEST:
        problems.append(f"p95 age of the worst is {ratio:.2f}x that of the best")
    problems += [
        f"{name}: {one['grabbed']} grabbed, {one['delivered']} delivered, {one['dropped']} dropped"
        for name, one in sources.items()
        if one["grabbed"] != one["delivered"] + one["dropped"]
    ]
    return problems


def _print_sides(rounds: dict[str, list[dict[str, Any]]]) -> None:
    """Print a line per side, medians of its runs."""
    heads = ("results/s", "p95 age ms", "worst p95", "MB", "CPU s", "CPU ms a result", "threads")
    print(f"{'':12}" + "".join(f"{head:>17}" for head in heads))
    for side, runs in rounds.items():
        rows = []
        for run in runs:
            ages = [one["age"]["p95_ms"] for one in run["sources"].values()]
            results = run["frames"]
            cpu_ms = run["cpu_s"] / max(results, 1) * 1e3
            p95 = statistics.median(ages), max(ages)
            rows.append((run["fps"], *p95, run["peak_mb"], run["cpu_s"], cpu_ms, run["threads"]))
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"{side:12}" + "".join(f"{value:>17.1f}" for value in medians), flush=True)


def _worker(given: argparse.Namespace, port: int) -> list[str]:
    """Return the command of the process that is measured, which runs in a folder of its own."""
    names = ("cameras", "fps", "seconds", "width", "height", "model", "imgsz")
    options = [f"--{name}={getattr(given, name)}" for name in names]
    options += [f"--video={given.video}"] if given.video else []
    return [sys.executable, str(Path(__file__).resolve()), *options, f"--worker={port}"]


@contextmanager
def _camera_streams(given: argparse.Namespace) -> Iterator[int]:
    """Serve the cameras' streams in another process; yield its port, 0 where none is wanted."""
    if given.video is None:
        yield 0
        return
    script = str(Path(__file__).with_name("_camera_streams.py").resolve())
    size = [str(given.width), str(given.height)]
    command = [sys.executable, script, str(given.video), *size, str(given.fps), str(given.seconds)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait(30)


def _work(given: argparse.Namespace) -> dict[str, Any]:
    """In the process that is measured: run and return report, time and memory."""
    import pipeline

    frames = round(given.fps * given.seconds)
    names = [f"cam{number:02}" for number in range(given.cameras)]
    if given.video is None:
        size = {"width": given.width, "height": given.height}
        camera = {"kind": "synthetic", "live": True, "fps": given.fps, "frames": frames, **size}
        sources = [{**camera, "name": name, "seed": seed} for seed, name in enumerate(names)]
    else:
        camera = {"kind": "stream", "url": f"tcp://127.0.0.1:{given.worker}"}
        sources = [{**camera, "name": name} for name in names]
    config = {
        "sources": sources,
        "detector": {"model": given.model, "imgsz": given.imgsz},
        "sinks": [],
        "run": {"output": "out", "max_frames": frames},
    }
    report: dict[str, Any] = {}

    def run() -> list[object]:
        report.update(pipeline.run(config))
        return []

    threads: list[int] = []
    sampler = threading.Thread(target=_sample, args=(threads,), daemon=True)
    sampler.start()
    used = timed(run)
    picked = {key: report[key] for key in ("frames", "fps", "sources")}
    return {**used, **picked, "threads": max(threads, default=0)}


def _sample(threads: list[int]) -> None:
    """Note how many threads this process has, every half second."""
    folder = Path("/proc/self/task")
    while folder.is_dir():
        threads.append(sum(1 for _ in folder.iterdir()))
        time.sleep(0.5)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--video", type=lambda text: Path(text).resolve())
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), metavar="CHECKOUT")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--model", type=_model, default="builtin")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--json", action="store_true", help="print the books as JSON, too")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _model(text: str) -> str:
    """Return a file's whole path: workers run in folders of their own."""
    return str(Path(text).resolve()) if Path(text).exists() else text


if __name__ == "__main__":
    sys.exit(main())
