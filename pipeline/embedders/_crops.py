"""Helpers of embedders: crops of boxes, and normalisation of vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.core.data import Float32, Image


def crops(image: Image, xyxy: Float32) -> Iterator[Image]:
    """Yield the part of a picture BGR u8[H,W,3] that each box f32[N,4] covers, as a view.

    It has a pixel at least: of a box outside the picture, the nearest ones. Raises ValueError for
    boxes that are not finite.
    """
    if not np.isfinite(xyxy).all():
        raise ValueError("boxes to embed: want finite numbers")
    height, width = image.shape[:2]
    low = np.floor(xyxy[:, :2]).clip(0, (width - 1, height - 1))
    high = np.ceil(xyxy[:, 2:]).clip(low + 1, (width, height))
    for (left, top), (right, bottom) in zip(low.astype(int), high.astype(int), strict=True):
        yield image[top:bottom, left:right]


def unit_rows(vectors: Float32) -> Float32:
    """Return f32[N,D] with every row divided by its length; a row of zeros has no direction of its
    own, and gets the same number everywhere.
    """
    vectors = np.asarray(vectors, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    is_zero = length[:, 0] == 0
    if is_zero.any():
        vectors, length = vectors.copy(), length.copy()
        vectors[is_zero], length[is_zero] = 1.0, np.sqrt(vectors.shape[1])
    return np.asarray(vectors / length, np.float32)
