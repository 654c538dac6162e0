"""Reads MOTChallenge folders, drives a tracker over them and scores the outcome with TrackEval."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data import Detections, Frame, Tracks
from pipeline.interfaces import Tracker

_PICTURE = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Sequence:
    """One MOTChallenge folder: `seqinfo.ini`, `gt/gt.txt` and `det/det.txt`."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def info(self) -> Mapping[str, str]:
        parser = configparser.ConfigParser()
        parser.read(self.folder / "seqinfo.ini")
        return parser["Sequence"]

    @property
    def fps(self) -> float:
        return float(self.info["frameRate"])

    @property
    def length(self) -> int:
        return int(self.info["seqLength"])

    @cached_property
    def detection_rows(self) -> NDArray[np.float64]:
        """f64[N,7]: frame, -1, left, top, width, height, score."""
        return np.loadtxt(self.folder / "det" / "det.txt", delimiter=",", ndmin=2)[:, :7]

    def frames(self) -> Iterator[tuple[Frame, Detections]]:
        """Yield every frame with its detections, from number 1 on.

        A val half too begins at frame 1, with empty frames: so were the published figures made,
        and it matters to rules about a video's first frames.
        """
        rows = self.detection_rows
        for number in range(1, self.length + 1):
            boxes = rows[rows[:, 0] == number]
            xyxy = boxes[:, 2:6].copy()
            xyxy[:, 2:] += xyxy[:, :2]
            detections = Detections(
                xyxy.astype(np.float32),
                boxes[:, 6].astype(np.float32),
                np.zeros(len(boxes), np.int32),
            )
            at = (number - 1) / self.fps
            yield Frame(_PICTURE, self.name, number - 1, at, at), detections


def mot_rows(frame: Frame, tracks: Tracks) -> NDArray[np.float64]:
    """Return f64[N,10] rows of MOTChallenge result text; frame numbers start at 1."""
    rows = np.full((len(tracks), 10), -1.0)
    rows[:, 0] = frame.index + 1
    rows[:, 1] = tracks.track_id
    rows[:, 2:4] = tracks.xyxy[:, :2]
    rows[:, 4:6] = tracks.xyxy[:, 2:] - tracks.xyxy[:, :2]
    rows[:, 6] = tracks.score
    return rows


def track_sequence(
    tracker: Tracker, sequence: Sequence, *, coasting: bool = False
) -> NDArray[np.float64]:
    """Return the sequence's MOTChallenge result rows, those of coasting tracks on request."""
    rows = []
    for frame, detections in sequence.frames():
        tracks = tracker.update(frame, detections)
        rows.append(mot_rows(frame, tracks if coasting else tracks[tracks.detection >= 0]))
    return np.concatenate(rows)


def write_tracks(
    build: Callable[[], Tracker], sequences: list[Sequence], folder: Path, *, coasting: bool = False
) -> None:
    """Write `<folder>/<sequence>.txt` for each sequence, every one by a fresh tracker."""
    folder.mkdir(parents=True, exist_ok=True)
    for sequence in sequences:
        rows = track_sequence(build(), sequence, coasting=coasting)
        form = ["%d", "%d", *["%.3f"] * 4, "%.4f", "%d", "%d", "%d"]
        np.savetxt(folder / f"{sequence.name}.txt", rows, delimiter=",", fmt=form)


def score(sequences: list[Sequence], tracks: Path, benchmark: str) -> dict[str, dict[str, float]]:
    """Return {sequence: {HOTA, DetA, AssA, MOTA, IDF1: percent, IDSW: count}} and "COMBINED".

    `benchmark` is "MOT15" (every box counts that is not zero-marked) or "MOT17" (results on
    distractors are taken out before scoring). HOTA is Luiten et al. 2021, its mean over the
    localisation thresholds.
    """
    from trackeval.datasets import MotChallenge2DBox
    from trackeval.metrics import CLEAR, HOTA, Identity

    data = MotChallenge2DBox(
        {
            "GT_FOLDER": str(sequences[0].folder.parent),
            "TRACKERS_FOLDER": str(tracks.parent),
            "TRACKERS_TO_EVAL": [tracks.name],
            "TRACKER_SUB_FOLDER": "",
            "BENCHMARK": benchmark,
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": {sequence.name: sequence.length for sequence in sequences},
            "PRINT_CONFIG": False,
        }
    )
    metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
    raw: dict[str, list[dict[str, object]]] = {}
    for sequence in sequences:
        loaded = data.get_preprocessed_seq_data(
            data.get_raw_seq_data(tracks.name, sequence.name), "pedestrian"
        )
        raw[sequence.name] = [metric.eval_sequence(loaded) for metric in metrics]
    raw["COMBINED"] = [
        metric.combine_sequences({name: parts[i] for name, parts in raw.items()})
        for i, metric in enumerate(metrics)
    ]
    return {name: _figures(*parts) for name, parts in raw.items()}


def _figures(hota: dict, clear: dict, identity: dict) -> dict[str, float]:
    figures = {key: 100 * float(np.mean(hota[key])) for key in ("HOTA", "DetA", "AssA")}
    figures["MOTA"] = 100 * float(clear["MOTA"])
    figures["IDF1"] = 100 * float(identity["IDF1"])
    figures["IDSW"] = float(clear["IDSW"])
    return figures
