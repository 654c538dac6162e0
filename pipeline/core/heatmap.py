"""Heat map: how long objects were at each place, as colours over a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Float32, Image

_CELL = 4  # pixels
_SMOOTH = 60  # the picture's short side divided by the sigma of the smoothing
_STRENGTH = 0.75  # opacity of the colours at the hottest place
_PEAK = 99.5  # percentile of the warm cells: one parked car must not set the scale


def feet_of(xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [N,2] foot points: the middles of the lower edges, where objects stand."""
    return np.stack([(xyxy[:, 0] + xyxy[:, 2]) / 2, xyxy[:, 3]], axis=1)


class HeatMap:
    """Seconds that objects spent at each place of a picture of `size` (height, width)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        height, width = size
        self._seconds: Float32 = np.zeros((-(-height // _CELL), -(-width // _CELL)), np.float32)

    def add(self, xyxy: NDArray[np.float64], seconds: float) -> None:
        """Add `seconds` at the foot points of these boxes [N,4]."""
        feet = feet_of(xyxy[np.isfinite(xyxy).all(axis=1)])
        rows, columns = self._seconds.shape
        x = (feet[:, 0].clip(0, self._size[1] - 1) / _CELL).astype(int).clip(0, columns - 1)
        y = (feet[:, 1].clip(0, self._size[0] - 1) / _CELL).astype(int).clip(0, rows - 1)
        np.add.at(self._seconds, (y, x), np.float32(seconds))

    def smooth(self) -> Float32:
        """Return the seconds, smoothed spatially: f32[H/4,W/4]."""
        return _blurred(self._seconds, max(1.0, min(self._size) / _SMOOTH / _CELL))

    def paint(self, image: Image, peak: float) -> Image:
        """Return a copy of a picture with the map over it; `peak` is the value shown hottest."""
        return _painted(image, self.smooth(), peak)


def peak_of(seconds: Float32) -> float:
    """Return the value shown hottest for smoothed seconds [rows,columns]; 1 if there are none."""
    warm = seconds[seconds > seconds.max() * 0.01] if seconds.size else seconds
    return float(np.percentile(warm, _PEAK)) if warm.size else 1.0


def paint_grid(image: Image, seconds: Float32) -> Image:
    """Return a copy of a picture with a coarse grid of seconds [rows,columns] over it."""
    smooth = _blurred(seconds, 1.0)
    return _painted(image, smooth, peak_of(smooth))


def _blurred(seconds: Float32, sigma: float) -> Float32:
    import cv2

    return np.asarray(cv2.GaussianBlur(seconds, (0, 0), sigma), np.float32)


def _painted(image: Image, seconds: Float32, peak: float) -> Image:
    """Return a copy of a picture with smoothed seconds as colours over it.

    Colours follow the square root of time, so a car parked all day does not outshine the rest.
    """
    import cv2

    height, width = image.shape[:2]
    share = np.sqrt(np.clip(seconds / max(peak, 1e-6), 0, 1))
    level = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    strength = (np.minimum(level * 3, 1) * _STRENGTH)[:, :, None]
    mixed: Image = (image + (colours - image.astype(np.float32)) * strength).astype(np.uint8)
    return mixed


def png_of(image: Image) -> bytes:
    """Return a picture, BGR u8[H,W,3], as a PNG file."""
    import cv2

    _, data = cv2.imencode(".png", image)
    return data.tobytes()
