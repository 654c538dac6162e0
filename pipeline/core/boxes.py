"""Box geometry on arrays, in pixels: conversions, areas, IoU. Names carry the box format."""

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

    Boxes without area have IoU 0 with everything, including themselves.
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


def cxcysr_from_xyxy(xyxy: NDArray[F]) -> NDArray[F]:
    """Return [N,4] centre x, centre y, scale (the area in square pixels), ratio (width / height).

    The measured part of SORT's state (Bewley et al. 2016, section 3.2). Boxes must have an area.
    """
    out = np.empty_like(xyxy)
    centre, size = out[..., :2], xyxy[..., 2:] - xyxy[..., :2]
    np.add(xyxy[..., :2], xyxy[..., 2:], out=centre)
    centre *= 0.5
    np.multiply(size[..., 0], size[..., 1], out=out[..., 2])
    np.divide(size[..., 0], size[..., 1], out=out[..., 3])
    return out


def xyxy_from_cxcysr(cxcysr: NDArray[F]) -> NDArray[F]:
    """Return [N,4] left, top, right, bottom; the inverse of `cxcysr_from_xyxy`."""
    out = np.empty_like(cxcysr)
    centre, scale = cxcysr[..., :2], cxcysr[..., 2]
    size = np.empty_like(centre)
    width = np.sqrt(scale * cxcysr[..., 3], out=size[..., 0])
    np.divide(scale, width, out=size[..., 1])
    size *= 0.5
    np.subtract(centre, size, out=out[..., :2])
    np.add(centre, size, out=out[..., 2:])
    return out


def cxcyah_from_xyxy(xyxy: NDArray[F]) -> NDArray[F]:
    """Return [N,4] centre x, centre y, aspect ratio (width / height), height.

    The measured part of DeepSORT's state (Wojke et al. 2017). Boxes must have an area.
    """
    out = np.empty_like(xyxy)
    centre, size = out[..., :2], xyxy[..., 2:] - xyxy[..., :2]
    np.add(xyxy[..., :2], xyxy[..., 2:], out=centre)
    centre *= 0.5
    np.divide(size[..., 0], size[..., 1], out=out[..., 2])
    out[..., 3] = size[..., 1]
    return out


def xyxy_from_cxcyah(cxcyah: NDArray[F]) -> NDArray[F]:
    """Return [N,4] left, top, right, bottom; the inverse of `cxcyah_from_xyxy`."""
    cxcywh = cxcyah.copy()
    cxcywh[..., 2] *= cxcyah[..., 3]
    return xyxy_from_cxcywh(cxcywh)


def overlapping_pairs(a: NDArray[F], b: NDArray[F]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows (i, j) of all pairs of an `a` and a `b` box (xyxy) that share some area.

    Sorted by i. Sweeps over the left edges, so a crowd costs about N log N plus the pairs that
    share columns of the picture, where a full matrix costs N x M.
    """
    none = np.empty(0, np.intp)
    if not len(a) or not len(b):
        return none, none
    left = b[:, 0]
    order = left.argsort()
    left = left.take(order)
    widest = (b[:, 2] - b[:, 0]).max()
    count = left.searchsorted(a[:, 2])
    first = left.searchsorted(a[:, 0] - widest)
    count -= first
    first -= count.cumsum()
    first += count
    i = np.arange(len(a)).repeat(count)
    j = np.arange(len(i))
    j += first.take(i)
    j = order.take(j)
    meet = a[:, 0].take(i) < b[:, 2].take(j)
    meet &= a[:, 1].take(i) < b[:, 3].take(j)
    meet &= a[:, 3].take(i) > b[:, 1].take(j)
    return i[meet], j[meet]


def iou_of_pairs(
    a: NDArray[F], b: NDArray[F], i: NDArray[np.intp], j: NDArray[np.intp]
) -> NDArray[F]:
    """Return [P] intersection over union of box `a[i]` with box `b[j]`, for boxes that overlap."""
    one, other = a.T.take(i, 1), b.T.take(j, 1)
    size = np.minimum(one[2:], other[2:])
    size -= np.maximum(one[:2], other[:2])
    one[2:] -= one[:2]
    other[2:] -= other[:2]
    shared: NDArray[F] = size[0] * size[1]
    union = one[2] * one[3]
    union += other[2] * other[3]
    union -= shared
    shared /= union
    return shared
