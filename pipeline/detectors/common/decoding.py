"""Decodes boxes, scores and classes from the output of a YOLO network."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import xyxy_from_cxcywh
from pipeline.core.data import Float32, Int32

STRIDES = (8, 16, 32)
"""Pixels between the cells of each feature map of an ordinary network."""

STRIDE_SETS = (STRIDES, (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (4, 8, 16), (8, 16))
"""Feature maps in use: ordinary networks, P6, P2, tiny ones of YOLOv3 and 4, and rare ones."""

Size = tuple[int, int]
Places = NDArray[np.int64]


class Candidates(NamedTuple):
    """Boxes above a score before suppression: `xyxy` f32[N,4] in pixels of the network's input.

    `place` i64[N] says which of the output's boxes they are.
    """

    xyxy: Float32
    score: Float32
    class_id: Int32
    place: Places


Decode = Callable[[Float32, float, Size], Candidates]
"""(output f32[rows, columns], score threshold, input size (height, width)) to Candidates."""


def cell_count(size: Size, strides: tuple[int, ...] = STRIDES) -> int:
    """Return how many cells the feature maps have together for input of `size`."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in strides)


def transposed(decode: Decode) -> Decode:
    """Return the variant of an output whose rows and columns are exchanged."""
    return lambda output, threshold, size: decode(output.T, threshold, size)


def normalised(decode: Decode) -> Decode:
    """Return the variant of an output whose boxes are parts of the input's sides, 0 to 1."""

    def scaled(output: Float32, threshold: float, size: Size) -> Candidates:
        found = decode(output, threshold, size)
        height, width = size
        sides = np.array((width, height, width, height), np.float32)
        return found._replace(xyxy=found.xyxy * sides)

    return scaled


def decode_v8(output: Float32, threshold: float, _size: Size) -> Candidates:
    """Read rows cx cy w h and a score per class, a box per column."""
    scores = output[4:]
    best = scores.max(axis=0)
    columns = np.flatnonzero(best > threshold)
    class_id = scores[:, columns].argmax(axis=0).astype(np.int32)
    cxcywh = np.ascontiguousarray(output[:4, columns].T)
    return Candidates(xyxy_from_cxcywh(cxcywh), best[columns], class_id, columns)


def decode_best(output: Float32, threshold: float, _size: Size) -> Candidates:
    """Read rows cx cy w h, best score and its class, a box per column."""
    columns = np.flatnonzero(output[4] > threshold)
    found = output[:, columns]
    cxcywh = np.ascontiguousarray(found[:4].T)
    return Candidates(xyxy_from_cxcywh(cxcywh), found[4], found[5].astype(np.int32), columns)


def decode_v5(output: Float32, threshold: float, _size: Size) -> Candidates:
    """Read columns cx cy w h, objectness and a score per class, a box per row."""
    # A class probability is at most 1, so objectness alone already rules out nearly every row.
    rows = np.flatnonzero(output[:, 4] > threshold)
    found = output[rows]
    return _with_objectness(found, found[:, :4], rows, threshold)


def decode_yolox(strides: tuple[int, ...]) -> Decode:
    """Return what reads rows as `decode_v5`, with boxes relative to their cell."""

    def decode(output: Float32, threshold: float, size: Size) -> Candidates:
        rows = np.flatnonzero(output[:, 4] > threshold)
        found = output[rows]
        corner, stride = grid(size, strides)
        cxcywh = np.empty((len(rows), 4), np.float32)
        cxcywh[:, :2] = (found[:, :2] + corner[rows]) * stride[rows]
        with np.errstate(over="ignore"):
            cxcywh[:, 2:] = np.exp(found[:, 2:4]) * stride[rows]
        return _with_objectness(found, cxcywh, rows, threshold)

    return decode


def decode_final(output: Float32, threshold: float, _size: Size) -> Candidates:
    """Read columns left top right bottom, score, class, a box per row."""
    rows = np.flatnonzero(output[:, 4] > threshold)
    found = output[rows]
    return _corners(found, found[:, 4], found[:, 5], rows)


def decode_class_first(output: Float32, threshold: float, _size: Size) -> Candidates:
    """Read columns left top right bottom, class, score, a box per row."""
    rows = np.flatnonzero(output[:, 5] > threshold)
    found = output[rows]
    return _corners(found, found[:, 5], found[:, 4], rows)


def _corners(found: Float32, score: Float32, class_id: Float32, rows: Places) -> Candidates:
    return Candidates(
        np.ascontiguousarray(found[:, :4]),
        np.ascontiguousarray(score),
        class_id.astype(np.int32),
        rows,
    )


def _with_objectness(found: Float32, cxcywh: Float32, rows: Places, threshold: float) -> Candidates:
    class_id = found[:, 5:].argmax(axis=1)
    score = found[:, 4] * found[np.arange(len(found)), 5 + class_id]
    above = score > threshold
    return Candidates(
        xyxy_from_cxcywh(cxcywh[above]), score[above], class_id[above].astype(np.int32), rows[above]
    )


@lru_cache(maxsize=8)
def grid(size: Size, strides: tuple[int, ...] = STRIDES) -> tuple[Float32, Float32]:
    """Return x and y of every cell f32[N,2] in cells, and its stride f32[N,1] in pixels."""
    corners, steps = [], []
    for stride in strides:
        rows, columns = size[0] // stride, size[1] // stride
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        corners.append(np.stack((x.ravel(), y.ravel()), axis=1))
        steps.append(np.full((rows * columns, 1), stride, np.float32))
    return np.concatenate(corners), np.concatenate(steps)
