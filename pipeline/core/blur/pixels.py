"""Makes a region unrecognisable: a coarse grid of averages, quantised and smoothed.

Pixelation alone can be undone over many frames, because each shifts the grid a little, and a
Gaussian blur by deconvolution. Here a region keeps four cells over its short side with 16 levels
each; the smooth transitions between them add no information.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Image
from pipeline.core.masks import Mask

CELLS = 4  # over the short side
MAX_CELLS = 10  # over the long side
MIN_CELL_PX = 6
MASK_MARGIN = 0.1
"""Margin added around a mask, as a share of its region's short side: networks cut off hands and
hair."""
MIN_MASK_MARGIN_PX = 3
_HIGH_BITS, _MIDDLE = 0xF0, 0x08  # 16 levels


def obscure(image: Image, xyxy: NDArray[np.float64], masks: Sequence[Mask | None] = ()) -> None:
    """Blur the regions [N,4] of `image`, BGR u8[H,W,3], in place; regions are clipped to the image.

    `masks` belong to the first regions: of those only the mask and a margin around it are blurred.
    """
    import cv2

    height, width = image.shape[:2]
    for (x1, y1, x2, y2), mask in zip_longest(xyxy.clip(-1e6, 1e6).tolist(), masks):
        left, top = max(math.floor(x1), 0), max(math.floor(y1), 0)
        right, bottom = min(math.ceil(x2), width), min(math.ceil(y2), height)
        if right <= left or bottom <= top:
            continue
        patch = image[top:bottom, left:right]
        size = right - left, bottom - top
        cell = max(min(size) / CELLS, max(size) / MAX_CELLS, MIN_CELL_PX)
        columns, rows = (max(1, round(side / cell)) for side in size)
        small = cv2.resize(patch, (columns, rows), interpolation=cv2.INTER_AREA)
        rounded = np.bitwise_or(np.bitwise_and(small, _HIGH_BITS), _MIDDLE).astype(np.uint8)
        smooth = cv2.resize(rounded, size, interpolation=cv2.INTER_LINEAR)
        covered = None if mask is None else _covered(mask, (left, top), image, patch)
        if covered is None:
            image[top:bottom, left:right] = smooth
        else:
            cv2.copyTo(smooth, covered, patch)


def _covered(mask: Mask, corner: tuple[int, int], image: Image, patch: Image) -> Image | None:
    """Return u8[h,w] for a region at `corner` (left, top): the mask and its margin.

    None if the mask cannot be used: it is empty, or belongs to another picture size.
    """
    import cv2

    pixels, x, y = mask.cropped()
    if mask.size != image.shape[:2] or not pixels.any():
        return None
    (left, top), (height, width) = corner, patch.shape[:2]
    covered = np.zeros((height, width), np.uint8)
    rows = slice(max(y, top), min(y + pixels.shape[0], top + height))
    columns = slice(max(x, left), min(x + pixels.shape[1], left + width))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return None
    part = pixels[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    covered[rows.start - top :, columns.start - left :][: part.shape[0], : part.shape[1]] = part
    margin = max(round(MASK_MARGIN * min(height, width)), MIN_MASK_MARGIN_PX)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    return cv2.dilate(covered, disc).astype(np.uint8)
