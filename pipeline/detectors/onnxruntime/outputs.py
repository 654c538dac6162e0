"""Outputs of a network of a family beyond YOLO as one table of boxes, in NumPy.

The same as `openvino.family_model` puts into the graph: see there, and `common.families`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Float32
from pipeline.core.errors import ModelError
from pipeline.detectors.common.families import Reading

Array = NDArray[Any]
_YXYX = (1, 0, 3, 2)


def table_of(outputs: Sequence[Array], reading: Reading) -> Float32:
    """Return f32[N,6]: box, score, class; N boxes in the order of the network's answer."""
    if reading.form == "detections":
        boxes, score, class_id = _detections(outputs, reading)
    else:
        boxes, score, class_id = _candidates(outputs, reading)
    if reading.corners == "yxyx":
        boxes = boxes[:, _YXYX]
    return np.concatenate((boxes, score[:, None], class_id[:, None]), axis=1, dtype=np.float32)


def masks_of(outputs: Sequence[Array], reading: Reading) -> Float32 | None:
    """Return the mask of each box, f32[N,h,w], None where the network gives none."""
    if reading.masks < 0:
        return None
    masks = outputs[reading.masks]
    return np.asarray(masks[:, 0] if masks.shape[1] == 1 else masks[0], np.float32)


def _detections(outputs: Sequence[Array], reading: Reading) -> tuple[Array, Array, Array]:
    """Return boxes [N,4], scores [N] and classes [N] that a network has finished."""
    if reading.packed == "detection-output":
        rows = outputs[reading.boxes].reshape(-1, 7)
        boxes, score, class_id = rows[:, 3:7], rows[:, 2], rows[:, 1]
    elif reading.packed == "dets":
        rows = outputs[reading.boxes].reshape(-1, 5)
        boxes, score, class_id = rows[:, :4], rows[:, 4], outputs[reading.labels].reshape(-1)
    else:
        boxes = outputs[reading.boxes].reshape(-1, 4)
        score, class_id = (outputs[at].reshape(-1) for at in (reading.scores, reading.labels))
    if reading.background in ("first", "both"):
        class_id = np.maximum(class_id.astype(np.float32) - 1, 0)
    return boxes, score, class_id


def _candidates(outputs: Sequence[Array], reading: Reading) -> tuple[Array, Array, Array]:
    """Return boxes [N,4], the best scores [N] and their classes [N], of scores per class."""
    if reading.packed == "maps":
        boxes, scores = _boxes_of_maps(outputs, reading)
    else:
        boxes = outputs[reading.boxes].astype(np.float32)[0]
        scores = outputs[reading.scores].astype(np.float32)[0]
        if reading.activation == "sigmoid":
            scores = _sigmoid(scores)
        elif reading.activation == "softmax":
            scores = _softmax(scores)
    first = 1 if reading.background in ("first", "both") else 0
    last = -1 if reading.background in ("last", "both") else None
    scores = scores[:, first:last]
    if not reading.several:
        best = scores.argmax(axis=1)
        return boxes, scores[np.arange(len(scores)), best], best
    # Each box for each class, as the published postprocessing of DETR: the best N of all.
    places = np.argsort(-scores, axis=None, kind="stable")[: len(boxes)]
    row, class_id = np.unravel_index(places, scores.shape)
    return boxes[row], scores[row, class_id], class_id


def _boxes_of_maps(outputs: Sequence[Array], reading: Reading) -> tuple[Array, Array]:
    """Return boxes [N,4] as a network with anchors has them and scores [N,nc], fine maps first."""
    if reading.class_count is None:
        raise ModelError("anchors: the network's feature maps have no known number of classes")
    wide = 5 + reading.class_count
    maps = sorted(outputs, key=lambda each: -each.shape[2] * each.shape[3])
    tables = []
    for each, count in zip(maps, reading.anchors, strict=True):
        height, width = each.shape[2:4]
        if each.ndim == 4:
            cells = each.reshape(count, wide, height, width).transpose(2, 3, 0, 1)
        else:
            cells = each[0].transpose(1, 2, 0, 3)
        tables.append(cells.reshape(-1, wide).astype(np.float32))
    rows = np.concatenate(tables)
    return rows[:, :4], _sigmoid(rows[:, 5:]) * _sigmoid(rows[:, 4:5])


def _sigmoid(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-values)))


def _softmax(values: Array) -> Array:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
