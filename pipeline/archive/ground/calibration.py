"""Homography of the ground plane from point pairs, with its covariance and residuals.

Normalised direct linear transform, then weighted Gauss-Newton (Hartley & Zisserman, "Multiple View
Geometry", 2nd ed., algorithms 4.2 and 4.3): each residual on the ground is weighted by the error of
the tape and the error of the click, taken to the ground there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.ground.propagation import (
    homogeneous,
    matrix_jacobian,
    pixel_jacobian,
    propagated,
)
from pipeline.core.errors import UsageError

Floats = NDArray[np.float64]

MIN_POINTS = 4
_MAX_STEPS = 50
# Height of a triangle of three points against their extent below which they count as a line.
_FLAT = 0.01
_MAX_SEARCHED = 16
_SAME_PX = 1.0


@dataclass(frozen=True)
class Errors:
    """Standard deviations of the measurements: a click in the picture, a place on the ground."""

    pixel: float = 2.0
    """Pixels."""
    ground_m: float = 0.1
    """Metres: a tape 0.05, an aerial picture 0.3, a phone's GPS 3 to 5."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A matrix from pixels to metres, with its errors.

    `matrix` f64[3,3] with W positive on the ground; `covariance` f64[9,9] of its numbers row by
    row; `misfit`: residuals against what the stated errors explain (1: as expected, NaN: no more
    points than needed). The covariance is already widened where this is above 1.
    """

    matrix: Floats
    covariance: Floats
    misfit: float


def calibrate_points(pixels: Floats, ground: Floats, errors: Errors) -> Calibration:
    """Return the calibration from f64[N,2] pixels and f64[N,2] metres, four or more.

    Raises UsageError in one line for points that determine no plane: too few, duplicate, on a line,
    on both sides of the horizon, or mirrored.
    """
    _check_points(pixels, ground)
    found = _fit(pixels, ground, errors)
    _check_view(found.matrix, pixels)
    return found


def leave_one_out(pixels: Floats, ground: Floats, errors: Errors) -> list[float | None]:
    """Return the error of each point, in metres, by the calibration from the others.

    None if the others determine no plane.
    """
    found: list[float | None] = []
    for number in range(len(pixels)):
        others = np.arange(len(pixels)) != number
        try:
            without = calibrate_points(pixels[others], ground[others], errors)
        except UsageError:
            found.append(None)
            continue
        x, y, w = without.matrix @ (*pixels[number], 1.0)
        away = float(np.hypot(x / w - ground[number, 0], y / w - ground[number, 1]))
        found.append(away if w > 0 else None)
    return found


def _fit(pixels: Floats, ground: Floats, errors: Errors) -> Calibration:
    """Return the best matrix; it may see the points from behind."""
    to_pixel, to_ground = _normalising(pixels), _normalising(ground)
    own = (homogeneous(pixels) @ to_pixel.T)[:, :2]
    plane = (homogeneous(ground) @ to_ground.T)[:, :2]
    scale_px, scale_m = to_pixel[0, 0], to_ground[0, 0]
    sigma = Errors(errors.pixel * scale_px, errors.ground_m * scale_m)
    h = _direct_linear(own, plane)
    weights = _weights(h, own, sigma)
    cost = _cost(h, own, plane, weights)
    for _ in range(_MAX_STEPS):
        basis, jacobian = _tangent(h, own, weights)
        residual = _residuals(h, own, plane, weights)
        step = basis @ np.linalg.lstsq(jacobian, -residual, rcond=None)[0]
        h, moved = _shortened(h, step, own, plane, weights)
        weights = _weights(h, own, sigma)
        before, cost = cost, _cost(h, own, plane, weights)
        if not moved or abs(before - cost) <= 1e-12 * (1 + cost):
            break
    basis, jacobian = _tangent(h, own, weights)
    inner = np.linalg.pinv(jacobian.T @ jacobian)
    spare = 2 * len(pixels) - 8
    misfit = cost / spare if spare else float("nan")
    covariance = basis @ inner @ basis.T * max(1.0, misfit if spare else 1.0)
    # vec(A X B) = (A kron B') vec(X) for numbers row by row.
    back = np.kron(np.linalg.inv(to_ground), to_pixel.T)
    matrix = (back @ h.ravel()).reshape(3, 3)
    scale = float((homogeneous(pixels) @ matrix[2]).mean())
    return Calibration(matrix / scale, back @ covariance @ back.T / scale**2, misfit)


def _normalising(points: Floats) -> Floats:
    """Return the matrix that puts the points around 0 at a mean distance of sqrt(2)."""
    middle = points.mean(axis=0)
    scale = np.sqrt(2) / np.linalg.norm(points - middle, axis=1).mean()
    return np.array(
        ((scale, 0, -scale * middle[0]), (0, scale, -scale * middle[1]), (0.0, 0.0, 1.0))
    )


def _direct_linear(pixels: Floats, ground: Floats) -> Floats:
    """Return the matrix of norm 1 with the least algebraic error."""
    points = homogeneous(pixels)
    none = np.zeros_like(points)
    rows = np.vstack(
        [
            np.hstack([points, none, -ground[:, :1] * points]),
            np.hstack([none, points, -ground[:, 1:] * points]),
        ]
    )
    h: Floats = np.linalg.svd(rows)[2][-1].reshape(3, 3)
    return h if (points @ h[2]).mean() > 0 else -h


def _weights(h: Floats, pixels: Floats, sigma: Errors) -> Floats:
    """Return f64[N,2,2] that turn residuals on the ground into ones of variance 1."""
    jacobian = pixel_jacobian(h, pixels)
    covariance = propagated(jacobian, np.eye(2) * sigma.pixel**2) + np.eye(2) * sigma.ground_m**2
    weights: Floats = np.linalg.inv(np.linalg.cholesky(covariance))
    return weights


def _residuals(h: Floats, pixels: Floats, ground: Floats, weights: Floats) -> Floats:
    seen = homogeneous(pixels) @ h.T
    away = seen[:, :2] / seen[:, 2:] - ground
    residuals: Floats = (weights @ away[:, :, None]).ravel()
    return residuals


def _cost(h: Floats, pixels: Floats, ground: Floats, weights: Floats) -> float:
    return float((_residuals(h, pixels, ground, weights) ** 2).sum())


def _tangent(h: Floats, pixels: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the eight directions in which a matrix of norm 1 moves, and the residuals' slopes."""
    basis = np.linalg.svd(h.reshape(1, 9))[2][1:].T
    jacobian = (weights @ matrix_jacobian(h, pixels)).reshape(-1, 9) @ basis
    return basis, jacobian


