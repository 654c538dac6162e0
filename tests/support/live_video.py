"""What cameras on loopback send: pictures encoded once and looped, or encoded as they are due."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from support.timecode import burn
from support.tiny_videos import noise_picture

CLOCK_HZ = 90_000
"""Ticks a second of RTP's and MPEG-TS's video clock."""
_START_CODE = re.compile(rb"\x00\x00\x00?\x01")


class PreRollFrame(NamedTuple):
    """One encoded picture: its NAL units (H.264) or bytes, and its time in 90 kHz ticks."""

    nals: list[bytes]
    ticks: int


Feed = Callable[[], Iterator[PreRollFrame]]
"""Called for each viewer; what it returns gives the next shot when that is due."""


class Encoder:
    """BGR pictures to H.264 without delay: no B-frames, parameter sets before each key frame."""

    def __init__(self, width: int, height: int, fps: float, gop: int = 10) -> None:
        self._context: Any = av.CodecContext.create("libx264", "w")
        self._context.width, self._context.height = width, height
        self._context.pix_fmt = "yuv420p"
        self._context.time_base = Fraction(1, CLOCK_HZ)
        self._context.framerate = Fraction(fps).limit_denominator(1001)
        self._context.thread_count = 1
        self._context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "crf": "26",
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:repeat-headers=1",
        }

    def encode(self, picture: Any, ticks: int) -> list[bytes]:
        """Return the picture's NAL units."""
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = ticks
        data = b"".join(bytes(packet) for packet in self._context.encode(frame))
        return [nal for nal in _START_CODE.split(data) if nal]


def encoded(pictures: Sequence[Any], fps: float) -> list[list[bytes]]:
    """Return the NAL units of each picture; the first one of the list is a key frame."""
    height, width = pictures[0].shape[:2]
    encoder = Encoder(width, height, fps, gop=len(pictures))
    return [encoder.encode(one, round(n * CLOCK_HZ / fps)) for n, one in enumerate(pictures)]


def looped(pictures: list[list[bytes]], fps: float, *, ends_after: int | None = None) -> Feed:
    """Return a feed that shows encoded pictures at `fps`, again from the start at their end."""

    def shots() -> Iterator[PreRollFrame]:
        began, n = time.monotonic(), 0
        while ends_after is None or n < ends_after:
            _sleep_until(began + n / fps)
            yield PreRollFrame(pictures[n % len(pictures)], round(n * CLOCK_HZ / fps))
            n += 1

    return shots


def noise(
    fps: float = 25, size: tuple[int, int] = (96, 128), *, ends_after: int | None = None
) -> Feed:
    """Return a feed of ten small pictures, looped; `size` is (height, width)."""
    pictures = [noise_picture(n, *size) for n in range(10)]
    return looped(encoded(pictures, fps), fps, ends_after=ends_after)


def clip_pictures(path: Path, count: int, width: int) -> list[Any]:
    """Return the first pictures of a video file, BGR u8, `width` wide."""
    pictures: list[Any] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            height = round(frame.height * width / frame.width / 2) * 2
            pictures.append(frame.to_ndarray(format="bgr24", width=width, height=height))
            if len(pictures) == count:
                break
    return pictures


@dataclass(frozen=True)
class TimeCoded:
    """A feed that burns the time into each picture just before it is encoded and sent.

    A picture that is due while the viewer's connection blocks is filmed later, as a camera does.
    """

    pictures: Sequence[Any]
    fps: float
    burn_code: bool = True

    def __call__(self) -> Iterator[PreRollFrame]:
        """Yield shots for ever."""
        height, width = self.pictures[0].shape[:2]
        encoder = Encoder(width, height, self.fps, gop=round(self.fps * 2))
        began = due = time.monotonic()
        for n in range(10**9):
            _sleep_until(due)
            due = max(due + 1 / self.fps, time.monotonic() - 1)
            picture = np.array(self.pictures[n % len(self.pictures)])
            now = time.monotonic_ns()
            if self.burn_code:
                burn(picture, now)
            ticks = round((now / 1e9 - began) * CLOCK_HZ)
            yield PreRollFrame(encoder.encode(picture, ticks), ticks)


def _sleep_until(due: float) -> None:
    time.sleep(max(0.0, due - time.monotonic()))
