"""Frames of a video by their time, found by seeking."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.tiny_videos import write_video

from pipeline.archive.frame_picker import FramePicker
from pipeline.archive.single_frame import read_still
from pipeline.core.errors import SourceError


def video(path: Path, **how: object) -> Path:
    """Thirty grey pictures that get lighter, 25 a second."""
    pictures = [np.full((48, 64, 3), 20 + 6 * n, np.uint8) for n in range(30)]
    return write_video(path, pictures, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("plain.mp4", {}),
        ("plain.mkv", {}),
        ("stream.ts", {}),  # does not begin at 0
        ("turned.mp4", {"rotation": 90}),
        ("uneven.mp4", {"times": [n / 25 + 3 * (n > 9) for n in range(30)]}),
    ],
)
def test_the_frame_is_the_one_that_reading_gives(
    tmp_path: Path, name: str, how: dict[str, object]
) -> None:
    """In any order; the last one after the end."""
    path = video(tmp_path / name, **how)
    with closing(FramePicker(path, "gate")) as picker:
        assert picker.duration_s == pytest.approx(4.2 if "uneven" in name else 1.2, abs=0.1)
        for at in (1.0, 0.2, 0.36, 0.0):
            found, read = picker.at(at + 0.001), read_still(str(path), at)
            if found.pts_s == pytest.approx(read.pts_s, abs=1e-3):
                assert np.array_equal(found.image, read.image)
            else:  # nothing begins there: the one before is shown
                assert "uneven" in name
                assert found.pts_s < at < read.pts_s
            assert found.image.shape == read.image.shape
            assert found.source == "gate"
        assert picker.at(1e6).image.mean() == pytest.approx(20 + 6 * 29, abs=3)
        assert [picker.at(0).index for _ in range(2)] == [6, 7]


def test_what_is_no_video(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    for path in (broken, tmp_path / "none.mp4"):
        with pytest.raises(SourceError, match=path.name):
            FramePicker(path, "gate")
