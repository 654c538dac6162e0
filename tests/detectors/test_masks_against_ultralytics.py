"""Masks and keypoints of random networks are those that ultralytics itself finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.paths import ROOT

pytestmark = [pytest.mark.needs_torch, pytest.mark.usefixtures("one_torch_thread")]
pytest.importorskip("torch", reason="needs torch and ultralytics")
pytest.importorskip("ultralytics", reason="needs torch and ultralytics")

SIDE = 320


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """A picture u8[H,W,3] BGR with something in it."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 90, np.uint8)
    for _ in range(40):
        x, y = rng.integers(0, width - 20), rng.integers(0, height - 20)
        image[y : y + rng.integers(5, 90), x : x + rng.integers(5, 90)] = rng.integers(0, 256, 3)
    return image


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolo11n-seg", "yolo11n-pose"])
def test_masks_and_keypoints_are_those_of_ultralytics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TRACKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from masks_versus_ultralytics import compared

    # One picture: scores of another, of weights that were not made for it, may all be 1, and then
    # rounding decides the class.
    for found in compared(name, [picture(240, 320, 1)], SIDE, tmp_path):
        assert found.pairs > 5
        assert found.is_good, found
        assert bool(found.mask_iou) == ("seg" in name)
        assert bool(found.keypoint_px) == ("pose" in name)
