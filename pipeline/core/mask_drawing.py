"""Drawing of masks and skeletons in the colour of their track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.canvas import Canvas, Colour
from pipeline.core.data import Float32
from pipeline.core.masks import Mask

SHARE = 0.45
"""Opacity of a mask, 0..1."""
MIN_SCORE = 0.3
"""Keypoints with lower scores are not drawn: networks guess hidden ones."""
COCO_EDGES = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
"""Connected pairs of COCO's 17 person keypoints, numbered from 0."""
COCO_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


def paint_mask(canvas: Canvas, mask: Mask, colour: Colour) -> None:
    """Draw an object's mask half-transparently; only its box is processed."""
    if mask.size != canvas.size:
        return
    pixels, left, top = mask.cropped()
    if pixels.size:
        canvas.cover(pixels, (left, top), colour, SHARE)


def paint_skeleton(canvas: Canvas, points: Float32, colour: Colour, line: int) -> None:
    """Draw keypoints f32[K,3], connected if they are COCO's 17.

    Those with low scores are omitted.
    """
    seen = np.isfinite(points).all(axis=1) & (points[:, 2] >= MIN_SCORE)
    places = np.where(seen[:, None], points[:, :2], 0).round().astype(int).tolist()
    if len(points) == len(COCO_JOINTS):
        for one, other in COCO_EDGES:
            if seen[one] and seen[other]:
                canvas.line(places[one], places[other], colour, line, smooth=True)
    for place in np.flatnonzero(seen).tolist():
        canvas.disc(places[place], line + 2, (255, 255, 255))
        canvas.disc(places[place], line + 1, colour)


def paint_masks(
    canvas: Canvas, masks: Sequence[Mask | None] | None, colours: Sequence[Colour]
) -> None:
    """Draw the masks that there are, each in its colour."""
    for mask, colour in zip(masks or (), colours, strict=False):
        if mask is not None:
            paint_mask(canvas, mask, colour)
