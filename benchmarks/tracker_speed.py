"""Prints what a frame costs each tracker, and a SORT that keeps one filterpy filter per object.

    python benchmarks/tracker_speed.py [--boxes 10 50 100 300 1000] [--pyxtrackers-python PATH]

All take the same crowd in turn, SORT with the published thresholds, in thread CPU time; each
figure is the median over frames and repeats. With the interpreter of an environment that has
`pyxtrackers` (compiled) installed, its trackers run in turn with ours. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filterpy_sort import ObjectSort
from numpy.typing import NDArray

from pipeline.core.data import Detections, Frame
from pipeline.core.interfaces import Tracker
from pipeline.trackers import bytetrack, ocsort, sort, trackline

FRAMES = 60
WARM_UP = 10
WIDTH, HEIGHT = 1920, 1080

PICTURE = np.zeros((1, 1, 3), np.uint8)


def crowd(boxes: int, seed: int = 0) -> list[NDArray[np.float32]]:
    """Return f32[~N,4] xyxy per frame: walkers in a 1920x1080 picture, one in 20 missed."""
    rng = np.random.default_rng(seed)
    edge = np.array([WIDTH, HEIGHT])
    centre = rng.random((boxes, 2)) * edge
    velocity = rng.normal(0, 3, (boxes, 2))
    height = rng.uniform(40, 160, boxes)
    half = np.stack((height * rng.uniform(0.35, 0.5, boxes), height), 1) / 2
    frames = []
    for _ in range(FRAMES):
        centre += velocity
        velocity = np.where((centre < 0) | (centre > edge), -velocity, velocity)
        seen = centre + rng.normal(0, 1, centre.shape)
        xyxy = np.concatenate((seen - half, seen + half), 1)
        frames.append(xyxy[rng.random(boxes) > 0.05].astype(np.float32))
    return frames


def cost_us(step: Callable[[int], object]) -> list[float]:
    """Return the microseconds of thread CPU time of each frame after the warm-up."""
    spent = []
    for number in range(FRAMES):
        start = time.thread_time_ns()
        step(number)
        spent.append((time.thread_time_ns() - start) / 1e3)
    return spent[WARM_UP:]


def tracker_cost_us(tracker: Tracker, crowd_xyxy: Sequence[NDArray[np.float32]]) -> list[float]:
    """Return the microseconds of each frame in one of our trackers."""
    inputs = []
    for number, xyxy in enumerate(crowd_xyxy):
        n = len(xyxy)
        detections = Detections(xyxy, np.ones(n, np.float32), np.zeros(n, np.int32))
        inputs.append((Frame(PICTURE, "crowd", number, number / 30, 0.0), detections))
    return cost_us(lambda number: tracker.update(*inputs[number]))


def pyxtrackers_us(python: Path, frames: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Return {tracker: microseconds per frame}, measured by another interpreter."""
    rows = [
        np.column_stack((np.full(len(xyxy), number), xyxy, np.ones(len(xyxy))))
        for number, xyxy in enumerate(frames)
    ]
    with tempfile.TemporaryDirectory() as folder:
        crowds = Path(folder, "crowds.npz")
        np.savez(crowds, crowd=np.concatenate(rows))
        runner = Path(__file__).parent / "_pyxtrackers_run.py"
        told = subprocess.run(
            [str(python), str(runner), str(crowds)], check=True, capture_output=True, text=True
        )
    return json.loads(told.stdout)["crowd"]


TRACKERS: dict[str, Callable[[], Tracker]] = {
    "sort": lambda: sort.build(sort.Options(frames=sort.FrameRule())),
    "bytetrack": lambda: bytetrack.build(bytetrack.Options()),
    "ocsort": lambda: ocsort.build(ocsort.Options()),
    "trackline": lambda: trackline.build(trackline.Options()),
}


def main() -> None:
    """Print one line per crowd."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--boxes", type=int, nargs="+", default=[10, 50, 100, 300, 1000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pyxtrackers-python", type=Path, help="interpreter with pyxtrackers")
    given = parser.parse_args()
    names = [f"{name} us" for name in TRACKERS]
    print(f"{'boxes':>6} {'filterpy us':>12}", *(f"{name:>13}" for name in names), "  sort ratio")
    for boxes in given.boxes:
        frames = crowd(boxes)
        doubles = [xyxy.astype(np.float64) for xyxy in frames]
        ours: dict[str, list[float]] = {name: [] for name in TRACKERS}
        theirs: list[float] = []
        for _ in range(given.repeats):
            for name, build in TRACKERS.items():
                ours[name] += tracker_cost_us(build(), frames)
            reference = ObjectSort()
            theirs += cost_us(lambda k, run=reference, x=doubles: run.update(x[k]))
        slow = np.median(theirs)
        fast = {name: float(np.median(spent)) for name, spent in ours.items()}
        costs = [f"{cost:13.1f}" for cost in fast.values()]
        print(f"{boxes:6} {slow:12.1f}", *costs, f"{slow / fast['sort']:11.1f}x")
        if given.pyxtrackers_python:
            other = pyxtrackers_us(given.pyxtrackers_python, frames)
            costs = [f"{other[name]:13.1f}" if name in other else " " * 13 for name in fast]
            ratios = [f"{name} {cost / fast[name]:.2f}x" for name, cost in other.items()]
            print(f"{'':6} {'pyxtrackers':>12}", *costs, "  ours ahead if > 1:", *ratios)


if __name__ == "__main__":
    main()
