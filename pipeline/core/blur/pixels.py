"""What makes a region unrecognisable: a coarse grid of averages, rounded and smoothed.

Pixelation alone can be undone over many frames, as each shifts the grid a little, and a Gaussian
blur by deconvolution. Here a region keeps four cells over its short side with 16 levels each; the
smooth picture between them holds nothing else.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Image

CELLS = 4  # over the short side
MAX_CELLS = 10  # over the long side
MIN_CELL_PX = 6
_HIGH_BITS, _MIDDLE = 0xF0, 0x08  # 16 levels


def obscure(image: Image, xyxy: NDArray[np.float64]) -> None:
    """Blur the regions [N,4] of `image`, BGR u8[H,W,3], in place; what is outside is cut off."""
    import cv2

    height, width = image.shape[:2]
    for x1, y1, x2, y2 in xyxy.clip(-1e6, 1e6).tolist():
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
        image[top:bottom, left:right] = cv2.resize(rounded, size, interpolation=cv2.INTER_LINEAR)
