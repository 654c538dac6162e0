"""The blur: nothing fine is left, nothing outside changes, and its averages are all it holds."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.blur.pixels import obscure


def picture(seed: int = 1, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def blurred(image: np.ndarray, *regions: list[float]) -> np.ndarray:
    copy = image.copy()
    obscure(copy, np.array(regions, float).reshape(-1, 4))
    return copy


def test_only_the_region_changes() -> None:
    image = picture()
    after = blurred(image, [30, 20, 90, 100])
    inside = np.zeros(image.shape[:2], bool)
    inside[20:100, 30:90] = True
    assert (after[~inside] == image[~inside]).all()
    assert (after[inside] != image[inside]).mean() > 0.9


@pytest.mark.parametrize("period", [2, 4, 8])
def test_what_is_finer_than_a_face_is_gone(period: int) -> None:
    """Stripes as fine as eyes and letters leave no trace: both phases give one picture."""
    x = np.arange(160) // (period // 2) % 2 * 255
    stripes = np.repeat(np.broadcast_to(x, (120, 160))[:, :, None], 3, axis=2).astype(np.uint8)
    region = [32, 24, 96, 104]
    one, other = blurred(stripes, region), blurred(255 - stripes, region)
    patch = (slice(24, 104), slice(32, 96))
    assert np.abs(one[patch].astype(int) - other[patch]).max() <= 16
    assert one[patch].std() < 8
    assert stripes[patch].std() > 100


def test_a_region_holds_few_numbers() -> None:
    """What could be undone is at most 4 x 10 rounded averages: no more than 160 values in all."""
    patch = blurred(picture(), [20, 10, 60, 110])[10:110, 20:60].astype(float)
    for channel in range(3):
        singular = np.linalg.svd(patch[:, :, channel], compute_uv=False)
        assert (singular[5:] < singular[0] * 0.01).all()


@pytest.mark.parametrize(
    "region",
    [[-50, -50, 20, 20], [150, 110, 900, 900], [-1e9, -1e9, 1e9, 1e9], [5.2, 5.2, 5.9, 5.9]],
)
def test_regions_are_cut_to_the_picture(region: list[float]) -> None:
    assert (blurred(picture(), region) != picture()).any()


@pytest.mark.parametrize("region", [[200, 5, 300, 50], [-90, 5, -20, 50], [50, 5, 20, 50]])
def test_regions_outside_change_nothing(region: list[float]) -> None:
    assert (blurred(picture(), region) == picture()).all()
