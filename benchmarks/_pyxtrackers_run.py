"""Times the trackers of pyxtrackers; run by an interpreter that has it and numpy, nothing of ours.

    python _pyxtrackers_run.py CROWDS.npz

CROWDS holds rows f64[N,6] per crowd: frame, xyxy, score. Prints {crowd: {tracker: microseconds}},
the median of thread CPU time per frame over the frames after the tenth.
"""

import json
import sys
import time

import numpy as np
from pyxtrackers import BYTETracker, OCSort, Sort

WARM_UP = 10
REPEATS = 5
# As published, which ours default to.
TRACKERS = {"sort": Sort, "bytetrack": BYTETracker, "ocsort": lambda: OCSort(0.6)}


def cost_us(tracker, frames) -> list[float]:
    """Return the microseconds of each frame after the warm-up."""
    spent = []
    for boxes in frames:
        start = time.thread_time_ns()
        tracker.update(boxes)
        spent.append((time.thread_time_ns() - start) / 1e3)
    return spent[WARM_UP:]


def main(crowds: str) -> None:
    """Time every tracker on every crowd."""
    figures: dict[str, dict[str, float]] = {}
    with np.load(crowds) as given:
        for name in given.files:
            rows = given[name]
            count = int(rows[:, 0].max()) + 1
            frames = [np.ascontiguousarray(rows[rows[:, 0] == k, 1:]) for k in range(count)]
            figures[name] = {}
            for ours, build in TRACKERS.items():
                spent = [us for _ in range(REPEATS) for us in cost_us(build(), frames)]
                figures[name][ours] = float(np.median(spent))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
