"""What the numbers in a YOLO network's output mean: which layout it is, and how to read it.

Four layouts are in use, for nc classes and N boxes. A cell is one place of the feature maps at
strides 8, 16 and 32.

| layout     | output       | one box                                             | input      |
|------------|--------------|-----------------------------------------------------|------------|
| v8         | (1, 4+nc, N) | cx cy w h in pixels, a score per class              | RGB 0..1   |
| v5         | (1, N, 5+nc) | cx cy w h in pixels, objectness, a score per class  | RGB 0..1   |
| yolox      | (1, N, 5+nc) | as v5, but cx cy and the logarithm of w h in cells  | BGR 0..255 |
| end-to-end | (1, N, 6)    | left top right bottom in pixels, score, class       | RGB 0..1   |

v8 stands for YOLOv8, 9, 11 and 12. v5 has three boxes per cell, YOLOX (Ge et al., 2021) one.
Of end-to-end networks (YOLOv10 and 26) no box is suppressed any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pipeline.boxes import xyxy_from_cxcywh
from pipeline.data import Float32, Int32
from pipeline.errors import ModelError

STRIDES = (8, 16, 32)
Size = tuple[int, int]


class Candidates(NamedTuple):
    """Boxes above a score before suppression: `xyxy` f32[N,4] in pixels of the network's input."""

    xyxy: Float32
    score: Float32
    class_id: Int32


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read one network's output.

    `decode(output f32[rows, columns], score threshold, input size (height, width))` returns what is
    above the threshold. `class_count` is None where the shape does not tell. `final`: the network
    has suppressed duplicates itself. `raw_bgr`: it wants BGR 0..255 with the picture in the top
    left corner, otherwise RGB 0..1 with the picture centred. `best_only`, where there is one, is
    the layout that is left when the network itself looks for each box's best class: 6 rows (box,
    score, class) in place of 4 + class_count.
    """

    name: str
    class_count: int | None
    decode: Callable[[Float32, float, Size], Candidates]
    final: bool = False
    raw_bgr: bool = False
    best_only: Layout | None = None


def identify(
    shape: tuple[int | None, ...], size: Size, names: int | None, end2end: bool | None
) -> Layout:
    """Return the layout of an output of `shape` (None: unknown) for input of `size`.

    `names` is the number of classes and `end2end` what the metadata says, None where it is silent.
    Raises ModelError if no layout fits.
    """
    if len(shape) != 3 or shape[0] not in (1, None):
        raise _unknown(shape, "want three dimensions, the first 1")
    _, rows, columns = shape
    cells = cell_count(size)
    if columns == 6 and end2end is not False and (end2end or rows not in (cells, 3 * cells)):
        return Layout("end-to-end", names, _decode_final, final=True)
    if rows is None or columns is None:
        raise _unknown(shape, "its size does not follow from the input's")
    # Without names the longer side must be the boxes: no network has more classes than cells.
    if rows == 4 + names if names else 4 < rows < columns:
        best_only = Layout("v8, best class", rows - 4, _decode_best)
        return Layout("v8", rows - 4, _decode_v8, best_only=best_only)
    if columns != 5 + names if names else columns < 6:
        raise _unknown(shape, f"its metadata names {names} classes" if names else "too narrow")
    if rows == cells:
        return Layout("yolox", columns - 5, _decode_yolox, raw_bgr=True)
    if rows == 3 * cells:
        return Layout("v5", columns - 5, _decode_v5)
    raise _unknown(shape, f"N is neither 1 nor 3 times the {cells} cells of {size[0]}x{size[1]}")


def cell_count(size: Size) -> int:
    """Return how many cells the three feature maps have together for input of `size`."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in STRIDES)


def _unknown(shape: tuple[int | None, ...], why: str) -> ModelError:
    came = ", ".join("?" if side is None else str(side) for side in shape)
    return ModelError(
        f"model: unknown output layout ({came}): {why}; known are (1, 4+classes, N) as YOLOv8 and "
        "11, (1, N, 5+classes) as YOLOv5 and YOLOX, (1, N, 6) end-to-end"
    )


def _decode_v8(output: Float32, threshold: float, _size: Size) -> Candidates:
    scores = output[4:]
    best = scores.max(axis=0)
    columns = np.flatnonzero(best > threshold)
    class_id = scores[:, columns].argmax(axis=0).astype(np.int32)
    cxcywh = np.ascontiguousarray(output[:4, columns].T)
    return Candidates(xyxy_from_cxcywh(cxcywh), best[columns], class_id)


def _decode_best(output: Float32, threshold: float, _size: Size) -> Candidates:
    columns = np.flatnonzero(output[4] > threshold)
    found = output[:, columns]
    cxcywh = np.ascontiguousarray(found[:4].T)
    return Candidates(xyxy_from_cxcywh(cxcywh), found[4], found[5].astype(np.int32))


def _decode_v5(output: Float32, threshold: float, _size: Size) -> Candidates:
    # A class probability is at most 1, so objectness alone already rules out nearly every row.
    found = output[output[:, 4] > threshold]
    return _with_objectness(found, found[:, :4], threshold)


def _decode_yolox(output: Float32, threshold: float, size: Size) -> Candidates:
    rows = np.flatnonzero(output[:, 4] > threshold)
    found = output[rows]
    corner, stride = _grid(size)
    cxcywh = np.empty((len(rows), 4), np.float32)
    cxcywh[:, :2] = (found[:, :2] + corner[rows]) * stride[rows]
    with np.errstate(over="ignore"):
        cxcywh[:, 2:] = np.exp(found[:, 2:4]) * stride[rows]
    return _with_objectness(found, cxcywh, threshold)


def _with_objectness(found: Float32, cxcywh: Float32, threshold: float) -> Candidates:
    class_id = found[:, 5:].argmax(axis=1)
    score = found[:, 4] * found[np.arange(len(found)), 5 + class_id]
    above = score > threshold
    return Candidates(
        xyxy_from_cxcywh(cxcywh[above]), score[above], class_id[above].astype(np.int32)
    )


def _decode_final(output: Float32, threshold: float, _size: Size) -> Candidates:
    found = output[output[:, 4] > threshold]
    return Candidates(
        np.ascontiguousarray(found[:, :4]),
        np.ascontiguousarray(found[:, 4]),
        found[:, 5].astype(np.int32),
    )


@lru_cache(maxsize=8)
def _grid(size: Size) -> tuple[Float32, Float32]:
    """Return x and y of every cell f32[N,2] in cells, and its stride f32[N,1] in pixels."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = size[0] // stride, size[1] // stride
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        corners.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full((rows * columns, 1), stride, np.float32))
    return np.concatenate(corners), np.concatenate(strides)
