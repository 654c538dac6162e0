"""What `trackline refine` does to HOTA: one line per data set and tracker.

    python benchmarks/refine_gain.py ../shared/mot [--sets MOT15 KITTI] [--trackers trackline]
        [--boxmot-python PATH]

With an interpreter that has BoxMOT its Gaussian-smoothed interpolation (GSI) gets the same tracks.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.core.interfaces import Tracker
from pipeline.core.track_files import BoxTable
from pipeline.tools.evaluate.scoring import COMBINED, Scores, score
from pipeline.tools.evaluate.tracking import follow, recorded_frames
from pipeline.tools.evaluate.truth import Data, Truth, load_truth
from pipeline.tools.refine.options import RefineOptions
from pipeline.tools.refine.refine import refine
from pipeline.trackers import sort, trackline

SETS: dict[str, tuple[Data, str]] = {
    "MOT15": ("mot", "MOT15"),
    "MOT17-public": ("mot", "MOT17-public"),
    "MOT17-val-half": ("mot", "MOT17-val-half"),
    "KITTI": ("kitti", "KITTI/det_Car"),
}
TRACKERS: dict[str, Callable[[], Tracker]] = {
    "sort, published": lambda: sort.build(
        sort.Options(frames=sort.FrameRule(max_age=1, min_hits=3), published=True)
    ),
    "sort": lambda: sort.build(sort.Options()),
    "trackline": lambda: trackline.build(trackline.Options()),
}
CHANGES = {
    "refined": RefineOptions(),
    "not smoothed": RefineOptions(smooth_measured=False),
    "joined only": RefineOptions(fill_s=0, ghost_s=0, smooth_measured=False),
    "filled only": RefineOptions(join_s=0, ghost_s=0, smooth_measured=False),
    "ghosts only": RefineOptions(join_s=0, fill_s=0, smooth_measured=False),
}


def boxmot_gsi(python: Path, tracks: dict[str, BoxTable]) -> dict[str, BoxTable]:
    """Return {sequence: tracks} filled and smoothed by BoxMOT."""
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "given.npz"), Path(folder, "taken.npz")
        rows = {}
        for name, table in tracks.items():
            corner, size = table.xyxy[:, :2], table.xyxy[:, 2:] - table.xyxy[:, :2]
            none = np.full((len(table), 3), -1)
            rows[name] = np.column_stack(
                (table.frame + 1, table.track_id, corner, size, table.score, none)
            )
        np.savez(given, **rows)
        runner = Path(__file__).parent / "_boxmot_gsi.py"
        subprocess.run([str(python), str(runner), str(given), str(taken)], check=True)
        with np.load(taken) as smoothed:
            return {
                name: BoxTable.of(
                    frame=smoothed[name][:, 0] - 1,
                    track_id=smoothed[name][:, 1],
                    xyxy=np.hstack(
                        (smoothed[name][:, 2:4], smoothed[name][:, 2:4] + smoothed[name][:, 4:6])
                    ),
                    score=smoothed[name][:, 6],
                )
                for name in tracks
            }


def main() -> None:
    """Print HOTA as tracked, its gain for each change, and what else refining changes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="folder with MOT15, MOT17-..., KITTI")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS], metavar="NAME")
    parser.add_argument("--trackers", nargs="+", choices=TRACKERS, default=[*TRACKERS])
    parser.add_argument("--boxmot-python", type=Path, help="interpreter that can import boxmot")
    given = parser.parse_args()
    columns = [*CHANGES, *(["BoxMOT GSI"] if given.boxmot_python else [])]
    print(
        f"{'data':15s} {'tracker':16s} {'HOTA':>6s}", *(f"{name:>13s}" for name in columns), end=""
    )
    print("   DetA    AssA    MOTA    IDF1  IDSW  (refined, change)")
    for name in given.sets:
        data, detections = SETS[name]
        truths = load_truth(given.folder / name, data)
        frames = recorded_frames(given.folder / detections)
        for label in given.trackers:
            tracks = {each: follow(TRACKERS[label](), seen) for each, seen in frames.items()}
            before = score(truths, tracks)
            after = {
                way: score(truths, refined(tracks, truths, change))
                for way, change in CHANGES.items()
            }
            if given.boxmot_python:
                after["BoxMOT GSI"] = score(truths, boxmot_gsi(given.boxmot_python, tracks))
            show(f"{name:15s} {label:16s}", before, after)


def refined(
    tracks: dict[str, BoxTable], truths: dict[str, Truth], change: RefineOptions
) -> dict[str, BoxTable]:
    """Return {sequence: refined tracks}."""
    return {name: refine(table, truths[name].fps, change).table for name, table in tracks.items()}


def show(label: str, before: Scores, after: dict[str, Scores]) -> None:
    """Print a line, and below it the sequences that refining made worse."""
    plain, best = before[COMBINED], after["refined"][COMBINED]
    gains = [scores[COMBINED]["HOTA"] - plain["HOTA"] for scores in after.values()]
    others = [best[key] - plain[key] for key in ("DetA", "AssA", "MOTA", "IDF1")]
    print(f"{label} {plain['HOTA']:6.2f}", *(f"{gain:+13.2f}" for gain in gains), end=" ")
    print(*(f"{x:+7.2f}" for x in others), f"{best['IDSW'] - plain['IDSW']:+5.0f}", flush=True)
    change = {
        name: scores["HOTA"] - before[name]["HOTA"]
        for name, scores in after["refined"].items()
        if name != COMBINED
    }
    worse = [f"{name} {gain:+.2f}" for name, gain in change.items() if gain < 0]
    if worse:
        print(f"    lower: {', '.join(worse)}")


if __name__ == "__main__":
    main()
