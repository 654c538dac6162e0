"""Cameras over a level ground with a known homography, by the pinhole model written out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.homography import Homography
from pipeline.core.yaml_file import dump

SIZE = (1920, 1080)


def view(height_m: float = 6.0, tilt: float = 20.0, focal: float = 1500.0) -> Any:
    """f64[3,3] from pixels to metres: x right, y ahead of the point below the camera."""
    down = math.radians(tilt)
    ahead = np.array((0.0, math.cos(down), -math.sin(down)))
    below = np.array((0.0, -math.sin(down), -math.cos(down)))
    place = np.array((0.0, 0.0, height_m))
    camera = np.array(((1.0, 0.0, 0.0), below, ahead))  # rows: right, down, ahead
    lens = np.array(((focal, 0, SIZE[0] / 2), (0, focal, SIZE[1] / 2), (0, 0, 1)))
    to_pixel = lens @ np.column_stack([camera[:, 0], camera[:, 1], -camera @ place])
    inverse = np.linalg.inv(to_pixel)
    return inverse / (inverse[2] @ (SIZE[0] / 2, SIZE[1], 1.0))


def homography(matrix: Any = None, **more: Any) -> Homography:
    rows = (view() if matrix is None else matrix).tolist()
    return Homography(matrix=rows, size=SIZE, **more)


def write_homography(path: Path, **more: Any) -> Path:
    path.write_text(dump(homography(**more).model_dump(mode="json", exclude_none=True)))
    return path
