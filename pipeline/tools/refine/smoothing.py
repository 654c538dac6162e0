"""Smoothing of a track's boxes forwards and backwards in time, gaps included."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import cxcywh_from_xyxy, xyxy_from_cxcywh
from pipeline.core.errors import MissingExtraError
from pipeline.core.install_hints import install_command

Float64 = NDArray[np.float64]

# In heights of the track's boxes: a detector's usual error, how fast anything moves at first, and
# how its speed changes (the density of white acceleration, heights^2 / s^3).
_MEASURED = 0.05
_FIRST_SPEED = 4.0
_RESTLESSNESS = 3.0
_MIN_SIZE_PX = 1.0


def require_filterpy() -> None:
    """Raise MissingExtraError where filterpy is not installed."""
    if importlib.util.find_spec("filterpy") is None:
        raise MissingExtraError(f"refine: needs the package filterpy: {install_command('refine')}")


def smoothed(frame: NDArray[np.int64], xyxy: Float64, fps: float) -> Float64:
    """Return f64[L,4] xyxy for all frames from the first to the last of N ascending ones.

    A Kalman filter of constant speed for centre, width and height, then the smoother of Rauch,
    Tung and Striebel (1965), which knows what comes after. Raises MissingExtraError.
    """
    require_filterpy()
    from filterpy.kalman import KalmanFilter

    measured = cxcywh_from_xyxy(xyxy)
    # In heights, around the first box: one set of noises for boxes of any size.
    unit, origin = max(float(np.median(measured[:, 3])), _MIN_SIZE_PX), measured[0].copy()
    seen = dict(zip(frame.tolist(), (measured - origin) / unit, strict=True))
    step = 1 / fps
    kalman = KalmanFilter(dim_x=8, dim_z=4)
    one = np.eye(4)
    kalman.F = np.kron([[1, step], [0, 1]], one)
    kalman.H = np.kron([[1, 0]], one)
    kalman.Q = np.kron([[step**3 / 3, step**2 / 2], [step**2 / 2, step]], _RESTLESSNESS * one)
    kalman.R = _MEASURED**2 * one
    kalman.P = np.kron([[_MEASURED**2, 0], [0, _FIRST_SPEED**2]], one)
    rows = [seen.get(index) for index in range(int(frame[0]), int(frame[-1]) + 1)]
    columns = [None if row is None else row[:, None] for row in rows]
    means, covariances, _, _ = kalman.batch_filter(columns)
    states = kalman.rts_smoother(means, covariances)[0][:, :4, 0]
    boxes: Float64 = states * unit + origin
    boxes[:, 2:] = boxes[:, 2:].clip(min=_MIN_SIZE_PX)
    return xyxy_from_cxcywh(boxes)
