"""`max_fps` and `keyframes_only`: what comes is what comes when all is decoded, and then chosen."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from support.coded_videos import EVEN, FRAMES, VIDEOS, encoded
from support.fakes import Setup
from support.stream_reading import opened
from support.web_cameras import tcp_camera, transport_stream

from pipeline.core.errors import SourceBrokenError
from pipeline.core.rate_limit import RateLimit
from pipeline.engine.stats import SourceStats
from pipeline.sources import file

Read = list[tuple[int, float, bytes]]
"""Index, time and pixels of each frame."""


def read(path: Path, **options: float | bool) -> tuple[Read, int]:
    """Return a file's frames, and how many it says were left out."""
    source = file.build(file.Options(path=path, **options))
    source.open()
    frames = []
    while (frame := source.read()) is not None:
        frames.append((frame.index, frame.pts_s, frame.image.tobytes()))
    unwanted = source.unwanted
    source.close()
    return frames, unwanted


def chosen(frames: Read, max_fps: float) -> Read:
    """Return what is chosen of all frames of a file."""
    limit, found = RateLimit(), []
    for frame in frames:
        if limit.is_due(frame[1], max_fps):
            limit.take(frame[1], max_fps)
            found.append(frame)
    return found


RATES = (1000, 12.5, 10, 3, 0.6)


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_are_those_of_a_file_decoded_whole(tmp_path: Path, name: str) -> None:
    check(encoded(tmp_path / name, *VIDEOS[name]))


@pytest.mark.parametrize("name", ["h264-b.mp4", "mpeg4-b.mp4"])
def test_times_of_decoding_are_not_taken_for_those_of_presentation(
    tmp_path: Path, name: str
) -> None:
    """A copy of an AVI to MP4 has no others: wrong pictures came, under wrong numbers."""
    path = encoded(tmp_path / name, *VIDEOS[name])
    copy = tmp_path / f"copy-{name}"
    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream, packet.pts = stream, packet.dts
                target.mux(packet)
    check(copy)


@pytest.mark.parametrize("name", ["h264-b-open.ts", "mpeg2-b.ts"])
def test_joined_files_have_all_their_frames(tmp_path: Path, name: str) -> None:
    """Times begin anew at the join: of key frames those behind it had wrong numbers."""
    path = encoded(tmp_path / name, *VIDEOS[name])
    path.write_bytes(path.read_bytes() * 2)
    check(path)


def check(path: Path) -> None:
    """Compare what is left out with what is chosen of all frames of a file."""
    frames, none_left_out = read(path)
    assert none_left_out == 0
    for max_fps in RATES:
        got, unwanted = read(path, max_fps=max_fps)
        assert got == chosen(frames, max_fps), max_fps
        assert unwanted + len(got) == len(frames)
    keys, unwanted = read(path, keyframes_only=True)
    assert len(keys) > 0
    assert unwanted + len(keys) == len(frames)
    assert [frame for frame in frames if frame in keys] == keys


def test_a_run_counts_what_was_not_asked_for(tmp_path: Path) -> None:
    """Tables name a frame by its number in the file, by which others find its picture."""
    path = encoded(tmp_path / "h264-b.mp4", *VIDEOS["h264-b.mp4"])
    setup = Setup(file.build(file.Options(path=path, max_fps=3)))
    frames = [result.frame for result in setup.pipeline.results()]
    assert [(f.index, f.pts_s) for f in frames] == [(f[0], f[1]) for f in read(path, max_fps=3)[0]]
    stats = setup.pipeline.stats
    assert stats.sources["h264-b"].drops() == {"unwanted": FRAMES - len(frames)}
    assert stats.done == FRAMES


@pytest.mark.parametrize("max_frames", [1, 10, 18, FRAMES])
@pytest.mark.parametrize("options", [{"max_fps": 3}, {"keyframes_only": True}], ids=str)
def test_a_run_ends_after_as_many_frames_whatever_was_left_out(
    tmp_path: Path, options: dict[str, float | bool], max_frames: int
) -> None:
    """The next one that was asked for came too, far behind the last frame wanted."""
    path = encoded(tmp_path / "h264-b.mp4", *VIDEOS["h264-b.mp4"])
    setup = Setup(file.build(file.Options(path=path, **options)), max_frames=max_frames)
    found = [result.frame.index for result in setup.pipeline.results()]
    assert found == [frame[0] for frame in read(path, **options)[0] if frame[0] < max_frames]
    assert counted(setup.stats("h264-b")) == max_frames


def test_what_was_left_out_at_the_end_of_a_broken_file_is_counted(tmp_path: Path) -> None:
    path = encoded(tmp_path / "h264-b.flv", *VIDEOS["h264-b.flv"])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    grabbed = []
    for options in ({}, {"max_fps": 1}):
        setup = Setup(file.build(file.Options(path=path, **options)))
        with pytest.raises(SourceBrokenError):
            setup.pipeline.run()
        grabbed.append(counted(setup.stats("h264-b")))
    assert grabbed[0] == grabbed[1] > 30


def counted(stats: SourceStats) -> int:
    """Return how many frames were grabbed, which are those delivered and those dropped."""
    assert stats.grabbed == stats.delivered + sum(stats.drops().values())
    return stats.grabbed


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"max_fps": 1}, {"keyframes_only": True}], ids=str)
def test_a_camera_is_not_lost_between_two_pictures_asked_for(
    options: dict[str, float | bool],
) -> None:
    """Once in six seconds was seldom enough for a reconnect before each picture."""
    with (
        tcp_camera(transport_stream(2.0)) as port,
        opened(f"tcp://127.0.0.1:{port}", read_timeout_s=0.3, **options) as source,
    ):
        indices = [source.read().index for _ in range(2)]
        assert source.unwanted > 8
    assert indices == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264-b-open.ts", {"max_fps": 5}),
        ("h264-b-open.ts", {"keyframes_only": True}),
        ("mpeg2-b.ts", {"max_fps": 5}),
    ],
)
def test_a_stream_gives_some_of_the_pictures_of_all(
    tmp_path: Path, name: str, options: dict[str, float | bool]
) -> None:
    path = encoded(tmp_path / name, *VIDEOS[name])
    frames, _ = read(path)
    data = path.read_bytes()
    chunks = [(EVEN[-1] * at / len(data), data[at : at + 188]) for at in range(0, len(data), 188)]
    found = []
    with tcp_camera(chunks) as port, opened(f"tcp://127.0.0.1:{port}", **options) as source:
        while source.unwanted + len(found) < FRAMES // 2:
            frame = source.read()
            assert frame is not None
            found.append((source.unwanted + len(found), frame.image.tobytes()))
    assert 1 < len(found) < FRAMES / 3
    assert [pixels for _, pixels in found] == [frames[place][2] for place, _ in found]
