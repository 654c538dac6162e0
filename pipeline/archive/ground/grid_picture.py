"""Grid of the ground drawn over a picture, for checking a calibration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.ground.propagation import matrix_jacobian, propagated
from pipeline.core.data import Image
from pipeline.core.errors import OutputError
from pipeline.core.homography import Homography

Floats = NDArray[np.float64]

_FINE_M, _COARSE_M = 1.0, 5.0
_MIN_GAP_PX = 8.0
_MAX_LINES = 200
_SAMPLES = 200
_FINE, _COARSE, _AXIS, _INK = (200, 200, 90), (255, 255, 0), (60, 200, 255), (40, 40, 255)


def draw_grid(image: Image, homography: Homography) -> Image:
    """Return the BGR picture with lines every metre and every 5 m, the points and the x, y axes.

    The grid reaches twice as far as what was measured. Around each point is the ellipse in which
    it lies on the ground with 95 % probability, by the calibration alone.
    """
    import cv2

    canvas = np.ascontiguousarray(image).copy()
    measured = [point.pixel for point in homography.points]
    measured += [end for each in homography.lengths for end in (each.start, each.end)]
    pixels = np.array(measured)
    ground = homography.plane_of(pixels)
    low, high = ground.min(axis=0), ground.max(axis=0)
    reach = np.maximum(high - low, _COARSE_M) / 2
    low, high = low - reach, high + reach
    overlay = canvas.copy()
    step = _coarse_step(high - low)
    if _has_room(homography, ground, step / 5):
        _lines(overlay, homography, (low, high), step / 5, _FINE, 1)
    _lines(overlay, homography, (low, high), step, _COARSE, 2)
    cv2.addWeighted(overlay, 0.65, canvas, 0.35, 0, dst=canvas)
    _labels(canvas, homography, (low, high), step)
    for number, (pixel, place) in enumerate(zip(pixels, ground, strict=True), 1):
        _ellipse(canvas, homography, pixel, place)
        at = (round(pixel[0]), round(pixel[1]))
        cv2.drawMarker(canvas, at, _INK, cv2.MARKER_CROSS, 16, 2, cv2.LINE_AA)
        if homography.points:
            _text(canvas, f"{number}", (at[0] + 8, at[1] - 8), _INK)
    return canvas


def png_of(image: Image) -> bytes:
    """Return a BGR picture as a PNG file; raises OutputError."""
    import cv2

    done, data = cv2.imencode(".png", image)
    if not done:
        raise OutputError("the picture of the grid cannot be encoded")
    return data.tobytes()


def _coarse_step(extent: Floats) -> float:
    """Return 5 m, or 50, 500 ... where the ground is so wide that there would be too many lines."""
    step = _COARSE_M
    while extent.max() / step > _MAX_LINES / 5:
        step *= 10
    return step


def _has_room(homography: Homography, ground: Floats, step: float) -> bool:
    """Return whether fine lines are apart enough in the picture where the points are."""
    here, there = homography.pixel_of(ground), homography.pixel_of(ground + np.array((step, 0.0)))
    return bool(np.nanmax(np.linalg.norm(here - there, axis=1), initial=0) > _MIN_GAP_PX)


def _lines(
    canvas: Image,
    homography: Homography,
    area: tuple[Floats, Floats],
    step: float,
    colour: tuple[int, int, int],
    width: int,
) -> None:
    import cv2

    low, high = area
    for axis in (0, 1):
        along = np.linspace(low[1 - axis], high[1 - axis], _SAMPLES)
        first = math.ceil(low[axis] / step)
        for number in range(first, math.floor(high[axis] / step) + 1):
            line = np.empty((_SAMPLES, 2))
            line[:, axis], line[:, 1 - axis] = number * step, along
            is_axis = number == 0 and width > 1
            for part in _visible(homography.pixel_of(line), canvas):
                cv2.polylines(
                    canvas, [part], False, _AXIS if is_axis else colour, width, cv2.LINE_AA
                )


def _visible(pixels: Floats, canvas: Image) -> list[NDArray[np.int32]]:
    """Return the stretches of a line that are in or near the picture."""
    height, width = canvas.shape[:2]
    away = np.abs(pixels - (width / 2, height / 2)).max(axis=1)
    near = np.nan_to_num(away, nan=np.inf) < 2 * max(width, height)
    edges = np.flatnonzero(np.diff(near)) + 1
    parts = np.split(np.arange(len(pixels)), edges)
    return [pixels[p].round().astype(np.int32) for p in parts if near[p[0]] and len(p) > 1]


def _labels(
    canvas: Image, homography: Homography, area: tuple[Floats, Floats], step: float
) -> None:
    """Write x at the near end of lines ahead, y at the left end of lines across."""
    low, high = area
    height, width = canvas.shape[:2]
    for axis, name in ((0, "x"), (1, "y")):
        along = np.linspace(low[1 - axis], high[1 - axis], _SAMPLES)
        for number in range(math.ceil(low[axis] / step), math.floor(high[axis] / step) + 1):
            line = np.empty((_SAMPLES, 2))
            line[:, axis], line[:, 1 - axis] = number * step, along
            pixels = homography.pixel_of(line)
            with np.errstate(invalid="ignore"):
                inside = (pixels > (4, 16)).all(axis=1) & (pixels < (width - 60, height - 6)).all(
                    axis=1
                )
            if inside.any():
                x, y = pixels[inside.argmax()].round().astype(int).tolist()
                _text(canvas, f"{name}={number * step:g} m", (x + 3, y - 3), _COARSE)


def _ellipse(canvas: Image, homography: Homography, pixel: Floats, place: Floats) -> None:
    if homography.covariance is None:
        return
    import cv2

    jacobian = matrix_jacobian(homography.h, pixel[None])
    covariance = propagated(jacobian, np.array(homography.covariance))[0]
    sizes, ways = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, 40)
    # 5.99: the 95 % quantile of chi-squared with two degrees of freedom.
    circle = np.column_stack([np.cos(angle), np.sin(angle)]) * np.sqrt(5.99 * np.maximum(sizes, 0))
    for part in _visible(homography.pixel_of(place + circle @ ways.T), canvas):
        cv2.polylines(canvas, [part], True, _INK, 1, cv2.LINE_AA)


def _text(canvas: Image, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    import cv2

    scale = max(0.4, canvas.shape[1] / 2400)
    for ink, width in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, width, cv2.LINE_AA)
