"""Times of a file's pictures in every container: as shown, from zero, at the rate it says."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.tiny_videos import noise_picture

from pipeline.core.errors import ConfigError
from pipeline.core.options import validated
from pipeline.sources._file.times import BestEffort
from pipeline.sources.file import FileSource, Options, build

COUNT = 20
KINDS = {  # name: codec, FFmpeg's format (None: by the name), B-frames
    "h264.avi": ("libx264", None, 3),
    "mpeg4.avi": ("mpeg4", None, 2),
    "mjpeg.avi": ("mjpeg", None, 0),
    "a.mkv": ("libx264", None, 3),
    "a.mp4": ("libx264", None, 3),
    "a.mov": ("mpeg4", None, 2),
    "a.ts": ("libx264", None, 3),
    "a.flv": ("libx264", None, 3),
    "a.vob": ("mpeg2video", "vob", 2),
    "b.h264": ("libx264", "h264", 3),
    "plain.h264": ("libx264", "h264", 0),
    "a.hevc": ("libx265", "hevc", 3),
    "a.m4v": ("mpeg4", "m4v", 2),
    "a.m2v": ("mpeg2video", "mpeg2video", 2),
}


def write(path: Path, codec: str, kind: str | None, b_frames: int, fps: int) -> Path:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, pixels
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.gop_size = 12
        for n in range(COUNT):
            frame = av.VideoFrame.from_ndarray(noise_picture(n), "bgr24").reformat(format=pixels)
            frame.pts, frame.time_base = n, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path: Path, **options: Any) -> tuple[FileSource, float | None, list[float]]:
    source = build(Options(path=path, **options))
    fps = source.open().fps
    times = [frame.pts_s for frame in iter(source.read, None)]
    source.close()
    return source, fps, times


@pytest.mark.parametrize("fps", [25, 30, 50])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.slow
def test_even_steps_from_zero(tmp_path, name, fps):
    """AVI with B-frames had steps of 0 and 0.12 s; raw H.264 ran at 25 whatever its header said."""
    _, told, times = read(write(tmp_path / name, *KINDS[name], fps))
    np.testing.assert_allclose(times, np.arange(COUNT) / fps, atol=1.1e-3)
    assert told == pytest.approx(fps, abs=0.1)


@pytest.mark.parametrize("name", ["a.mjpeg", "a.mp4"])
def test_the_option_gives_the_rate(tmp_path, name):
    codec, kind = ("mjpeg", "mjpeg") if name == "a.mjpeg" else ("libx264", None)
    path = write(tmp_path / name, codec, kind, 0, 25)
    _, told, times = read(path, fps=10)
    np.testing.assert_allclose(times, np.arange(COUNT) / 10)
    assert told == 10


def test_a_rate_that_is_assumed_is_said(tmp_path, caplog):
    path = write(tmp_path / "a.mjpeg", "mjpeg", "mjpeg", 0, 25)
    source, told, times = read(path)
    assert told is None
    np.testing.assert_allclose(times, np.arange(COUNT) / 25)
    assert any("option fps" in note for note in source.notes)
    assert "option fps" in caplog.text


@pytest.mark.parametrize("fps", [0, -1, "fast"])
def test_a_wrong_rate_is_one_line(fps):
    with pytest.raises(ConfigError, match="fps"):
        validated(Options, {"path": "a.mp4", "fps": fps}, "sources.0")


CHOICES = {  # (pts, dts) of each picture -> what is chosen
    "both grow": ([(0, 0), (2, 1), (4, 2)], [0, 2, 4]),
    "no pts": ([(None, 0), (None, 1)], [0, 1]),
    "no dts": ([(0, None), (3, None)], [0, 3]),
    "neither": ([(None, None)], [None]),
    "pts in the order of decoding": ([(0, 0), (3, 1), (1, 2), (2, 3), (6, 4)], [0, 3, 2, 3, 4]),
    "dts stand still": ([(0, 0), (1, 0), (2, 0)], [0, 1, 2]),
    "both jump where files were joined": ([(50, 50), (51, 51), (0, 0), (1, 1)], [50, 51, 0, 1]),
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_faultier_of_two_timestamps_is_left(case):
    stamps, expected = CHOICES[case]
    best = BestEffort()
    assert [best.choose(*each) for each in stamps] == expected


@pytest.mark.parametrize("count", [2, 3])
def test_joined_transport_streams_lose_nothing(tmp_path, count):
    """`cat a.ts b.ts`: healthy pictures were dropped since the packets' counters did not go on."""
    parts = [write(tmp_path / f"{n}.ts", "libx264", None, 2, 10) for n in range(count)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    _, _, times = read(joined)
    assert len(times) == count * COUNT
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.mov", "long.avi"])
def test_a_last_picture_shown_for_long_is_no_damage(tmp_path, name):
    """A slide show whose last picture stays for a minute ended with "breaks off" and code 1."""
    short = write(tmp_path / f"short-{name}", "mpeg4", None, 0, 25)
    path = tmp_path / name
    with av.open(str(short)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        packets[-1].duration = round(60 / packets[-1].time_base)
        for packet in packets:
            packet.stream = stream
            target.mux(packet)
    _, _, times = read(path)
    assert len(times) == COUNT
