"""Pure box maths on arrays. Every function names its box format; pixels in, pixels out."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", np.float32, np.float64)


def cxcywh_from_xyxy(xyxy: NDArray[F]) -> NDArray[F]:
    """Return [N,4] centre x, centre y, width, height."""
    out = np.empty_like(xyxy)
    out[..., :2] = (xyxy[..., :2] + xyxy[..., 2:]) / 2
    out[..., 2:] = xyxy[..., 2:] - xyxy[..., :2]
    return out


def xyxy_from_cxcywh(cxcywh: NDArray[F]) -> NDArray[F]:
    """Return [N,4] left, top, right, bottom."""
    out = np.empty_like(cxcywh)
    half = cxcywh[..., 2:] / 2
    out[..., :2] = cxcywh[..., :2] - half
    out[..., 2:] = cxcywh[..., :2] + half
    return out


def area_of_xyxy(xyxy: NDArray[F]) -> NDArray[F]:
    """Return [N] areas in square pixels; 0 where right < left or bottom < top."""
    size = np.maximum(xyxy[..., 2:] - xyxy[..., :2], 0)
    area: NDArray[F] = size[..., 0] * size[..., 1]
    return area


def iou_of_xyxy(a: NDArray[F], b: NDArray[F]) -> NDArray[F]:
    """Return [N,M] intersection over union of every box in `a` with every box in `b`, 0..1.

    Boxes without area have IoU 0 with everything, themselves included.
    """
    left_top = np.maximum(a[:, None, :2], b[None, :, :2])
    right_bottom = np.minimum(a[:, None, 2:], b[None, :, 2:])
    size = np.maximum(right_bottom - left_top, 0)
    shared = size[..., 0] * size[..., 1]
    union = area_of_xyxy(a)[:, None] + area_of_xyxy(b)[None, :] - shared
    iou: NDArray[F] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def usable_xyxy(xyxy: NDArray[F]) -> NDArray[np.bool_]:
    """Return bool[N]: true where all four numbers are finite and the box has an area."""
    finite = np.isfinite(xyxy).all(axis=1)
    with np.errstate(invalid="ignore"):
        has_area = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    usable: NDArray[np.bool_] = finite & has_area
    return usable
