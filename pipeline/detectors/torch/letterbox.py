"""Letterbox on the device: u8 pictures are uploaded, nothing is resized on the CPU.

The geometry is that of `common.letterbox.fit` and the interpolation OpenCV's bilinear one: pixel
centres at half coordinates, weights clamped at the border, fixed point. So both paths show the
network the same picture, but for a grey level here and there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from pipeline.detectors.common.letterbox import PADDING, Letterbox

Tensor = Any

_ONE = 2048
"""Weights are counted in this part of one, as OpenCV does (INTER_RESIZE_COEF_SCALE)."""


class Canvas:
    """Input memory of a network for `count` pictures: [count,3,H,W] RGB 0..1, channels-last.

    `pictures` is that tensor. Padding is painted only where a picture of another shape comes.
    """

    def __init__(self, count: int, size: tuple[int, int], dtype: Any, device: Any) -> None:
        self._rows = torch.empty((count, *size, 3), dtype=dtype, device=device)
        self._rows.fill_(PADDING / 255)
        self._boxes: list[Letterbox | None] = [None] * count
        self.pictures: Tensor = self._rows.permute(0, 3, 1, 2)

    def paste(self, first: int, pictures: Tensor, box: Letterbox) -> None:
        """Put u8[N,H,W,3] BGR pictures of one size at rows `first` and on."""
        count = len(pictures)
        (top, left), (height, width) = box.offset, box.scaled_size
        for row in range(first, first + count):
            if self._boxes[row] not in (None, box):
                self._rows[row].fill_(PADDING / 255)
            self._boxes[row] = box
        place = self._rows[first : first + count, top : top + height, left : left + width]
        place.copy_(resized(pictures, box.scaled_size).flip(-1).to(place.dtype).div_(255))


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Return [N,h,w,3], whole numbers 0..255, of u8[N,H,W,3]: what OpenCV's INTER_LINEAR gives.

    In its fixed point arithmetic, with weights in 2048ths and its shifts in between: rounded to
    nearest, one pixel in nine would be a grey level brighter, and scores up to 0.015 off.
    """
    height, width = (int(side) for side in pictures.shape[1:3])
    if (height, width) == size:
        return pictures
    top, bottom, by_top, by_bottom = _taps(height, size[0], pictures.device)
    left, right, by_left, by_right = _taps(width, size[1], pictures.device)

    def row(rows: Tensor, weight: Tensor) -> Tensor:
        # Rows first: of a large picture only those that count are read.
        line = pictures.index_select(1, rows)
        mixed = line.index_select(2, left) * by_left[:, None]
        mixed += line.index_select(2, right) * by_right[:, None]
        return mixed.bitwise_right_shift_(4).mul_(weight[:, None, None]).bitwise_right_shift_(16)

    return row(top, by_top).add_(row(bottom, by_bottom)).add_(2).bitwise_right_shift_(2)


@lru_cache(maxsize=256)
def _taps(source: int, target: int, device: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return, for each of `target` pixels of a side, two source pixels and their weights.

    i64[target] twice, i32[target] twice in 2048ths.
    """
    at = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(at).astype(np.int64)
    weight = at - first.astype(np.float32)
    weight[(first < 0) | (first >= source - 1)] = 0
    first = first.clip(0, source - 1)
    second = np.minimum(first + 1, source - 1)
    shares = [np.rint(each * _ONE).astype(np.int32) for each in (1 - weight, weight)]
    one, other, by_one, by_other = (
        torch.from_numpy(each).to(device) for each in (first, second, *shares)
    )
    return one, other, by_one, by_other


def runs_of(boxes: Sequence[Letterbox]) -> list[tuple[int, int]]:
    """Return (first, end) of each run of neighbours with the same letterbox: one call each."""
    ends = [row for row in range(1, len(boxes)) if boxes[row] != boxes[row - 1]]
    return [*zip([0, *ends], [*ends, len(boxes)], strict=True)] if boxes else []
