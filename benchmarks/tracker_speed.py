"""Prints what one frame costs a tracker, beside a SORT that keeps one filterpy filter per object.

    python benchmarks/tracker_speed.py [--boxes 10 50 100 300 1000] [--repeats 5]

Both take the same crowd in turn, with the same thresholds, in thread CPU time; each figure is the
median over frames and repeats. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from filterpy_sort import ObjectSort
from numpy.typing import NDArray

from pipeline.data import Detections, Frame
from pipeline.interfaces import Tracker
from pipeline.trackers import sort

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


def main() -> None:
    """Print one line per crowd."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--boxes", type=int, nargs="+", default=[10, 50, 100, 300, 1000])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    options = sort.Options(frames=sort.FrameRule())
    print(f"{'boxes':>6} {'sort us':>10} {'filterpy us':>12} {'ratio':>7}")
    for boxes in arguments.boxes:
        frames = crowd(boxes)
        doubles = [xyxy.astype(np.float64) for xyxy in frames]
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(arguments.repeats):
            ours += tracker_cost_us(sort.build(options), frames)
            reference = ObjectSort()
            theirs += cost_us(lambda k, run=reference, x=doubles: run.update(x[k]))
        fast, slow = np.median(ours), np.median(theirs)
        print(f"{boxes:6} {fast:10.1f} {slow:12.1f} {slow / fast:7.1f}")


if __name__ == "__main__":
    main()
