"""Masks and keypoints as COCO's annotations have them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.coco_shapes import area_of_rle, joints_of_category, keypoints_of_annotation
from pipeline.core.masks import Mask


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (200, 40)])
def test_the_area_of_a_mask_is_that_of_its_pixels(share: float, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).random(size) < share
    mask = Mask.from_pixels(pixels, (0, 0, size[1], size[0]))
    assert area_of_rle(mask.rle()["counts"]) == pixels.sum()


def test_what_is_no_mask_is_an_error() -> None:
    with pytest.raises(ValueError, match="that COCO's RLE does not use"):
        area_of_rle("a b")


def test_joints_that_the_network_doubts_are_not_there() -> None:
    found = keypoints_of_annotation([[1, 2, 0.9], [3, 4, 0.1]])
    assert found == {"keypoints": [1, 2, 2, 3, 4, 0], "num_keypoints": 1}


@pytest.mark.parametrize(("count", "first"), [(17, "nose"), (3, "point 1")])
def test_joints_of_people_have_names(count: int, first: str) -> None:
    found = joints_of_category(count)
    assert (len(found["keypoints"]), found["keypoints"][0]) == (count, first)
    assert joints_of_category(0) == {}