def _shortened(
    h: Floats, step: Floats, pixels: Floats, ground: Floats, weights: Floats
) -> tuple[Floats, bool]:
    """Return the matrix after the longest of the halved steps that improves it, and whether."""
    cost = _cost(h, pixels, ground, weights)
    for halvings in range(12):
        moved = h + step.reshape(3, 3) / 2**halvings
        moved /= np.linalg.norm(moved)
        if _cost(moved, pixels, ground, weights) < cost:
            return moved, True
    return h, False


def _check_points(pixels: Floats, ground: Floats) -> None:
    """Raise UsageError for points that cannot determine the plane, whatever their errors."""
    count = len(pixels)
    if count < MIN_POINTS:
        raise UsageError(f"points: want {MIN_POINTS} or more, got {count}")
    for what, points, close in (("picture", pixels, _SAME_PX), ("ground", ground, 1e-6)):
        for a, b in combinations(range(count), 2):
            if np.linalg.norm(points[a] - points[b]) < close:
                where = f"at the same place {_in(what)}, {_at(points[a])}"
                raise UsageError(f"points: {a + 1} and {b + 1} are {where}")
        if count == MIN_POINTS:
            for three in combinations(range(count), 3):
                if _is_flat(points[list(three)]):
                    shown = f"{three[0] + 1}, {three[1] + 1} and {three[2] + 1}"
                    raise UsageError(
                        f"points: {shown} are on one line {_in(what)}; of four no three may be"
                    )
        elif not _has_good_four(points):
            raise UsageError(
                f"points: all but one are on one line {_in(what)}; want four of which no three are"
            )


def _in(what: str) -> str:
    return "in the picture" if what == "picture" else "on the ground"


def _at(point: Floats) -> str:
    return f"{point[0]:g},{point[1]:g}"


def _is_flat(three: Floats) -> bool:
    a, b, c = three
    sides = [np.linalg.norm(each) for each in (b - a, c - b, a - c)]
    area2 = abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
    longest = float(max(sides))
    return bool(area2 / longest < _FLAT * longest)


def _has_good_four(points: Floats) -> bool:
    """Return whether there are four points of which no three are on a line."""
    some = points[np.linspace(0, len(points) - 1, min(len(points), _MAX_SEARCHED)).astype(int)]
    flat = {three for three in combinations(range(len(some)), 3) if _is_flat(some[list(three)])}
    return any(
        not any(three in flat for three in combinations(four, 3))
        for four in combinations(range(len(some)), 4)
    )


def _check_view(matrix: Floats, pixels: Floats) -> None:
    """Raise UsageError unless the matrix looks down on the plane at all points."""
    w = homogeneous(pixels) @ matrix[2]
    if (w <= 0).any():
        number = int(w.argmin())
        raise UsageError(
            f"points: {number + 1} ({_at(pixels[number])}) would be above the horizon of the "
            "others: are two points exchanged?"
        )
    if np.linalg.det(matrix) > 0:
        raise UsageError(
            "points: the ground would be seen mirrored: x grows to the right when y grows ahead; "
            "are x and y, or latitude and longitude, exchanged?"
        )
