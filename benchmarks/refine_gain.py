"""What `trackline refine` does to HOTA: one line per data set and way of running SORT.

python benchmarks/refine_gain.py ../shared/mot
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.core.track_files import BoxTable
from pipeline.tools.evaluate.scoring import COMBINED, Scores, score
from pipeline.tools.evaluate.tracking import follow, recorded_frames
from pipeline.tools.evaluate.truth import Data, load_truth
from pipeline.tools.refine.options import RefineOptions
from pipeline.tools.refine.refine import refine
from pipeline.trackers import sort

SETS: dict[str, tuple[Data, str]] = {
    "MOT15": ("mot", "MOT15"),
    "MOT17-public": ("mot", "MOT17-public"),
    "MOT17-val-half": ("mot", "MOT17-val-half"),
    "KITTI": ("kitti", "KITTI/det_Car"),
}
WAYS = {
    "published": sort.Options(frames=sort.FrameRule(max_age=1, min_hits=3), published=True),
    "default": sort.Options(),
}
CHANGES = {
    "refined": RefineOptions(),
    "not smoothed": RefineOptions(smooth_measured=False),
    "joined only": RefineOptions(fill_s=0, ghost_s=0, smooth_measured=False),
    "filled only": RefineOptions(join_s=0, ghost_s=0, smooth_measured=False),
    "ghosts only": RefineOptions(join_s=0, fill_s=0, smooth_measured=False),
}


def main() -> None:
    """Print HOTA as tracked, its gain for each change, and what else refining changes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with MOT15, MOT17-..., KITTI")
    folder = parser.parse_args().folder
    print(f"{'data':15s} {'SORT':10s} {'HOTA':>6s}", *(f"{name:>13s}" for name in CHANGES), end="")
    print("   DetA    AssA    MOTA    IDF1  IDSW  (refined, change)")
    for name, (data, detections) in SETS.items():
        truths = load_truth(folder / name, data)
        frames = recorded_frames(folder / detections)
        for way, options in WAYS.items():
            tracks = {each: follow(sort.build(options), seen) for each, seen in frames.items()}

            def refined(
                change: RefineOptions, tracks: dict[str, BoxTable] = tracks, truths=truths
            ) -> Scores:
                return score(
                    truths,
                    {
                        each: refine(table, truths[each].fps, change).table
                        for each, table in tracks.items()
                    },
                )

            before = score(truths, tracks)
            after = {label: refined(change) for label, change in CHANGES.items()}
            plain = before[COMBINED]
            gains = [scores[COMBINED]["HOTA"] - plain["HOTA"] for scores in after.values()]
            best = after["refined"][COMBINED]
            others = [best[key] - plain[key] for key in ("DetA", "AssA", "MOTA", "IDF1")]
            print(f"{name:15s} {way:10s} {plain['HOTA']:6.2f}", end=" ")
            print(*(f"{gain:+13.2f}" for gain in gains), *(f"{x:+7.2f}" for x in others), end=" ")
            print(f"{best['IDSW'] - plain['IDSW']:+5.0f}")
            worse = [
                f"{each} {after['refined'][each]['HOTA'] - before[each]['HOTA']:+.2f}"
                for each in truths
                if after["refined"][each]["HOTA"] < before[each]["HOTA"]
            ]
            if worse:
                print(f"    lower: {', '.join(worse)}")


if __name__ == "__main__":
    main()
