"""Helpers of embedders: crops of boxes, and normalisation of vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.core.data import Float32, Image


def crops(image: Image, xyxy: Float32) -> Iterator[Image]:
    """Yield the crop of each box f32[N,4] from a picture BGR u8[H,W,3], as a view.

    A crop has at least one pixel: for a box outside the picture the nearest one. Raises ValueError
    for non-finite boxes.
    """
    if not np.isfinite(xyxy).all():
        raise ValueError("boxes to embed: want finite numbers")
    height, width = image.shape[:2]
    low = np.floor(xyxy[:, :2]).clip(0, (width - 1, height - 1))
    high = np.ceil(xyxy[:, 2:]).clip(low + 1, (width, height))
    for (left, top), (right, bottom) in zip(low.astype(int), high.astype(int), strict=True):
        yield image[top:bottom, left:right]


def unit_rows(vectors: Float32) -> Float32:
    """Return f32[N,D] with every row scaled to unit length; a row of zeros, which has no direction,
    becomes the unit vector with equal components.
    """
    vectors = np.asarray(vectors, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    is_zero = length[:, 0] == 0
    if is_zero.any():
        vectors, length = vectors.copy(), length.copy()
        vectors[is_zero], length[is_zero] = 1.0, np.sqrt(vectors.shape[1])
    return np.asarray(vectors / length, np.float32)
