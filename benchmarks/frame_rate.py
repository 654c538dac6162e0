"""Prints how far HOTA falls when frames are missing: seconds as we count, against frames.

    python benchmarks/frame_rate.py ../shared/mot/MOT17-val-half [--tracker trackline]

Every sequence is thinned to about 15 and 5 frames a second, and 20 % of its frames are dropped at
random; scored are the frames that are left. "seconds" is the tracker as it is; "frames" the same
with its thresholds in frames and blind to the frames' times, as the published trackers are.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.data import Frame
from pipeline.tools.evaluate.scoring import combined_hota
from pipeline.tools.evaluate.tracking import Seen, follow, recorded_frames
from pipeline.tools.evaluate.truth import Truth, load_truth
from pipeline.trackers._options import FrameRule


def every(fps: float, wanted: float, n: int) -> np.ndarray:
    """Return bool[n]: which frames are left of `fps` a second for about `wanted`."""
    return np.arange(n) % max(round(fps / wanted), 1) == 0


def dropped(share: float, n: int) -> np.ndarray:
    """Return bool[n]: which frames are left when so many get lost, the same in every run."""
    return np.random.default_rng(0).random(n) >= share


# From a sequence's frame rate and length, which of its frames are left.
THINNED: dict[str, Callable[[float, int], np.ndarray]] = {
    "all": lambda fps, n: every(fps, fps, n),
    "15 fps": lambda fps, n: every(fps, 15, n),
    "5 fps": lambda fps, n: every(fps, 5, n),
    "20 % dropped": lambda _, n: dropped(0.2, n),
}


def thinned_frames(seen: Seen, left: np.ndarray) -> Seen:
    """Return the frames that are left with their own times, numbered anew."""
    kept = [pair for pair, stays in zip(seen, left, strict=True) if stays]
    return [
        (Frame(frame.image, frame.source, number, frame.pts_s, frame.captured_at), found)
        for number, (frame, found) in enumerate(kept)
    ]


def thinned_truth(truth: Truth, left: np.ndarray) -> Truth:
    """Return the truth of the frames that are left, numbered anew."""
    number = left.cumsum() - 1
    rows = left[truth.frame]
    kept = {
        name: getattr(truth, name)[rows]
        for name in ("track_id", "class_id", "xyxy", "truncation", "occlusion", "counts")
    }
    at, ignored = truth.ignored
    there = left[at]
    return replace(
        truth,
        length=int(left.sum()),
        frame=number[truth.frame[rows]],
        ignored=(number[at[there]], ignored[there]),
        **kept,
    )


def main() -> None:
    """Print one line for each way of counting."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="MOTChallenge folder of sequences")
    parser.add_argument(
        "--trackers", nargs="+", default=["sort", "bytetrack", "ocsort", "trackline"]
    )
    given = parser.parse_args()
    truths, frames = load_truth(given.folder, "mot"), recorded_frames(given.folder)
    print(f"{'HOTA':20s}", *(f"{name:>21s}" for name in THINNED))
    for name in given.trackers:
        module = importlib.import_module(f"pipeline.trackers.{name}")
        seconds = module.Options()
        counting = FrameRule(
            max_age=round(30 * seconds.max_age_s), min_hits=round(30 * seconds.confirm_s)
        )
        ways = {"seconds": seconds, "frames": seconds.model_copy(update={"frames": counting})}
        for way, options in ways.items():
            figures: list[float] = []
            for thin in THINNED.values():
                left = {each: thin(truths[each].fps, len(seen)) for each, seen in frames.items()}
                truth = {each: thinned_truth(truths[each], left[each]) for each in truths}
                tracks = {
                    each: follow(module.build(options), thinned_frames(seen, left[each]))
                    for each, seen in frames.items()
                }
                figures.append(combined_hota(truth, tracks))
            falls = [f"{figure:6.2f} ({figure - figures[0]:+6.2f})" for figure in figures]
            print(f"{name + ', ' + way:20s}", *(f"{text:>21s}" for text in falls), flush=True)


if __name__ == "__main__":
    main()
