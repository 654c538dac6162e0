"""Frames for calibration: evenly spread, the end of each video kept aside, long files sought."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.tiny_videos import grey_video, level, write_video

from pipeline.core.data import Image
from pipeline.core.errors import SourceError
from pipeline.tools.export.footage import gather


def same(image: Image) -> Image:
    return image


def levels(images: list[Image]) -> list[float]:
    return [float(image.mean()) for image in images]


@pytest.mark.slow
def test_frames_are_spread_and_the_end_is_kept_aside(tmp_path: Path) -> None:
    footage = gather([grey_video(tmp_path / "a.mkv", 100)], 30, same)
    assert (len(footage.calibration), len(footage.held_out)) == (24, 6)
    seen = levels(footage.calibration)
    assert seen == sorted(seen)
    assert np.diff(seen).max() < 2 * np.diff(seen).mean()
    assert min(levels(footage.held_out)) > max(seen) > level(60, 100)
    assert max(levels(footage.held_out)) > level(90, 100)


def test_a_long_video_is_sought_not_decoded(tmp_path: Path) -> None:
    """Hours of footage must not be decoded for a few hundred frames; 100 frames over 50 minutes."""
    footage = gather([grey_video(tmp_path / "a.mkv", 100, step_s=30)], 20, same)
    assert len(footage.calibration) + len(footage.held_out) == 20
    seen = levels(footage.calibration + footage.held_out)
    assert seen == sorted(seen)
    assert max(seen) > level(80, 100)


def test_every_frame_is_shrunk_at_once(tmp_path: Path) -> None:
    """Three hundred frames of 4K are gigabytes; nothing may be kept in full size."""
    footage = gather([grey_video(tmp_path / "a.mkv", 20)], 20, lambda image: image[:4, :4].copy())
    assert {image.shape for image in footage.calibration + footage.held_out} == {(4, 4, 3)}


@pytest.mark.parametrize(
    ("rotation", "colorspace", "shape"),
    [(0, 1, (48, 64, 3)), (90, 1, (64, 48, 3)), (0, 10, (48, 64, 3))],
    ids=["upright", "phone held upright", "colours that say an unusual matrix"],
)
def test_frames_are_those_that_a_detector_gets(
    rotation: int, colorspace: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Videos of phones were calibrated on lying on their side."""
    pictures = [np.full((48, 64, 3), 10 * n, np.uint8) for n in range(10)]
    video = write_video(tmp_path / "a.mp4", pictures, rotation=rotation, colorspace=colorspace)
    footage = gather([video], 10, same)
    frames = footage.calibration + footage.held_out
    assert [image.shape for image in frames] == [shape] * 10
    np.testing.assert_allclose(levels(frames), [10 * n for n in range(10)], atol=5)


def test_a_folder_of_pictures_and_videos(tmp_path: Path) -> None:
    grey_video(tmp_path / "a.mkv", 40)
    (tmp_path / "inside").mkdir()
    for index in range(40):
        cv2.imwrite(str(tmp_path / "inside" / f"{index:02}.png"), np.full((8, 8, 3), index))
    (tmp_path / "notes.txt").write_text("not a picture")
    footage = gather([tmp_path], 40, same)
    pictures = [image for image in footage.calibration if image.shape == (8, 8, 3)]
    assert levels(pictures) == sorted(levels(pictures))
    assert 10 <= len(pictures) <= 20
    assert any(image.shape == (48, 64, 3) for image in footage.held_out)


@pytest.mark.slow
def test_a_cut_video_gives_what_it_has(tmp_path: Path) -> None:
    path = grey_video(tmp_path / "a.avi", 200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    footage = gather([path], 100, same)
    assert len(footage.calibration) >= 8


def _not_a_video(folder: Path) -> Path:
    (folder / "a.mkv").write_bytes(b"nothing" * 100)
    return folder / "a.mkv"


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "none.mp4", "no such file or folder"),
        (_empty, "folder without videos or pictures"),
        (_not_a_video, "not a video"),
        (lambda folder: grey_video(folder / "a.mkv", 3), "3 frames found, want 10 or more"),
    ],
)
def test_what_cannot_calibrate_is_one_line(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=says):
        gather([make(tmp_path)], 30, same)
