"""Letterboxes decoded pictures where the network runs: u8 goes up, nothing is resized on the CPU.

The geometry is `_letterbox.fit`'s and the interpolation OpenCV's bilinear one: pixel centres at
half coordinates, weights clamped at the border, values rounded to whole grey levels, so that both
paths show the network the same picture within one grey level.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from pipeline.detectors._letterbox import PADDING, Letterbox

Tensor = Any


class Canvas:
    """Memory of a network's input for `count` pictures: [count,3,H,W] RGB 0..1, channels-last.

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
        place.copy_(resized(pictures, box.scaled_size).flip(-1).mul_(1 / 255))


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Return f32[N,h,w,3], whole numbers 0..255, of u8[N,H,W,3]: OpenCV's INTER_LINEAR."""
    height, width = (int(side) for side in pictures.shape[1:3])
    if (height, width) == size:
        return pictures.float()
    top, bottom, weight = _taps(height, size[0], pictures.device)
    # Rows first: what is read of a large picture is then only the rows that count.
    rows = torch.lerp(
        pictures.index_select(1, top).float(),
        pictures.index_select(1, bottom).float(),
        weight[:, None, None],
    )
    left, right, weight = _taps(width, size[1], pictures.device)
    columns = torch.lerp(
        rows.index_select(2, left), rows.index_select(2, right), weight[:, None]
    )
    return columns.add_(0.5).floor_()


@lru_cache(maxsize=256)
def _taps(source: int, target: int, device: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each of `target` pixels of a side, its two source pixels and the second's weight.

    i64[target], i64[target], f32[target].
    """
    at = (np.arange(target) + 0.5) * (source / target) - 0.5
    first = np.floor(at).astype(np.int64)
    weight = at - first
    outside = (first < 0) | (first >= source - 1)
    weight[outside] = 0
    first = first.clip(0, source - 1)
    second = np.minimum(first + 1, source - 1)
    return (
        torch.from_numpy(first).to(device),
        torch.from_numpy(second).to(device),
        torch.from_numpy(weight.astype(np.float32)).to(device),
    )


def runs_of(boxes: Sequence[Letterbox]) -> list[tuple[int, int]]:
    """Return (first, end) of each run of neighbours with the same letterbox: one call each."""
    ends = [row for row in range(1, len(boxes)) if boxes[row] != boxes[row - 1]]
    return [*zip([0, *ends], [*ends, len(boxes)], strict=True)] if boxes else []
