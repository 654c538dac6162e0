"""Names that mean something to FFmpeg, to patterns or to a shell: each is just a file's name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.sink_results import pictures, quick_video, result, run_info
from support.tiny_videos import noise_picture, write_video

from pipeline.core.paths import ffmpeg_path
from pipeline.sources import file

ODD = [
    "12:30:00.mp4",
    "2024-01-01T12:30:00.mp4",
    "concat:a.mp4|b.mp4",
    "pipe:0.mp4",
    "file:x.mp4",
    "frame%03d.mp4",
    "100%.mp4",
    "what?.mp4",
    "cam#2.mp4",
    " two  spaces .mp4",
    "-y.mp4",
    "two\nlines.mp4",
    "a|b.mp4",
    "a,b;c'd\".mp4",
    "${HOME}.mp4",
    "行人.mp4",
    "back\\slash.mp4",
    "[1].mp4",
]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses such names")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "plain.mp4"
    return write_video(path, [noise_picture(i) for i in range(3)])


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
def test_a_video_of_any_name_is_read(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, relative: bool
) -> None:
    """`12:30:00.mp4`, a recording's usual name, was taken for an address: "Protocol not found"."""
    (tmp_path / name).write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    path = Path(name) if relative else tmp_path / name
    source = file.FileSource(file.Options(path=path))
    assert source.open().file == str(path)
    frames = [source.read() for _ in range(3)]
    assert source.read() is None
    source.close()
    assert [frame and Path(frame.file).name for frame in frames] == [name] * 3


@pytest.mark.parametrize("name", ODD)
def test_a_video_is_written_below_a_folder_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """`-o 12:30` ended with "Protocol not found" after the first frame."""
    monkeypatch.chdir(tmp_path)
    sink = quick_video()
    sink.open(run_info(Path(name), "cam"))
    for index in range(3):
        sink.write(result(index))
    sink.close()
    assert [path.name for path in (tmp_path / name).iterdir()] == ["cam.mp4"]
    (tmp_path / name / "cam.mp4").rename(tmp_path / "plain.mp4")
    assert len(pictures(tmp_path / "plain.mp4")) == 3


def test_a_path_is_behind_its_protocol_once() -> None:
    assert ffmpeg_path(Path("a:b.mp4")) == "file:a:b.mp4"
