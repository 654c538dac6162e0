"""HOTA, CLEAR and identity measures of tracks, by TrackEval's own code on our arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import iou_of_xyxy
from pipeline.core.errors import MissingExtraError, UsageError
from pipeline.core.install_hints import install_command
from pipeline.core.track_files import BoxTable
from pipeline.tools.evaluate.truth import Rules, Truth

COMBINED = "COMBINED"
Scores = dict[str, dict[str, float]]

_EVALUATED = {"MOT15": "pedestrian", "MOT17": "pedestrian", "KITTI": "car"}


def score(truths: Mapping[str, Truth], tracks: Mapping[str, BoxTable]) -> Scores:
    """Return {sequence: {HOTA, DetA, AssA, MOTA, IDF1: percent; IDSW, Frag: counts}}.

    The sequences are those of `truths`; one without tracks counts as all missed. The last
    entry, "COMBINED", is over all boxes of all sequences. HOTA (Luiten et al. 2021) and its parts
    are means over the localisation thresholds; MOTA and fragments: Bernardin and Stiefelhagen
    2008; IDF1: Ristani et al. 2016. Raises UsageError where an id comes twice in one frame.
    """
    metrics = _metrics()
    parts: dict[str, list[Any]] = {}
    for name, truth in truths.items():
        data = _prepared(truth, tracks.get(name))
        parts[name] = [metric.eval_sequence(data) for metric in metrics]
    combined = [
        metric.combine_sequences({name: part[i] for name, part in parts.items()})
        for i, metric in enumerate(metrics)
    ]
    return {name: _figures(*part) for name, part in {**parts, COMBINED: combined}.items()}


def combined_hota(truths: Mapping[str, Truth], tracks: Mapping[str, BoxTable]) -> float:
    """Return HOTA in percent over all sequences together; as `score` computes it, in less time."""
    hota = _metrics()[0]
    parts = {
        name: hota.eval_sequence(_prepared(truth, tracks.get(name)))
        for name, truth in truths.items()
    }
    return 100 * float(np.mean(hota.combine_sequences(parts)["HOTA"]))


def _figures(hota: Any, clear: Any, identity: Any) -> dict[str, float]:
    figures = {key: 100 * float(np.mean(hota[key])) for key in ("HOTA", "DetA", "AssA")}
    figures["MOTA"] = 100 * float(clear["MOTA"])
    figures["IDF1"] = 100 * float(identity["IDF1"])
    figures["IDSW"] = float(clear["IDSW"])
    figures["Frag"] = float(clear["Frag"])
    return figures


def _metrics() -> list[Any]:
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError as error:
        raise MissingExtraError(
            f"eval: needs the package {error.name}: {install_command('eval')}"
        ) from None
    return [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]


@cache
def _dataset(rules: Rules) -> Any:
    """Return TrackEval's object that prepares data by a benchmark's rules.

    Its constructor looks for files; it gets empty ones, for the data come from our arrays.
    """
    from trackeval.datasets import Kitti2DBox, MotChallenge2DBox

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for path in ("gt.txt", "ours/none.txt", "label_02/none.txt"):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).touch()
        (folder / "evaluate_tracking.seqmap.training").write_text("none empty 000000 000001\n")
        places = {
            "GT_FOLDER": text,
            "TRACKERS_FOLDER": text,
            "TRACKERS_TO_EVAL": ["ours"],
            "TRACKER_SUB_FOLDER": "",
            "PRINT_CONFIG": False,
        }
        if rules == "KITTI":
            return Kitti2DBox({**places, "CLASSES_TO_EVAL": ["car"]})
        mot = {"BENCHMARK": rules, "SKIP_SPLIT_FOL": True, "SEQ_INFO": {"none": 1}}
        return MotChallenge2DBox({**places, **mot, "GT_LOC_FORMAT": "{gt_folder}/gt.txt"})


def _prepared(truth: Truth, table: BoxTable | None) -> Any:
    """Return the sequence as TrackEval's metrics want it, distractors and ignored boxes out."""
    from trackeval.utils import TrackEvalException

    length = _length(truth, table)
    raw: dict[str, Any] = {"num_timesteps": length, "seq": truth.name}
    rows = _by_frame(truth.frame, length)
    raw["gt_ids"] = [truth.track_id[each] for each in rows]
    raw["gt_classes"] = [truth.class_id[each] for each in rows]
    raw["gt_dets"] = [truth.xyxy[each] for each in rows]
    raw["gt_extras"] = [
        {
            "zero_marked": truth.counts[each].astype(int),
            "truncation": truth.truncation[each],
            "occlusion": truth.occlusion[each],
        }
        for each in rows
    ]
    ignored_frame, ignored = truth.ignored
    raw["gt_crowd_ignore_regions"] = [ignored[each] for each in _by_frame(ignored_frame, length)]
    raw |= _tracker_part(table, length)
    raw["similarity_scores"] = [
        iou_of_xyxy(theirs, ours)
        for theirs, ours in zip(raw["gt_dets"], raw["tracker_dets"], strict=True)
    ]
    try:
        return _dataset(truth.rules).get_preprocessed_seq_data(raw, _EVALUATED[truth.rules])
    except TrackEvalException as error:
        raise UsageError(f"{truth.name}: {' '.join(str(error).split())}") from None


def _length(truth: Truth, table: BoxTable | None) -> int:
    """Return how many frames there are; tracks tell where the truth just ends with its boxes."""
    last = 0 if table is None else int(table.frame.max(initial=-1)) + 1
    if truth.length_is_known and last > truth.length:
        raise UsageError(
            f"{truth.name}: tracks go on to frame {last}, the video has {truth.length} frames"
        )
    return max(truth.length, last)


def _tracker_part(table: BoxTable | None, length: int) -> dict[str, Any]:
    if table is None:
        empty: list[NDArray[np.intp]] = [np.empty(0, np.intp)] * length
        return {
            "tracker_ids": empty,
            "tracker_classes": empty,
            "tracker_confidences": [np.empty(0)] * length,
            "tracker_dets": [np.empty((0, 4))] * length,
        }
    rows = _by_frame(table.frame, length)
    # Ids need not be small: the metrics make arrays as long as the greatest.
    ids = np.unique(table.track_id, return_inverse=True)[1].astype(np.int64)
    return {
        "tracker_ids": [ids[each] for each in rows],
        "tracker_classes": [np.ones(len(each), np.int64) for each in rows],
        "tracker_confidences": [table.score[each] for each in rows],
        "tracker_dets": [table.xyxy[each] for each in rows],
    }


def _by_frame(frame: NDArray[np.int64], length: int) -> list[NDArray[np.intp]]:
    """Return each frame's rows, in the file's order."""
    order = frame.argsort(kind="stable")
    edges = frame[order].searchsorted(np.arange(length + 1))
    return [order[a:b] for a, b in pairwise(edges.tolist())]
