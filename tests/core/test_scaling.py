"""Averaging in steps: quick sizes and others, planes and BGR, against averaging at once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.core.data import Frame
from pipeline.core.scaling import averaged


def street(height: int, width: int, channels: int) -> np.ndarray:
    """Return soft shapes with some sharp edges, u8[H,W] or u8[H,W,C]."""
    random = np.random.default_rng(4)
    cells = random.integers(0, 256, (height // 40, width // 40, channels), np.uint8)
    soft = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    soft = soft.reshape(height, width, channels)
    for n in range(8):
        x, y = random.integers(0, width * 3 // 4), random.integers(0, height * 3 // 4)
        soft[y : y + height // 5, x : x + width // 7] = 30 * n
    return soft[..., 0].copy() if channels == 1 else soft


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("height", "width", "size", "mean", "most"),
    [
        (432, 768, (216, 384), 0, 0),  # two
        (432, 768, (144, 256), 0, 0),  # three
        (432, 768, (108, 192), 0.6, 1),  # four
        (432, 768, (72, 128), 0.6, 1),  # six
        (400, 800, (80, 160), 0, 0),  # five stays whole
        (432, 768, (100, 178), 0.6, 30),
        (380, 672, (45, 80), 0.6, 30),  # a camera of 2688 x 1520
        (486, 648, (60, 80), 0.6, 30),  # 2592 x 1944
        (431, 767, (54, 96), 0, 0),  # odd sides are averaged at once
        (432, 768, (432, 768), 0, 0),
    ],
)
def test_the_mean_is_that_of_averaging_at_once(height, width, size, mean, most, channels):
    picture = street(height, width, channels)
    wanted = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA).astype(int)
    into = np.empty(wanted.shape, np.uint8)
    given = averaged(picture, size, into)
    assert given.shape == wanted.shape
    np.testing.assert_array_equal(given, into)
    off = np.abs(given - wanted)
    assert off.mean() <= mean
    assert off.max() <= most
    if channels == 3:
        np.testing.assert_array_equal(Frame(picture, "a", 0, 0.0, 0.0).scaled(size), given)


@pytest.mark.parametrize("size", [(60, 80), (90, 121), (120, 160)])
def test_nothing_is_shifted(size):
    """Sizes that are no whole part must not lose rows or columns: boxes would move."""
    rows, columns = np.mgrid[0:486, 0:648]
    for ramp in (rows * 255 / 485, columns * 255 / 647):
        picture = ramp.round().astype(np.uint8)
        wanted = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA).astype(int)
        assert abs((averaged(picture, size) - wanted).mean()) < 0.5
        assert np.abs(averaged(picture, size) - wanted).max() <= 1
