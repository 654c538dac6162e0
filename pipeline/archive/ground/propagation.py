"""Propagation of errors in pixels and in a homography to positions and velocities on the ground.

First-order propagation, Hartley & Zisserman, "Multiple View Geometry", 2nd ed., section 5.2:
cov(f(x)) = J cov(x) J'. Positions are X = a/W, Y = b/W with (a, b, W) = H (x, y, 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def homogeneous(xy: Floats) -> Floats:
    """Return f64[N,3], (x, y, 1), of f64[N,2]."""
    return np.column_stack([xy, np.ones(len(xy))])


def pixel_jacobian(h: Floats, xy: Floats) -> Floats:
    """Return f64[N,2,2], metres per pixel of the positions of f64[N,2] pixels by f64[3,3] `h`."""
    points = homogeneous(xy) @ h.T
    w = points[:, 2]
    plane = points[:, :2] / w[:, None]
    derivative = h[None, :2, :2] - plane[:, :, None] * h[None, 2:, :2]
    jacobian: Floats = derivative / w[:, None, None]
    return jacobian


def matrix_jacobian(h: Floats, xy: Floats) -> Floats:
    """Return f64[N,2,9], positions by the numbers of the matrix, row by row."""
    points = homogeneous(xy)
    seen = points @ h.T
    scaled = points / seen[:, 2:]
    plane = seen[:, :2] / seen[:, 2:]
    jacobian = np.zeros((len(xy), 2, 9))
    jacobian[:, 0, 0:3] = jacobian[:, 1, 3:6] = scaled
    jacobian[:, :, 6:9] = -plane[:, :, None] * scaled[:, None, :]
    return jacobian


def velocity_jacobian(h: Floats, xy: Floats, velocity: Floats) -> Floats:
    """Return f64[N,2,9], velocities f64[N,2] in m/s by the numbers of the matrix.

    The derivative in time of `matrix_jacobian` along the pixel's own way: what is measured is how
    the pixel moves, its velocity on the ground is computed with the matrix.
    """
    (a, b), (c, d) = pixel_jacobian(h, xy).transpose(1, 2, 0)
    u, v = velocity.T
    pixel_velocity = np.column_stack([d * u - b * v, a * v - c * u]) / (a * d - b * c)[:, None]
    points = homogeneous(xy)
    seen = points @ h.T
    w = seen[:, 2:]
    plane = seen[:, :2] / w
    scaled = points / w
    moved = np.column_stack([pixel_velocity, np.zeros(len(xy))])
    w_rate = (moved @ h[2])[:, None]
    scaled_rate = moved / w - scaled * w_rate / w
    jacobian = np.zeros((len(xy), 2, 9))
    jacobian[:, 0, 0:3] = jacobian[:, 1, 3:6] = scaled_rate
    jacobian[:, :, 6:9] = -(
        velocity[:, :, None] * scaled[:, None, :] + plane[:, :, None] * scaled_rate[:, None, :]
    )
    return jacobian


def propagated(jacobian: Floats, covariance: Floats) -> Floats:
    """Return f64[N,M,M], J cov J' of f64[N,M,K] Jacobians and one f64[K,K]."""
    count, size, inner = jacobian.shape
    half = (jacobian.reshape(-1, inner) @ covariance).reshape(count, size, inner)
    found: Floats = np.einsum("nik,njk->nij", half, jacobian)
    return found
