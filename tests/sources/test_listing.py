"""Which files of a folder are taken, and what the line about the others says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.file_tree import write_files
from support.sink_results import opened, result
from support.tiny_videos import corner_picture, write_video

from pipeline.sinks._mkv import write_mkv
from pipeline.sources._file.listing import list_files

HEADER = '{"format": "trackline-dataset", "schema": 1, "options": {}}'
ASS = """[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Text
Dialogue: 0,0:00:00.00,0:00:00.10,Default,1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording, an earlier dataset with an annotated video, and another program's dataset."""
    root = tmp_path / "in"
    videos = ("door/1.mp4", "out/annotated/camera=door/1.mp4", "theirs/2.mp4")
    headers = {"out/dataset.json": HEADER, "theirs/dataset.json": '{"images": []}'}
    return write_files(root, dict.fromkeys(videos, "") | headers)


@pytest.mark.parametrize(
    ("path", "recursive", "videos", "left_out"),
    [
        ("in", True, ["door/1.mp4", "theirs/2.mp4"], {"dataset": 1, ".json": 1}),
        ("in", False, [], {"dataset": 1, "subfolder": 2}),
        ("in/out", True, [], {"dataset": 1}),
        ("in/**/*.mp4", False, ["door/1.mp4", "theirs/2.mp4"], {"dataset": 1}),
        ("in/*/*/*/*.mp4", False, [], {"dataset": 1}),
        ("in/out/annotated", True, ["out/annotated/camera=door/1.mp4"], {}),
        ("in/out/**/*.mp4", False, ["out/annotated/camera=door/1.mp4"], {}),
    ],
)
def test_videos_of_an_earlier_dataset_are_left_out(folder, path, recursive, videos, left_out):
    """Annotated videos of a dataset below the recordings were tracked as recordings.

    What is named without a wildcard is taken.
    """
    found = list_files(folder.parent / path, recursive=recursive)
    assert [each.relative_to(folder).as_posix() for each in found.videos] == videos
    assert found.left_out == left_out


def test_a_dataset_that_was_only_begun_is_one(folder):
    (folder / "out/dataset.json").rename(folder / "out/.dataset.json.begun")
    assert list_files(folder, recursive=True).left_out == {"dataset": 1, ".json": 1}


@pytest.mark.parametrize("recursive", [True, False])
def test_hidden_videos_are_counted_as_left_out(recursive, tmp_path):
    """macOS's `._clip.mp4` were left out without a word; other hidden files concern nobody."""
    names = ("a.mp4", "._a.mp4", "._b.MP4", "._c.jpg", ".DS_Store")
    write_files(tmp_path, dict.fromkeys(names, ""))
    found = list_files(tmp_path, recursive=recursive)
    assert [each.name for each in found.videos] == ["a.mp4"]
    assert found.pictures == ()
    assert found.left_out == {"hidden .mp4": 2, "hidden .jpg": 1}


def test_a_pattern_may_name_hidden_files(tmp_path):
    write_files(tmp_path, {".a.mp4": ""})
    assert [each.name for each in list_files(tmp_path / ".*.mp4").videos] == [".a.mp4"]


def test_annotated_videos_are_no_recordings(tmp_path):
    """What `trackline run -o out` had left below the recordings was tracked as a recording.

    They are known by a tag, also where the run was killed, or the file was moved and renamed.
    Named by itself, one is taken.
    """
    (tmp_path / "in").mkdir()
    recording = write_video(tmp_path / "in/door.mp4", [corner_picture()] * 3)
    sink = opened("video", tmp_path / "in/out", "cam")
    for index in range(3):
        sink.write(result(index))
    (written,) = (tmp_path / "in/out").glob("*.mp4")
    killed = shutil.copy(written, tmp_path / "in/killed.mp4")
    sink.close()
    moved = shutil.copy(written, tmp_path / "in/moved.mp4")
    subtitles = tmp_path / "boxes.ass"
    subtitles.write_text(ASS)
    write_mkv(recording, subtitles, tmp_path / "in/door.mkv")
    found = list_files(tmp_path / "in", recursive=True)
    assert found.videos == (recording,)
    assert found.left_out == {"annotated video": 4}
    assert found.left_out_text == "4 annotated video"
    assert [list_files(Path(each)) for each in (killed, moved, written)] == [None] * 3
