"""Prints whether counts on simulated scenes with known crossings are exact, at several rates.

    python benchmarks/counting.py [--tracker trackline] [--seeds 20]

Objects walk along lanes through a zone, over two lines and through a zone narrower than a step;
some turn back in the zone, some stand on the line and go on or back. Boxes are noisy (1.5 % of
their height), 3 % are missed, and a real tracker follows them. A row is all seeds at one rate.
`wrong` sums |counted - true| over every area, kind, direction and class.
"""

from __future__ import annotations

import argparse
import importlib
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipeline.core.data import Detections, Frame
from pipeline.core.zone_counts import CountKey
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher

SIZE = (1280, 720)
PICTURE = np.broadcast_to(np.uint8(0), (SIZE[1], SIZE[0], 3))
NAMES = {0: "person", 1: "car"}
ZONE, LINE, THIN, SLOPE = "square", "middle", "strip", "slope"
AREAS = CameraZones.model_validate(
    {
        "size": SIZE,
        "zones": [
            {"name": ZONE, "points": [[250, -50], [450, -50], [450, 770], [250, 770]]},
            {"name": THIN, "points": [[800, -50], [808, -50], [808, 770], [800, 770]]},
        ],
        "lines": [
            {"name": LINE, "points": [[600, 770], [600, -50]]},
            {"name": SLOPE, "points": [[980, 770], [1010, 300], [1030, -50]], "classes": ["car"]},
        ],
    }
)
LANES = 6
VISITS = 4  # in each lane, one after the other
PAUSE_S = 6.0
TOP_SPEED = 2.8  # widths a second, as of somebody who walks fast; cars are wider
START, END = 60.0, 1200.0


@dataclass(frozen=True)
class Way:
    """One object: where its foot is at which times, from corner to corner, and how large it is."""

    times: np.ndarray
    x: np.ndarray
    y: np.ndarray
    width: float
    height: float
    class_id: int

    def box(self, t: float) -> np.ndarray:
        """Return xyxy at time t."""
        x, y = np.interp(t, self.times, self.x), np.interp(t, self.times, self.y)
        half = self.width / 2
        return np.array([x - half, y - self.height, x + half, y])


def way(lane: int, begins: float, rng: np.random.Generator, truth: Counter[CountKey]) -> Way:
    """Return an object's way, and count in `truth` what it is going to do."""
    kind, class_id = rng.choice(["through", "turn", "stand"], p=[0.6, 0.2, 0.2]), rng.integers(2)
    height = rng.uniform(70, 95)
    width = height * (0.8 if class_id == 0 else 1.5)
    speed = width * rng.uniform(0.4, TOP_SPEED)
    rightwards = bool(rng.integers(2))
    corners = [START, END] if rightwards else [END, START]
    stay = 0.0
    if kind == "turn":
        rightwards, corners = True, [START, 350.0, START]
    elif kind == "stand":
        stay = rng.uniform(4, 8)
        corners = [corners[0], 600.0 + rng.uniform(-1, 1), corners[rng.integers(2)]]
    times = [begins]
    for a, b in pairwise(corners):
        times.append(times[-1] + abs(b - a) / speed)
    if stay:
        corners.insert(2, corners[1])
        times = [times[0], times[1], times[1] + stay, times[2] + stay]
    count(corners, NAMES[int(class_id)], truth)
    foot = 110 + lane * 118 + rng.uniform(-4, 4, len(corners))
    return Way(np.array(times), np.array(corners), foot, width, height, int(class_id))


def count(corners: list[float], name: str, truth: Counter[CountKey]) -> None:
    """Add what a way along these corners does to `truth`."""
    legs = [*pairwise(corners)]
    for area, borders in ((ZONE, (250, 450)), (THIN, (800, 808))):
        passed = sum((a < at) != (b < at) for a, b in legs for at in borders)
        truth[CountKey(area, "enter", "", name)] += passed // 2
        truth[CountKey(area, "leave", "", name)] += passed // 2
    if (corners[0] < 600) != (corners[-1] < 600):  # standing on it may end on either side
        truth[CountKey(LINE, "cross", "in" if corners[-1] > 600 else "out", name)] += 1
    for a, b in legs if name == "car" else ():
        if (a < 1000) != (b < 1000):
            truth[CountKey(SLOPE, "cross", "in" if b > 1000 else "out", name)] += 1


def scene(seed: int) -> tuple[list[Way], Counter[CountKey]]:
    """Return the objects of a scene and its true counts."""
    rng, truth, ways = np.random.default_rng(seed), Counter[CountKey](), []
    for lane in range(LANES):
        begins = rng.uniform(0.5, 5)
        for _ in range(VISITS):
            ways.append(way(lane, begins, rng, truth))
            begins = float(ways[-1].times[-1]) + PAUSE_S
    return ways, truth


def seen(ways: list[Way], t: float, rng: np.random.Generator) -> Detections:
    """Return what a detector sees at time t."""
    here = [w for w in ways if w.times[0] <= t <= w.times[-1] and rng.random() > 0.03]
    boxes = [w.box(t) + rng.normal(0, 0.015 * w.height, 4) for w in here]
    n = len(here)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        rng.uniform(0.6, 0.95, n).astype(np.float32),
        np.array([w.class_id for w in here], np.int32),
    )


def counted(kind: str, seed: int, fps: float, dropped: float) -> tuple[Counter[CountKey], int]:
    """Return what is counted in a scene, and how many ids the tracker gave."""
    ways, _ = scene(seed)
    rng = np.random.default_rng([seed, int(fps)])
    module = importlib.import_module(f"pipeline.trackers.{kind}")
    options = {"camera_motion": "off"} if "camera_motion" in module.Options.model_fields else {}
    tracker, watcher = module.build(module.Options(**options)), ZoneWatcher(AREAS)
    ids = 0
    for k in range(int((max(w.times[-1] for w in ways) + 4) * fps)):
        if rng.random() < dropped:
            continue
        frame = Frame(PICTURE, "scene", k, k / fps, 0.0)
        tracks = tracker.update(frame, seen(ways, k / fps, rng))
        ids = max(ids, int(tracks.track_id.max(initial=0)))
        watcher.watch(frame, tracks, NAMES)
    return Counter(watcher.counts()), ids


def difference(one: Counter[CountKey], other: Counter[CountKey]) -> int:
    """Return the sum of |one - other| over all counts."""
    return sum(((one - other) + (other - one)).values())


def main() -> None:
    """Print one line for each frame rate."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tracker", default="trackline")
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    columns = ("fps", "dropped", "objects", "ids", "true events", "wrong", "scenes exact")
    print("".join(f"{name:>13}" for name in columns))
    for fps in (30, 10, 5):
        for dropped in (0.0, 0.2):
            objects = ids = events = wrong = exact = 0
            for seed in range(given.seeds):
                ways, truth = scene(seed)
                found, given_ids = counted(given.tracker, seed, fps, dropped)
                off = difference(found, truth)
                objects, ids = objects + len(ways), ids + given_ids
                events, wrong, exact = events + truth.total(), wrong + off, exact + (off == 0)
            row = (fps, f"{dropped:.0%}", objects, ids, events, wrong, f"{exact}/{given.seeds}")
            print("".join(f"{each:>13}" for each in row), flush=True)


if __name__ == "__main__":
    main()
