"""A landscape and a camera's view of it, for tests of camera motion."""

from __future__ import annotations

import cv2
import numpy as np


def scenery(seed: int = 0):
    """A landscape u8[900,1400,3] with corners at every scale that matters."""
    noise = np.random.default_rng(seed).integers(0, 255, (900, 1400, 3)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)


def view(land, x: float, y: float, zoom: float = 1.0, turn: float = 0.0):
    """What a camera of 640x480 sees that looks at (x, y)."""
    matrix = cv2.getRotationMatrix2D((x, y), turn, zoom)
    matrix[:, 2] += (320 - x, 240 - y)
    return cv2.warpAffine(land, matrix, (640, 480))
