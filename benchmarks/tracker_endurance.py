"""Prints time per frame and memory of a tracker over a run of many frames and many tracks.

    python benchmarks/tracker_endurance.py [--tracker trackline] [--frames 100000] [--tracks 10000]

Objects enter a picture one after the other, cross it and leave for good; some frames miss some.
Memory is what Python's allocator holds at the end of each tenth. Time is thread CPU time, some
four times the usual because every allocation is traced; what counts is that it stays.
"""

from __future__ import annotations

import argparse
import importlib
import time
import tracemalloc

import numpy as np

from pipeline.core.data import Detections, Frame
from pipeline.core.interfaces import Tracker

PICTURE = np.zeros((1, 1, 3), np.uint8)
WIDTH, HEIGHT = 1920, 1080
LIFE = 100
PARTS = 10


def crossing(number: int, tracks: int, frames: int, rng: np.random.Generator) -> Detections:
    """Return what is seen of the objects that are in the picture in frame `number`."""
    first = np.arange(tracks) * (frames - LIFE) // tracks
    here = np.arange(
        first.searchsorted(number - LIFE, "right"), first.searchsorted(number, "right")
    )
    here = here[rng.random(len(here)) > 0.05]
    left = (number - first[here]) * (WIDTH / LIFE)
    top = here * 97 % (HEIGHT - 120)
    xyxy = np.stack((left, top, left + 50, top + 110), 1) + rng.normal(0, 1, (len(here), 4))
    n = len(here)
    return Detections(xyxy.astype(np.float32), np.full(n, 0.9, np.float32), np.zeros(n, np.int32))


def stretches(tracker: Tracker, frames: int, tracks: int) -> list[tuple[float, float, int]]:
    """Return for each tenth of the run (median us per frame, KiB held, last id given)."""
    rng, figures, last_id = np.random.default_rng(0), [], 0
    tracemalloc.start()
    for part in range(PARTS):
        spent = []
        for number in range(part * frames // PARTS, (part + 1) * frames // PARTS):
            detections = crossing(number, tracks, frames, rng)
            frame = Frame(PICTURE, "endurance", number, number / 30, 0.0)
            began = time.thread_time_ns()
            found = tracker.update(frame, detections)
            spent.append(time.thread_time_ns() - began)
            last_id = max(last_id, found.track_id.max(initial=0))
        held = tracemalloc.get_traced_memory()[0] - sum(map(int.__sizeof__, spent))
        figures.append((float(np.median(spent)) / 1e3, held / 1024, int(last_id)))
    tracemalloc.stop()
    return figures


def main() -> None:
    """Print one line for each tenth of the run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tracker", default="trackline")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--tracks", type=int, default=10_000)
    given = parser.parse_args()
    module = importlib.import_module(f"pipeline.trackers.{given.tracker}")
    print(f"{'frames':>8} {'us a frame':>11} {'KiB held':>9} {'ids given':>10}")
    run = stretches(module.build(module.Options()), given.frames, given.tracks)
    for part, (spent_us, held, ids) in enumerate(run, 1):
        print(f"{part * given.frames // PARTS:8} {spent_us:11.1f} {held:9.1f} {ids:10}")


if __name__ == "__main__":
    main()
