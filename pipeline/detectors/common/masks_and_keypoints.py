"""Masks and keypoints: which columns of a network's output hold them, and how to read them.

| task    | output                                | behind box and scores                       |
|---------|---------------------------------------|---------------------------------------------|
| segment | a layout of `layouts`, C columns more | weights of C prototypes, whose sum is above |
|         | and prototypes (1, C, H/4, W/4)       | 0 inside of the object                      |
| pose    | a layout of `layouts`, K*2 or K*3     | x and y of K keypoints in pixels of the     |
|         | columns more                          | input, and a score for each                 |
| R-CNN   | masks (N, 1, h, w) beside the boxes   | above 0.5 inside of the object: over the    |
|         |                                       | box (28 x 28), or over the whole input      |

Prototypes and coefficients are YOLACT's (Bolya et al., ICCV 2019); R-CNN's masks are of He et al.,
Mask R-CNN, ICCV 2017. The columns before these follow any of the layouts, which is identified as if
the additional columns were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Float32
from pipeline.core.errors import ModelError
from pipeline.core.masks import Mask
from pipeline.detectors.common.backend import ExtraColumns
from pipeline.detectors.common.letterbox import Letterbox, undo_xyxy
from pipeline.models.metadata import Metadata

Shape = tuple[int | None, ...]

_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_MAX_CELLS = 512
"""Of a side of a mask that comes in pixels of the input: it was made of 28 or so."""


def find_prototypes(others: Sequence[Shape], task: str | None, size: tuple[int, int]) -> int | None:
    """Return which of the outputs beside the table holds prototypes, None for none.

    Some exports put raw feature maps there: those are several, and no network of the task segment.
    Without a task in the file, a lone output with a quarter of the input's sides is believed.
    """
    fitting = [
        place
        for place, shape in enumerate(others)
        if len(shape) == 4 and shape[1] and shape[2:] == (size[0] // 4, size[1] // 4)
    ]
    if len(fitting) != 1 or task not in ("segment", None) or (task is None and len(others) > 1):
        return None
    return fitting[0]


def find_extra(metadata: Metadata, table: Shape, prototypes: int | None) -> ExtraColumns | None:
    """Return the columns beside boxes and scores of a table (1, rows, columns), None for none.

    `prototypes` is how many there are. Raises ModelError where the file's task says that there are
    such columns and they cannot be found.
    """
    names = len(metadata.names)
    if prototypes:
        extra = ExtraColumns(coefficients=prototypes)
    elif metadata.task == "segment":
        raise ModelError("its task is segment, but it has no output of mask prototypes")
    elif metadata.task == "pose":
        extra = ExtraColumns(keypoints=metadata.keypoints or _keypoints_of(table, names))
    else:
        return None
    _, rows, columns = table
    usual = (4, 5)  # box, or box and objectness
    if names and rows is not None and rows - extra.count - names in usual:
        return extra
    by_row = ExtraColumns(extra.coefficients, extra.keypoints, by_column=False)
    if columns is not None:
        besides = columns - extra.count
        if (names and besides - names in usual) or besides == 6:
            return by_row
    if rows is not None and (columns is None or rows < columns):
        return extra
    return by_row


def without_extra(table: Shape, extra: ExtraColumns | None) -> Shape:
    """Return the shape of a table without these columns; raises ModelError where none is left."""
    if extra is None:
        return table
    sides = list(table)
    at = 1 if extra.by_column else 2
    side = sides[at]
    if side is not None:
        sides[at] = side - extra.count
        if side - extra.count < 5:
            raise ModelError(
                f"its output has {side} numbers for a box, want at least {extra.count + 5}: box, "
                f"score and {extra}"
            )
    return tuple(sides)


def other_task(shapes: Sequence[Shape]) -> str:
    """Return the likely task of a network without boxes, by its outputs' shapes; "" if unknown.

    It is appended to an error about them.
    """
    ranks = [len(shape) for shape in shapes]
    if ranks == [2]:
        return "; it looks like a classifier: trackline tag takes those"
    if ranks == [4] or ranks == [3]:
        return "; it looks like semantic segmentation, which gives no objects"
    return ""


def masks_of(
    coefficients: Float32, prototypes: Float32, xyxy: Float32, box: Letterbox, cut: Float32
) -> tuple[Mask, ...]:
    """Return the masks of N boxes: coefficients f32[N,C], prototypes f32[C,h,w].

    `xyxy` f32[N,4] are the boxes in pixels of the network's input, `cut` f32[N,4] in the picture's.
    """
    count, height, width = prototypes.shape
    grid = np.array((width, height), np.float32)
    scale = grid / np.array(box.input_size[::-1], np.float32)
    # Cells under the picture: those under the padding around it say nothing.
    (top, left), (tall, wide) = box.offset, box.scaled_size
    low = np.floor(np.array((left, top)) * scale)
    high = np.ceil(np.array((left + wide, top + tall)) * scale)
    usable = _usable(xyxy, cut)
    corners = np.where(usable[:, None], xyxy, 0).reshape(-1, 2, 2) * scale
    # Half a cell more on each side, as outlines run between the middles of cells.
    first = np.floor(corners[:, 0] - 0.5).clip(low, high - 1).astype(int)
    last = np.ceil(corners[:, 1] + 0.5).clip(first + 1, high).astype(int)
    regions = _unclipped(np.concatenate((first / scale, last / scale), axis=1), box)
    masks = []
    for row, ((x0, y0), (x1, y1)) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        if not usable[row]:
            masks.append(_empty(box))
            continue
        cells = prototypes[:, y0:y1, x0:x1].reshape(count, -1)
        numbers = (coefficients[row] @ cells).reshape(y1 - y0, x1 - x0)
        masks.append(Mask.from_numbers(numbers, _box(regions[row]), _box(cut[row]), box.image_size))
    return tuple(masks)


def own_masks_of(
    masks: Sequence[Float32], xyxy: Float32, box: Letterbox, cut: Float32, *, rounded: bool = False
) -> tuple[Mask, ...]:
    """Return the masks of N boxes that the network gives itself, f32[h,w] above 0.5 inside.

    Those of the input's size lie over the whole input, others over their box: exactly (Detectron2),
    or `rounded` to whole pixels as torchvision does. `xyxy` and `cut` as of `masks_of`.
    """
    found = []
    for row, usable in enumerate(_usable(xyxy, cut)):
        if not usable:
            found.append(_empty(box))
        elif masks[row].shape == box.input_size:
            found.append(_from_whole(masks[row], xyxy[row], box))
        else:
            found.append(_from_box(masks[row], xyxy[row], box, None if rounded else cut[row]))
    return tuple(found)


def _from_box(mask: Float32, xyxy: Float32, box: Letterbox, cut: Float32 | None) -> Mask:
    """Return the mask of a grid over a box, rounded as torchvision does it without `cut`.

    Around it lie cells of nothing.
    """
    numbers = np.pad(np.asarray(mask, np.float32) - 0.5, 1, constant_values=-0.5)
    height, width = mask.shape
    corners = xyxy.astype(np.float64)
    cell_x, cell_y = (corners[2:] - corners[:2]) / (width, height)
    region = corners + np.array((-cell_x, -cell_y, cell_x, cell_y))
    if cut is None:
        region = np.trunc(region) + np.array((0, 0, 1, 1))
    placed = _box(_unclipped(region, box))
    return Mask.from_numbers(numbers, placed, placed if cut is None else _box(cut), box.image_size)


def _from_whole(mask: Float32, xyxy: Float32, box: Letterbox) -> Mask:
    """Return the mask of pixels of the input: those of a box and, since it is rounded, around."""
    (top, left), (tall, wide) = box.offset, box.scaled_size
    low, high = np.array((left, top)), np.array((left + wide, top + tall))
    x0, y0 = (np.floor(xyxy[:2]) - 1).clip(low, high - 1).astype(int).tolist()
    x1, y1 = (np.ceil(xyxy[2:]) + 1).clip((x0 + 1, y0 + 1), high).astype(int).tolist()
    numbers: NDArray[Any] = np.asarray(mask[y0:y1, x0:x1], np.float32) - 0.5
    if max(numbers.shape) > _MAX_CELLS:
        height, width = (min(side, _MAX_CELLS) for side in numbers.shape)
        import cv2

        numbers = cv2.resize(numbers, (width, height), interpolation=cv2.INTER_LINEAR)
    region = _box(_unclipped(np.array((x0, y0, x1, y1), np.float64), box))
    return Mask.from_numbers(numbers, region, region, box.image_size)


def _usable(xyxy: Float32, cut: Float32) -> NDArray[np.bool_]:
    """Return bool[N]: whether both boxes are finite."""
    finite = np.isfinite(np.concatenate((xyxy, cut), axis=1))
    return np.asarray(finite.all(axis=1).reshape(-1))


def _empty(box: Letterbox) -> Mask:
    return Mask(np.zeros((0, 0), np.float16), _NO_BOX, _NO_BOX, box.image_size)


def keypoints_of(columns: Float32, keypoints: tuple[int, int], box: Letterbox) -> Float32:
    """Return keypoints f32[N,K,3] in pixels of the picture, clipped to it; score 1 without one.

    `columns` f32[N,K*2] or f32[N,K*3] are in pixels of the network's input.
    """
    count, numbers = keypoints
    points = columns.reshape(len(columns), count, numbers)
    out = np.ones((len(columns), count, 3), np.float32)
    pairs = np.concatenate((points[..., :2], points[..., :2]), axis=2).reshape(-1, 4)
    out[..., :2] = undo_xyxy(pairs, box)[:, :2].reshape(-1, count, 2)
    if numbers == 3:
        out[..., 2] = points[..., 2]
    return out


def _keypoints_of(table: Shape, names: int) -> tuple[int, int]:
    """Return (K, 3), where the shape and the number of classes leave a multiple of three."""
    _, rows, columns = table
    for side, besides in ((rows, 4 + names), (columns, 6)):
        if names and side is not None and side > besides and (side - besides) % 3 == 0:
            return (side - besides) // 3, 3
    raise ModelError("its task is pose, but it does not say how many keypoints it has (kpt_shape)")


def _unclipped(xyxy: NDArray[np.float64], box: Letterbox) -> NDArray[np.float64]:
    """Return boxes f64[...,4] in pixels of the input as pixels of the picture, not clipped."""
    (top, left), (height, width) = box.offset, box.image_size
    scale_y, scale_x = box.scaled_size[0] / height, box.scaled_size[1] / width
    return np.asarray((xyxy - (left, top, left, top)) / (scale_x, scale_y, scale_x, scale_y))


def _box(edges: NDArray[np.floating]) -> tuple[float, float, float, float]:
    left, top, right, bottom = edges.tolist()
    return left, top, right, bottom
