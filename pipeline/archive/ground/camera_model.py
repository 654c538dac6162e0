"""Homography of the ground plane from known lengths on it, through a model of the camera.

A pinhole camera with square pixels and the optical axis in the middle of the picture, over a level
plane, has four unknowns: focal length, tilt, roll and height. The ray of a pixel meets the plane
where Hartley & Zisserman (2nd ed., section 8.1.1) put it. Weak prior knowledge (usual focal
lengths, a roll of about 2 degrees) decides what few lengths leave open.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.ground.calibration import Calibration, Errors
from pipeline.archive.ground.propagation import homogeneous, matrix_jacobian
from pipeline.core.errors import UsageError

Floats = NDArray[np.float64]

MIN_LENGTHS = 3
# The focal length of a lens that sees 60 degrees, times or by 1.6; a camera held level by eye.
_USUAL_FOCAL, _SD_LOG_FOCAL = 0.87, 0.5
_SD_ROLL = math.radians(2)
_FIRST_TILTS = tuple(map(math.radians, (4, 9, 16, 26, 40, 60, 80)))
_MAX_STEPS = 100
_BEHIND = 1e4
"""Residual of a length that is not on the ground; greater than any other."""
_MAX_RELATIVE_SD = 0.25
_MAX_RELATIVE_ERROR = 0.3
_NUMERIC_STEP = 1e-5
_MAX_CONDITION = 1e12
_OPEN = (
    "lengths: they leave the ground open by more than a quarter: add lengths in another direction "
    "or at another distance"
)


def calibrate_lengths(
    ends: Floats, metres: Floats, size: tuple[int, int], errors: Errors
) -> Calibration:
    """Return the calibration from f64[N,4] ends (x1, y1, x2, y2) in pixels and f64[N] metres.

    The plane's (0, 0) is below the camera, its y axis points where the camera looks. Raises
    UsageError in one line if the lengths are too few, do not determine the plane or contradict each
    other.
    """
    if len(ends) < MIN_LENGTHS:
        raise UsageError(
            f"lengths: want {MIN_LENGTHS} or more in at least two directions, got {len(ends)} "
            "(or a rectangle, or four points)"
        )
    if (np.linalg.norm(ends[:, :2] - ends[:, 2:], axis=1) < 1).any():
        raise UsageError("lengths: one starts and ends at the same pixel")

    def residuals(values: Floats) -> Floats:
        return _residuals(values, ends, metres, size, errors)

    values, cost = min((_descend(residuals, _start(tilt, ends, metres, size)) for tilt in
                        _FIRST_TILTS), key=lambda found: found[1])  # fmt: skip
    matrix = ground_matrix(values, size)
    _check_fit(matrix, ends, metres)
    slopes = _numeric(residuals, values)
    # Two of the residuals are the prior knowledge; four values were fitted.
    misfit = cost / max(1, len(metres) + 2 - 4)
    normal = slopes.T @ slopes
    if np.linalg.cond(normal) > _MAX_CONDITION:
        raise UsageError(_OPEN)
    inner = np.linalg.inv(normal) * max(1.0, misfit)
    by_values = _numeric(lambda at: ground_matrix(at, size).ravel(), values)
    covariance = by_values @ inner @ by_values.T
    _check_determined(matrix, covariance, ends)
    return Calibration(matrix, covariance, misfit)


def lengths_by(matrix: Floats, ends: Floats) -> Floats:
    """Return f64[N] metres between the ends by a matrix; NaN where one is above the horizon."""
    seen = [homogeneous(each) @ matrix.T for each in (ends[:, :2], ends[:, 2:])]
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (each[:, :2] / each[:, 2:] for each in seen)
        metres: Floats = np.linalg.norm(a - b, axis=1)
    metres[(seen[0][:, 2] <= 0) | (seen[1][:, 2] <= 0)] = np.nan
    return metres


def ground_matrix(values: Floats, size: tuple[int, int]) -> Floats:
    """Return the matrix of (log focal length in pixels, tilt, roll, log height in metres)."""
    focal, height = math.exp(values[0]), math.exp(values[3])
    sine, cosine = math.sin(values[1]), math.cos(values[1])
    roll_sine, roll_cosine = math.sin(values[2]), math.cos(values[2])
    ray = np.array(((1, 0, -size[0] / 2), (0, 1, -size[1] / 2), (0, 0, focal)))
    level = np.array(((roll_cosine, -roll_sine, 0), (roll_sine, roll_cosine, 0), (0, 0, 1)))
    ground = np.array(((height, 0, 0), (0, -height * sine, height * cosine), (0, cosine, sine)))
    matrix: Floats = ground @ level @ ray / focal
    return matrix


def _residuals(
    values: Floats, ends: Floats, metres: Floats, size: tuple[int, int], errors: Errors
) -> Floats:
    """Return what the lengths and the prior knowledge miss, in standard deviations."""
    matrix = ground_matrix(values, size)
    found = lengths_by(matrix, ends)
    spread = np.full(len(metres), errors.ground_m**2)
    for number in range(4):
        moved = ends.copy()
        moved[:, number] += 1.0
        slope = np.nan_to_num(lengths_by(matrix, moved) - found)
        spread += (slope * errors.pixel) ** 2
    # Divided by the measured length's own share only: a plane far away must not excuse all.
    away = (found - metres) / np.sqrt(np.minimum(spread, (0.3 * metres) ** 2))
    focal = math.log(_USUAL_FOCAL * max(size))
    prior = ((values[0] - focal) / _SD_LOG_FOCAL, values[2] / _SD_ROLL)
    return np.array((*np.nan_to_num(away, nan=_BEHIND), *prior))


def _start(tilt: float, ends: Floats, metres: Floats, size: tuple[int, int]) -> Floats:
    """Return first values for a tilt, with the height that fits best."""
    values = np.array((math.log(_USUAL_FOCAL * max(size)), tilt, 0.0, 0.0))
    ratio = metres / lengths_by(ground_matrix(values, size), ends)
    if (good := ratio[np.isfinite(ratio)]).size:
        values[3] = float(np.log(np.median(good)))
    return values


def _descend(residuals: Callable[[Floats], Floats], values: Floats) -> tuple[Floats, float]:
    """Return the values of the least squares near these and their cost (Levenberg-Marquardt)."""
    damping, now = 1e-3, residuals(values)
    cost = float(now @ now)
    for _ in range(_MAX_STEPS):
        slopes = _numeric(residuals, values)
        normal = slopes.T @ slopes
        lifted = normal + damping * np.diag(np.diag(normal) + 1e-12)
        moved = values - np.linalg.solve(lifted, slopes.T @ now)
        moved[1] = min(max(moved[1], 0.005), math.pi / 2)
        moved[0] = min(max(moved[0], -20.0), 20.0)
        moved[3] = min(max(moved[3], -20.0), 20.0)
        there = residuals(moved)
        if (better := float(there @ there)) < cost:
            done = cost - better < 1e-10 * (1 + cost)
            values, now, cost, damping = moved, there, better, damping / 5
            if done:
                break
        elif damping > 1e8:
            break
        else:
            damping *= 4
    return values, cost


def _numeric(function: Callable[[Floats], Floats], at: Floats) -> Floats:
    """Return f64[M,4], the central differences of a function of four values."""
    steps = np.eye(len(at)) * _NUMERIC_STEP
    rise = np.array([function(at + step) - function(at - step) for step in steps])
    slopes: Floats = rise.T / (2 * _NUMERIC_STEP)
    return slopes


def _check_fit(matrix: Floats, ends: Floats, metres: Floats) -> None:
    found = lengths_by(matrix, ends)
    away = np.abs(np.nan_to_num(found, nan=np.inf) - metres) / metres
    number = int(away.argmax())
    if away[number] > _MAX_RELATIVE_ERROR:
        shown = f"{found[number]:.2f} m" if np.isfinite(found[number]) else "above the horizon"
        raise UsageError(
            f"lengths: no level ground fits them: number {number + 1} would be {shown}, not "
            f"{metres[number]:g} m"
        )


def _check_determined(matrix: Floats, covariance: Floats, ends: Floats) -> None:
    """Raise UsageError if a length across a given one would have an error above a quarter."""
    inverse = np.linalg.inv(matrix)
    a, b = ((each := homogeneous(p) @ matrix.T)[:, :2] / each[:, 2:] for p in
            (ends[:, :2], ends[:, 2:]))  # fmt: skip
    middle, half = (a + b) / 2, (b - a) / 2
    for turned in (half, np.column_stack([-half[:, 1], half[:, 0]])):
        sides = [homogeneous(middle + sign * turned) @ inverse.T for sign in (1, -1)]
        pixels = [each[:, :2] / each[:, 2:] for each in sides]
        slope = matrix_jacobian(matrix, pixels[0]) - matrix_jacobian(matrix, pixels[1])
        length = np.linalg.norm(2 * turned, axis=1)
        along = np.einsum("nk,nkj->nj", 2 * turned / length[:, None], slope)
        sd = np.sqrt(np.maximum(np.einsum("nj,jk,nk->n", along, covariance, along), 0))
        if not (sd / length < _MAX_RELATIVE_SD).all():
            raise UsageError(_OPEN)
