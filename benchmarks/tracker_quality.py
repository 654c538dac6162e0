"""Prints HOTA, DetA, AssA, MOTA, IDF1 and ID switches of every tracker on every data set.

    python benchmarks/tracker_quality.py ../shared/mot [--boxmot-python PATH] [--sequences]

With the interpreter of an environment that has `boxmot` installed, BoxMOT's ByteTrack and OC-SORT
run on the same detections, with the settings of ours in frame mode. Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import Tracks
from pipeline.core.interfaces import Tracker
from pipeline.core.track_files import BoxTable
from pipeline.tools.evaluate.scoring import COMBINED, Scores, score
from pipeline.tools.evaluate.tracking import Seen, follow, recorded_frames
from pipeline.tools.evaluate.truth import Data, Truth, load_truth
from pipeline.trackers import bytetrack, ocsort, sort, trackline

SETS: dict[str, tuple[Data, str]] = {
    "MOT17-val-half": ("mot", "MOT17-val-half"),
    "MOT15": ("mot", "MOT15"),
    "MOT17-public": ("mot", "MOT17-public"),
    "KITTI": ("kitti", "KITTI/det_Car"),
}
THIRTY = sort.FrameRule(max_age=30, min_hits=3)
TRACKERS: dict[str, Callable[[], Tracker]] = {
    "sort, published": lambda: sort.build(
        sort.Options(frames=sort.FrameRule(max_age=1, min_hits=3), published=True)
    ),
    "bytetrack, 30 frames": lambda: bytetrack.build(
        bytetrack.Options(frames=sort.FrameRule(max_age=30, min_hits=1))
    ),
    "ocsort, published, 30 frames": lambda: ocsort.build(
        ocsort.Options(frames=THIRTY, published=True)
    ),
    "sort": lambda: sort.build(sort.Options()),
    "bytetrack": lambda: bytetrack.build(bytetrack.Options()),
    "ocsort": lambda: ocsort.build(ocsort.Options()),
    "trackline": lambda: trackline.build(trackline.Options()),
}
PARTS = {
    "trackline, no shared_motion": {"shared_motion": False},
    "trackline, no height_aware": {"height_aware": False},
    "trackline, no size_filter": {"size_filter": False},
}
BOXMOT = {
    "boxmot ByteTrack": (
        "ByteTrack",
        {"track_thresh": 0.6, "match_thresh": 0.8, "track_buffer": 30, "frame_rate": 30},
    ),
    "boxmot OcSort": (
        "OcSort",
        {"det_thresh": 0.6, "min_conf": 0.6, "max_age": 30, "min_hits": 3, "iou_threshold": 0.3},
    ),
}
FIGURES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW")


def boxmot(python: Path, kind: str, options: dict[str, float], frames: dict[str, Seen]) -> dict:
    """Return {sequence: tracks} of BoxMOT's tracker, run by its own interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "given.npz"), Path(folder, "taken.npz")
        rows = {}
        for name, seen in frames.items():
            rows[name] = [np.array([[len(seen), 0, 0, 0, 0, 0]])]
            for number, (_, found) in enumerate(seen):
                boxes = found[usable_xyxy(found.xyxy)]
                at = np.full((len(boxes), 1), number)
                rows[name].append(np.concatenate((at, boxes.xyxy, boxes.score[:, None]), 1))
        np.savez(given, **{name: np.concatenate(parts) for name, parts in rows.items()})
        runner = Path(__file__).parent / "_boxmot_run.py"
        command = [str(python), str(runner), str(given), str(taken), kind, json.dumps(options)]
        subprocess.run(command, check=True, capture_output=True)
        with np.load(taken) as tracks:
            return {name: follow(Recorded(tracks[name]), seen) for name, seen in frames.items()}


class Recorded:
    """Says for each frame what is written in rows f64[N,7]: frame, xyxy, id, score."""

    def __init__(self, rows) -> None:
        self._rows = rows

    def update(self, frame, detections) -> Tracks:  # noqa: ARG002
        """Return the frame's rows."""
        rows = self._rows[self._rows[:, 0] == frame.index]
        zeros = np.zeros(len(rows))
        return Tracks(
            xyxy=rows[:, 1:5].astype(np.float32),
            score=rows[:, 6].astype(np.float32),
            class_id=zeros.astype(np.int32),
            track_id=rows[:, 5].astype(np.int64),
            detection=zeros.astype(np.int32),
            age_s=zeros.astype(np.float32),
        )

    def reset(self) -> None:
        """There is nothing to forget."""


def show(label: str, truths: dict[str, Truth], tracks: dict[str, BoxTable], *, each: bool) -> None:
    """Print a line for all sequences together, and on request what each has."""
    scores: Scores = score(truths, tracks)
    figures = [f"{scores[COMBINED][key]:7.2f}" for key in FIGURES[:-1]]
    print(f"  {label:30s}", *figures, f"{scores[COMBINED]['IDSW']:6.0f}", flush=True)
    if each:
        print("   ", *(f"{name} {scores[name]['HOTA']:.1f}" for name in truths))


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="folder with MOT15, MOT17-..., KITTI")
    parser.add_argument("--boxmot-python", type=Path, help="interpreter that can import boxmot")
    parser.add_argument("--sequences", action="store_true", help="print each sequence's HOTA too")
    parser.add_argument("--parts", action="store_true", help="trackline without each of its parts")
    given = parser.parse_args()
    trackers = dict(TRACKERS)
    if given.parts:
        for label, off in PARTS.items():
            trackers[label] = lambda off=off: trackline.build(trackline.Options(**off))
    for name, (data, detections) in SETS.items():
        truths = load_truth(given.folder / name, data)
        frames = recorded_frames(given.folder / detections)
        print(f"{name:32s}", *(f"{key:>7s}" for key in FIGURES))
        for label, build in trackers.items():
            tracks = {each: follow(build(), seen) for each, seen in frames.items()}
            show(label, truths, tracks, each=given.sequences)
        if given.boxmot_python:
            for label, (kind, options) in BOXMOT.items():
                tracks = boxmot(given.boxmot_python, kind, options, frames)
                show(label, truths, tracks, each=given.sequences)


if __name__ == "__main__":
    main()
