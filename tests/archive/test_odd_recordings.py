"""Recordings of which the container alone does not tell size or length, in a batch job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.batch_jobs import FRAMES, job, rows, write_detections
from support.tiny_videos import write_video

from pipeline.sources._file.probe import probe
from pipeline.sources.file import Options, build

pytest.importorskip("pyarrow")


def lay_out(root: Path, name: str, first: int = 0, *, rotation: int = 0) -> Path:
    """Write a recording of a second, all grey, and its detections."""
    path = root / "videos" / "door" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = np.full((96, 128, 3), 60 + first, np.uint8)
    write_video(path, [shade] * FRAMES, rotation=rotation)
    write_detections(root, path.stem, first)
    return path


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "avi", "ts"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_probe_knows_the_size_that_is_shown(
    container: str, rotation: int, tmp_path: Path
) -> None:
    """A telephone's upright video was 1920x1080 in the table `videos` and 1080x1920 in `tracks`."""
    clip = lay_out(tmp_path, f"clip.{container}", rotation=rotation)
    source = build(Options(path=clip))
    info = source.open()
    source.close()
    found = probe(clip)
    assert (found.width, found.height) == (info.width, info.height)
    if container in ("mp4", "mov", "mkv"):
        assert (found.width, found.height) == ((96, 128) if rotation % 180 else (128, 96))


def test_tracks_end_where_the_camera_was_turned(tmp_path: Path) -> None:
    """Both have the same size in their files, so tracks went on into a picture on its side."""
    lay_out(tmp_path, "door_20240102_030400.mp4")
    lay_out(tmp_path, "door_20240102_030401.mp4", FRAMES, rotation=90)
    job(tmp_path)
    found = rows(tmp_path)
    assert [(row["width"], row["height"]) for row in found["videos"]] == [(128, 96), (96, 128)]
    assert [row["continues"] for row in found["videos"]] == ["", ""]
    sizes = {row["segment"]: (row["width"], row["height"]) for row in found["tracks"]}
    assert sizes == {row["segment"]: (row["width"], row["height"]) for row in found["videos"]}


@pytest.mark.parametrize(
    "names",
    [("door_20240102_030400.h264", "door_20240102_030401.h264"), ("part1.h264", "part2.h264")],
)
def test_raw_video_is_as_long_as_its_frames(names: tuple[str, str], tmp_path: Path) -> None:
    """Its container names no length: it was 0 s long, and tracks ended with each recording."""
    for number, name in enumerate(names):
        lay_out(tmp_path, name, number * FRAMES)
    job(tmp_path)
    videos = sorted(rows(tmp_path)["videos"], key=lambda row: row["path"])
    assert [row["duration_s"] for row in videos] == pytest.approx([1.0, 1.0], abs=0.01)
    assert [row["offset_s"] for row in videos] == pytest.approx([0.0, 1.0], abs=0.01)
    assert [row["continues"] for row in videos] == ["", videos[0]["segment"]]
    job(tmp_path)
    assert sorted(rows(tmp_path)["videos"], key=lambda row: row["path"]) == videos
