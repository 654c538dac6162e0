"""Prints HOTA, DetA, AssA, MOTA, IDF1 and ID switches of every tracker on every data set.

    python benchmarks/tracker_quality.py ../shared/mot [--every 1 2 3] [--sequences]
        [--trackers trackline sort]
        [--boxmot-python PATH] [--roboflow-python PATH] [--ultralytics-python PATH]

With interpreters of environments that have BoxMOT, Roboflow's `trackers` or ultralytics installed,
their trackers run on the same detections with their defaults, and BoxMOT's ByteTrack and OC-SORT
also with the settings of ours in frame mode. `--every 2` leaves every second frame of all sets.
Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from frame_rate import thinned_frames, thinned_truth

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
    "MOT17-val-half-all-scores": ("mot", "MOT17-val-half-all-scores"),
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
OTHERS: dict[str, dict[str, tuple[str, dict[str, float]]]] = {
    "boxmot": {
        "ByteTrack, as ours": (
            "ByteTrack",
            {"track_thresh": 0.6, "match_thresh": 0.8, "track_buffer": 30, "frame_rate": 30},
        ),
        "OcSort, as ours": (
            "OcSort",
            {"det_thresh": 0.6, "min_conf": 0.6, "max_age": 30, "min_hits": 3}
            | {"iou_threshold": 0.3},
        ),
        **{name: (name, {}) for name in ("ByteTrack", "OcSort", "BotSort", "SFSORT")},
    },
    "trackers": {
        name: (f"{name}Tracker", {}) for name in ("SORT", "ByteTrack", "OCSORT", "BoTSORT", "CBIoU")
    },
    "ultralytics": {
        name: (name, {}) for name in ("bytetrack", "botsort", "ocsort", "fasttrack", "tracktrack")
    },
}
FIGURES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW")


def run_other(
    python: Path, tracker: tuple[str, str, dict[str, float]], frames: dict[str, Seen]
) -> dict[str, BoxTable]:
    """Return {sequence: tracks} of (library, tracker, options), run by its own interpreter."""
    library, kind, options = tracker
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "given.npz"), Path(folder, "taken.npz")
        rows = {}
        for name, seen in frames.items():
            fps = 1 / (seen[1][0].pts_s - seen[0][0].pts_s)
            rows[name] = [np.array([[len(seen), fps, 0, 0, 0, 0]])]
            for number, (_, found) in enumerate(seen):
                boxes = found[usable_xyxy(found.xyxy)]
                at = np.full((len(boxes), 1), number)
                rows[name].append(np.concatenate((at, boxes.xyxy, boxes.score[:, None]), 1))
        np.savez(given, **{name: np.concatenate(parts) for name, parts in rows.items()})
        runner = Path(__file__).parent / "_other_trackers_run.py"
        command = [str(python), str(runner), str(given), str(taken), library, kind]
        done = subprocess.run([*command, json.dumps(options)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{library} {kind}: {done.stderr.strip()[-500:]}")
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


def thinned(
    truths: dict[str, Truth], frames: dict[str, Seen], every: int
) -> tuple[dict[str, Truth], dict[str, Seen]]:
    """Return truth and frames of which every n-th frame is left."""
    if every == 1:
        return truths, frames
    left = {name: np.arange(len(seen)) % every == 0 for name, seen in frames.items()}
    truth = {name: thinned_truth(truths[name], left[name]) for name in truths}
    return truth, {name: thinned_frames(seen, left[name]) for name, seen in frames.items()}


def show(label: str, truths: dict[str, Truth], tracks: dict[str, BoxTable], *, each: bool) -> None:
    """Print a line for all sequences together, and on request what each has."""
    scores: Scores = score(truths, tracks)
    figures = [f"{scores[COMBINED][key]:7.2f}" for key in FIGURES[:-1]]
    print(f"  {label:42s}", *figures, f"{scores[COMBINED]['IDSW']:6.0f}", flush=True)
    if each:
        print("   ", *(f"{name} {scores[name]['HOTA']:.1f}" for name in truths))


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="folder with MOT15, MOT17-..., KITTI")
    parser.add_argument("--every", nargs="+", type=int, default=[1], metavar="N")
    parser.add_argument("--trackers", nargs="+", choices=TRACKERS, default=[*TRACKERS])
    parser.add_argument("--boxmot-python", type=Path, help="interpreter that can import boxmot")
    parser.add_argument("--roboflow-python", type=Path, help="the same for Roboflow's trackers")
    parser.add_argument("--ultralytics-python", type=Path, help="the same for ultralytics")
    parser.add_argument("--sequences", action="store_true", help="print each sequence's HOTA too")
    parser.add_argument("--parts", action="store_true", help="trackline without each of its parts")
    given = parser.parse_args()
    trackers = {label: TRACKERS[label] for label in given.trackers}
    if given.parts:
        for label, off in PARTS.items():
            trackers[label] = lambda off=off: trackline.build(trackline.Options(**off))
    pythons = {
        "boxmot": given.boxmot_python,
        "trackers": given.roboflow_python,
        "ultralytics": given.ultralytics_python,
    }
    for name, (data, detections) in SETS.items():
        truths = load_truth(given.folder / name, data)
        frames = recorded_frames(given.folder / detections)
        for every in given.every:
            rate = f", every {every} frames" if every > 1 else ""
            print(f"{name + rate:44s}", *(f"{key:>7s}" for key in FIGURES))
            truth, seen = thinned(truths, frames, every)
            for label, build in trackers.items():
                tracks = {each: follow(build(), pictures) for each, pictures in seen.items()}
                show(label, truth, tracks, each=given.sequences)
            for library, python in pythons.items():
                for label, (kind, options) in OTHERS[library].items() if python else ():
                    tracks = run_other(python, (library, kind, options), seen)
                    show(f"{library} {label}", truth, tracks, each=given.sequences)


if __name__ == "__main__":
    main()
