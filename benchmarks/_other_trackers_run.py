"""Drives a tracker of another library; run by an interpreter that has it, with nothing of ours.

    python _other_trackers_run.py GIVEN.npz TAKEN.npz boxmot|trackers|ultralytics TRACKER OPTIONS

OPTIONS is JSON. GIVEN holds a sequence per name, rows f64[N,6]: frame, xyxy, score; the first row
holds the number of frames and the frame rate. TAKEN gets rows f64[N,7]: frame, xyxy, id, score.
Each library's tracker has that library's defaults; camera motion is off, as there are no pictures.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

PICTURE = np.zeros((1080, 1920, 3), np.uint8)
Update = Callable[[np.ndarray], np.ndarray]
"""Takes f64[N,5], xyxy and score; returns [M,6]: xyxy, id, score."""


def boxmot_tracker(name: str, options: dict, fps: float) -> Update:
    """BoxMOT: the defaults of its configuration file, which its commands use."""
    import boxmot
    import yaml

    kind = getattr(boxmot, name)
    file = Path(boxmot.__file__).parent / "configs" / "trackers" / f"{name.lower()}.yaml"
    known = inspect.signature(kind.__init__).parameters
    defaults = {
        key: value["default"]
        for key, value in yaml.safe_load(file.read_text()).items()
        if isinstance(value, dict) and "default" in value
    }
    off = {key: False for key in ("use_cmc", "use_embeddings") if key in known}
    rate = {"frame_rate": round(fps)} if "frame_rate" in known else {}
    tracker = kind(**(defaults | off | rate | options))

    def update(seen: np.ndarray) -> np.ndarray:
        rows = np.concatenate((seen, np.zeros((len(seen), 1))), 1)
        return np.asarray(tracker.update(rows, PICTURE)).reshape(-1, 8)[:, :6]

    return update


def roboflow_tracker(name: str, options: dict, fps: float) -> Update:
    """Roboflow's `trackers`: the defaults of the constructor."""
    import supervision
    import trackers

    kind = getattr(trackers, name)
    if "enable_cmc" in inspect.signature(kind.__init__).parameters:
        options = {"enable_cmc": False} | options
    tracker = kind(frame_rate=fps, **options)

    def update(seen: np.ndarray) -> np.ndarray:
        found = supervision.Detections(
            xyxy=seen[:, :4].astype(np.float32),
            confidence=seen[:, 4].astype(np.float32),
            class_id=np.zeros(len(seen), int),
        )
        given = tracker.update(found)
        if not len(given) or given.tracker_id is None:
            return np.empty((0, 6))
        rows = np.column_stack((given.xyxy, given.tracker_id, given.confidence))
        return rows[given.tracker_id >= 0]

    return update


def ultralytics_tracker(name: str, options: dict, fps: float) -> Update:  # noqa: ARG001
    """Ultralytics: the defaults of its file for this tracker; it does not know frame rates."""
    from ultralytics.engine.results import Boxes
    from ultralytics.trackers.track import TRACKER_MAP
    from ultralytics.utils import ROOT, YAML, IterableSimpleNamespace

    values = YAML.load(ROOT / "cfg" / "trackers" / f"{name}.yaml")
    if "gmc_method" in values:
        values["gmc_method"] = "none"
    tracker = TRACKER_MAP[name](args=IterableSimpleNamespace(**(values | options)))
    tracker.reset()

    def update(seen: np.ndarray) -> np.ndarray:
        rows = np.concatenate((seen, np.zeros((len(seen), 1))), 1).astype(np.float32)
        found = np.asarray(tracker.update(Boxes(rows, PICTURE.shape[:2]), PICTURE))
        return found[:, :6] if len(found) else np.empty((0, 6))

    return update


LIBRARIES = {
    "boxmot": boxmot_tracker,
    "trackers": roboflow_tracker,
    "ultralytics": ultralytics_tracker,
}


def main(given: str, taken: str, library: str, kind: str, options: str) -> None:
    """Run every sequence with a fresh tracker."""
    tracks = {}
    with np.load(given) as sequences:
        for name in sequences.files:
            rows = sequences[name]
            update = LIBRARIES[library](kind, json.loads(options), float(rows[0, 1]))
            out = [np.empty((0, 7))]
            for number in range(int(rows[0, 0])):
                found = update(rows[1:][rows[1:, 0] == number, 1:])
                out.append(np.concatenate((np.full((len(found), 1), number), found), 1))
            tracks[name] = np.concatenate(out)
    np.savez(taken, **tracks)


if __name__ == "__main__":
    main(*sys.argv[1:])
