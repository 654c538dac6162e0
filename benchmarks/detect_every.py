"""Prints what skipping detections (run.detect_every) costs in HOTA, and how many are left.

    python benchmarks/detect_every.py ../shared/mot

Recorded detections are dropped as a run would skip them and replaced by the boxes that stand in
for them: in files between two detected frames, from cameras by going on from the last. The default
tracker follows them. The speed that is gained is that of the detections left out. Needs the extra
`eval`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tracker_quality import SETS

from pipeline.evaluation.driving import Seen, follow, recorded_frames
from pipeline.evaluation.scoring import COMBINED, score
from pipeline.evaluation.truth import load_truth
from pipeline.skipping import Every, Skipper
from pipeline.trackers import trackline

CHOICES: tuple[Every, ...] = (1, 2, 3, 5, "auto")


def skipped(seen: Seen, every: Every, *, live: bool) -> tuple[Seen, int]:
    """Return the frames with the boxes that a run would see, and how many were detected on."""
    skipper, held, out, asked = Skipper(every), [], [], 0
    for frame, found in seen:
        if skipper.wants(frame):
            asked += 1
            skipper.learn(frame, found)
            out += [(each, skipper.at(each)) for each in held] + [(frame, found)]
            held = []
        elif live:
            out.append((frame, skipper.at(frame)))
        else:
            held.append(frame)
    return out + [(each, skipper.at(each)) for each in held], asked


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="folder with MOT15, MOT17-..., KITTI")
    given = parser.parse_args()
    titles = ("detected", "HOTA file", "IDF1", "HOTA live", "IDF1")
    for name, (data, detections) in SETS.items():
        truths = load_truth(given.folder / name, data)
        frames = recorded_frames(given.folder / detections)
        print(f"{name:16s}", *(f"{title:>10s}" for title in titles))
        for every in CHOICES:
            cells = []
            for live in (False, True):
                left = {each: skipped(seen, every, live=live) for each, seen in frames.items()}
                tracks = {
                    each: follow(trackline.build(trackline.Options()), seen)
                    for each, (seen, _) in left.items()
                }
                figures = score(truths, tracks)[COMBINED]
                cells += [figures["HOTA"], figures["IDF1"]]
            asked = sum(count for _, count in left.values())
            share = asked / sum(len(seen) for seen in frames.values())
            print(f"  {every!s:14s}", f"{share:10.0%}", *(f"{cell:10.2f}" for cell in cells))


if __name__ == "__main__":
    main()
