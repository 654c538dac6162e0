"""A batch job killed at random and resumed, against the uninterrupted one: every row the same.

python benchmarks/batch_kill.py ../shared/video [--workers 1 2] [--kills 10] [--network]

The videos are cut into 40 recordings of six cameras. Detections are made once and replayed, unless
`--network` lets the network detect each time. A kill is SIGKILL to the main process, or, with
several workers, to one of them every other time.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from _batch_pieces import cut_videos, dataset_rows, write_detections

import pipeline

PIECES = {
    "plaza_walkers.avi": 12, "indoor_one_by_one.mp4": 21, "dashcam_highway.mp4": 4,
    "dashcam_two_cars.mp4": 1, "junction_cars_cyclist.mp4": 1, "junction_cars_truck.mp4": 1,
}  # fmt: skip
NETWORK = ["--imgsz", "320"]
ZONES = """cameras:
  videos-plaza-walkers:
    size: [768, 576]
    zones: [{name: middle, points: [[200, 100], [600, 100], [600, 560], [200, 560]], dwell_s: 2}]
    lines: [{name: across, points: [[384, 0], [384, 576]]}]
  videos-indoor-one-by-one:
    size: [768, 432]
    lines: [{name: across, points: [[384, 0], [384, 432]]}]
"""


def main() -> None:
    """Print how the datasets compare; exit code 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--work", type=Path, help="folder to keep recordings and datasets in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        root = args.work or Path(text)
        if not (root / "videos").is_dir():
            cut(args.videos, root, detect=not args.network)
        (root / "zones.yaml").write_text(ZONES)
        for old in (root / "whole", *root.glob("killed-*")):
            shutil.rmtree(old, ignore_errors=True)
        detector = NETWORK if args.network else ["--detections", str(root / "det")]
        began = time.monotonic()
        run(root, "whole", detector, 1)
        whole_s = time.monotonic() - began
        want = dataset_rows(root / "whole")
        counts = ", ".join(f"{len(each)} {name}" for name, each in want.items())
        print(f"uninterrupted: {whole_s:.1f} s; {counts}", flush=True)
        random.seed(args.seed)
        same = [
            killed(root, f"killed-{workers}", detector, workers, args.kills, whole_s, want)
            for workers in args.workers
        ]
    raise SystemExit(0 if all(same) else 1)


def cut(videos: Path, root: Path, *, detect: bool) -> None:
    """Cut the videos into recordings, and detect on them once."""
    for piece in cut_videos(videos, root / "videos", PIECES):
        if detect:
            found = [each.detections for each in pipeline.detect(piece.path, imgsz=320)]
            write_detections(root / "det" / f"{piece.path.stem}.txt", found)
    print(f"{sum(PIECES.values())} recordings", flush=True)


def start(root: Path, dataset: str, detector: list[str], workers: int) -> subprocess.Popen[bytes]:
    """Start the command."""
    words = [sys.executable, "-m", "trackline", "batch", str(root / "videos"), "-o"]
    words += [str(root / dataset), "--workers", str(workers), "--timezone", "UTC"]
    words += ["--zones", str(root / "zones.yaml"), *detector]
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


def run(root: Path, dataset: str, detector: list[str], workers: int) -> None:
    """Run the command to its end."""
    process = start(root, dataset, detector, workers)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said.decode())


def killed(  # noqa: PLR0913 - one experiment
    root: Path, dataset: str, detector: list[str], workers: int, kills: int, whole_s: float,
    want: dict[str, list[Any]],
) -> bool:  # fmt: skip
    """Kill and resume, then print whether the dataset is the same."""
    done = 0
    while done < kills:
        began = time.time()
        process = start(root, dataset, detector, workers)
        while not is_at_work(root / dataset, began) and process.poll() is None:
            time.sleep(0.01)
        # Some of the job is still to be done when the last kill comes.
        deadline = time.monotonic() + random.uniform(0, 1.2 * whole_s / kills / workers)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is not None:
            print(f"workers {workers}: over before kill {done + 1}; nothing is left", flush=True)
            break
        victims = children(process.pid) if done % 2 else []
        os.kill(random.choice(victims) if victims else process.pid, signal.SIGKILL)
        process.communicate()
        done += 1
        parts = len([*(root / dataset / "manifest").glob("*.json")])
        print(f"  kill {done}: {parts} of {sum(PIECES.values())} recordings done", flush=True)
    run(root, dataset, detector, workers)
    got = dataset_rows(root / dataset)
    same = got == want
    print(
        f"workers {workers}: {done} kills; {'the same' if same else 'DIFFERENT'} rows", flush=True
    )
    for name in want:
        if got[name] != want[name]:
            there = {str(each) for each in got[name]} ^ {str(each) for each in want[name]}
            print(f"  {name}: {len(there)} rows differ, such as {sorted(there)[:2]}")
    return same


def is_at_work(dataset: Path, began: float) -> bool:
    """Return whether a job has begun with a recording since then."""
    with suppress(OSError):
        return any(
            each.is_dir() and each.stat().st_mtime > began for each in (dataset / ".work").iterdir()
        )
    return False


def children(pid: int) -> list[int]:
    """Return the worker processes of a process."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes()
            if parent == pid and b"spawn_main" in words:
                found.append(int(folder.name))
    return found


if __name__ == "__main__":
    main()
