"""Masks and keypoints in COCO's annotation format (Lin et al., 2014): area, joints, flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.core.mask_drawing import COCO_EDGES, COCO_JOINTS, MIN_SCORE


def keypoints_of_annotation(points: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return `keypoints` and `num_keypoints` of an object with [x, y, score] for each joint.

    COCO flags a joint as visible (2) or absent (0), where networks give a score.
    """
    seen = [2 if score >= MIN_SCORE else 0 for _, _, score in points]
    flags = zip(points, seen, strict=True)
    return {
        "keypoints": [number for (x, y, _), flag in flags for number in (x, y, flag)],
        "num_keypoints": sum(flag > 0 for flag in seen),
    }


def joints_of_category(count: int) -> dict[str, Any]:
    """Return a category's `keypoints` and `skeleton`, which COCO numbers from 1; {} for none."""
    if not count:
        return {}
    if count != len(COCO_JOINTS):
        return {"keypoints": [f"point {n + 1}" for n in range(count)], "skeleton": []}
    skeleton = [[one + 1, other + 1] for one, other in COCO_EDGES]
    return {"keypoints": list(COCO_JOINTS), "skeleton": skeleton}


def area_of_rle(text: str) -> int:
    """Return the number of pixels of a mask from COCO's compressed RLE text.

    The format is that of `Mask.rle`. Raises ValueError for any other text.
    """
    counts: list[int] = []
    number = bits = 0
    for letter in text.encode("ascii"):
        group = letter - 48
        if not 0 <= group < 64:
            raise ValueError("a mask's counts contain a character that COCO's RLE does not use")
        number |= (group & 0x1F) << bits
        bits += 5
        if group & 0x20:
            continue
        if group & 0x10:
            number -= 1 << bits
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = bits = 0
    return sum(counts[1::2])
