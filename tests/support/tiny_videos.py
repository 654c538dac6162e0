"""Small videos and pictures written for a test, in any container and codec, with known times."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

FPS = 25
MILLISECONDS = Fraction(1, 1000)


def even_times(count: int) -> list[float]:
    return [n / FPS for n in range(count)]


def grey_picture(value: int = 0, height: int = 48, width: int = 64) -> Any:
    """BGR u8[H,W,3] of one grey level."""
    return np.full((height, width, 3), value, np.uint8)


def noise_picture(index: int, height: int = 96, width: int = 128) -> Any:
    """BGR u8[H,W,3], different for each index, with enough detail to fill a file with bytes."""
    rng = np.random.default_rng(7)
    return np.roll(rng.integers(0, 256, (height, width, 3), np.uint8), index * 3, axis=1)


def corner_picture(height: int = 64, width: int = 96) -> Any:
    """BGR u8[H,W,3]: red top left, green bottom left, grey on the right."""
    picture = np.full((height, width, 3), 60, np.uint8)
    picture[: height // 2, : width // 2] = (0, 0, 230)
    picture[height // 2 :, : width // 2] = (0, 200, 0)
    return picture


def write_picture(path: Path, grey: int = 0, height: int = 20, width: int = 30) -> Path:
    """Write a picture of one grey level, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), grey, np.uint8))
    return path


def write_video(
    path: Path,
    pictures: Sequence[Any],
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    *,
    rotation: int = 0,
    movflags: str = "",
    colorspace: int | None = None,
    pixels: str = "yuv420p",
    sample_aspect: tuple[int, int] = (1, 1),
) -> Path:
    """Encode BGR pictures at these times in seconds (by default 25 a second)."""
    options = {"movflags": movflags} if movflags else {}
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", container_options=options) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        if times is not None:
            stream.codec_context.time_base = MILLISECONDS
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        stream.codec_context.sample_aspect_ratio = Fraction(*sample_aspect)
        if rotation:
            stream.set_display_rotation(rotation)
        for n, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame = frame.reformat(format=pixels, dst_colorspace=colorspace)
            if times is None:
                frame.pts, frame.time_base = n, Fraction(1, FPS)
            else:
                frame.pts, frame.time_base = round(times[n] * 1000), MILLISECONDS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    """Return a copy of which only the first part is there, as after a full disk or a power cut."""
    data = path.read_bytes()
    short = path.with_name(f"cut-{path.name}")
    short.write_bytes(data[: int(len(data) * share)])
    return short


def holed(path: Path, size: int = 1500) -> Path:
    """Return a copy of the same length with zeros in the middle, as after a bad disk block."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + size] = bytes(size)
    bad = path.with_name(f"holed-{path.name}")
    bad.write_bytes(data)
    return bad


def level(index: int, frames: int) -> int:
    return 20 + round(200 * index / frames)


def grey_video(path: Path, frames: int, step_s: float = 0.04) -> Path:
    """A video whose frame number can be read from its grey level."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(frames):
            image = np.full((48, 64, 3), level(index, frames), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = round(index * step_s * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def two_video_tracks(path: Path, pictures: Sequence[Any]) -> None:
    """Write the same pictures u8[H,W,3] as two H.264 tracks of one file, at 25 a second."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        tracks = [container.add_stream("libx264", rate=FPS) for _ in range(2)]
        for track in tracks:
            track.width, track.height, track.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            for track in tracks:
                container.mux(track.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        for track in tracks:
            container.mux(track.encode(None))
