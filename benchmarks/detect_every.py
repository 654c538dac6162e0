"""Prints what skipping detections (run.detect_every) costs in HOTA, and how many are left.

    python benchmarks/detect_every.py ../shared/mot [--sets MOT15 KITTI]
    python benchmarks/detect_every.py --speed VIDEO MODEL.onnx [--max-frames N]

Recorded detections are dropped as a run would skip them and replaced by the boxes that stand in
for them: in files between two detected frames, from cameras by going on from the last. The default
tracker follows them. Needs the extra `eval`. With --speed the frames a second of 1, 2 and auto are
printed instead: whole runs in turn, nothing saved, three of each, loading the weights left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from tracker_quality import SETS

import pipeline
from pipeline.engine.frame_skipper import Every, FrameSkipper
from pipeline.tools.evaluate.scoring import COMBINED, score
from pipeline.tools.evaluate.tracking import Seen, follow, recorded_frames
from pipeline.tools.evaluate.truth import load_truth
from pipeline.trackers import trackline

CHOICES: tuple[Every, ...] = (1, 2, 3, 5, "auto")


def skipped(seen: Seen, every: Every, *, live: bool) -> tuple[Seen, int]:
    """Return the frames with the boxes that a run would see, and how many were detected on."""
    skipper, held, out, asked = FrameSkipper(every), [], [], 0
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


def print_speed(video: str, model: str, max_frames: int | None) -> None:
    """Print frames a second and how many times those of every frame: median and range of three."""
    rounds: list[dict[Every, float]] = []
    with tempfile.TemporaryDirectory() as out:
        config = {"sources": [video], "detector": {"kind": "yolo", "model": model}, "sinks": []}
        for _ in range(3):
            fps: dict[Every, float] = {}
            for every in (1, 2, "auto"):
                run = {"output": out, "max_frames": max_frames, "detect_every": every}
                fps[every] = pipeline.run({**config, "run": run})["fps"]
            rounds.append(fps)
    for every in rounds[0]:
        speeds = [fps[every] for fps in rounds]
        ratios = [fps[every] / fps[1] for fps in rounds]
        spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
        median = statistics.median(ratios)
        print(f"{every!s:6}{statistics.median(speeds):8.1f} fps{median:8.2f}x ({spread})")


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with MOT15, MOT17-..., KITTI")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS], metavar="NAME")
    parser.add_argument("--speed", nargs=2, metavar=("VIDEO", "MODEL"))
    parser.add_argument("--max-frames", type=int)
    given = parser.parse_args()
    if given.speed:
        print_speed(*given.speed, given.max_frames)
        return
    if given.folder is None:
        parser.error("want a folder or --speed VIDEO MODEL")
    titles = ("detected", "HOTA file", "IDF1", "HOTA live", "IDF1")
    for name in given.sets:
        data, detections = SETS[name]
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
