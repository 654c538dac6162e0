"""Source of pictures in memory: numpy arrays, or an iterator of them.

Not a plug-in: arrays come from a program, never from a configuration, so it has no `Options`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import suppress
from itertools import chain, islice
from typing import Any

import numpy as np

from pipeline.core.data import Frame, Image
from pipeline.core.errors import SourceError
from pipeline.core.frame_pool import FramePool
from pipeline.core.run_info import SourceInfo

DEFAULT_FPS = 30.0
"""Default frame rate of frames without times."""


class FrameSource:
    """A source of BGR u8[H,W,3] arrays, or of (array, seconds) pairs.

    The iterator is advanced on the source's own thread, as far ahead as frames may wait, and no
    frame is dropped. Each array is copied, so the program may reuse its memory. Times are `index /
    fps` unless they come with the frames; those must not decrease. It can be read once.
    """

    live = False

    def __init__(
        self, frames: Iterable[Any], name: str = "frames", fps: float = DEFAULT_FPS
    ) -> None:
        self.name = name
        self._fps = fps
        self._count = len(frames) if isinstance(frames, Sized) else None
        self._frames: Iterator[Any] = iter(frames)
        self._original = self._frames
        self._index = 0
        self._last_s = -math.inf
        self._pool = FramePool()

    def open(self) -> SourceInfo:
        """Take the first frame, for its size; raises SourceError if there is none."""
        first = list(islice(self._frames, 1))
        if not first:
            raise SourceError(f"{self.name}: no frames came")
        self._frames = chain(iter(first), self._frames)
        height, width = checked_image(picture_of(first[0]), f"{self.name}: item 0").shape[:2]
        return SourceInfo(width, height, self._fps, self._count, "frames in memory")

    def read(self) -> Frame | None:
        """Return the next frame; raises SourceError for anything but a picture."""
        for item in islice(self._frames, 1):
            where = f"{self.name}: item {self._index}"
            image = checked_image(picture_of(item), where)
            seconds = self._seconds(item, where)
            copied = self._pool.take(*image.shape[:2])
            np.copyto(copied, image)
            frame = Frame(copied, self.name, self._index, seconds, time.monotonic())
            self._index += 1
            return frame
        return None

    def close(self) -> None:
        """Close the iterator; a generator's `finally` runs."""
        self._frames = iter(())
        original, self._original = self._original, iter(())
        if callable(close := getattr(original, "close", None)):
            with suppress(ValueError):  # it runs on a thread that was abandoned
                close()

    def _seconds(self, item: Any, where: str) -> float:
        if not is_pair(item):
            return self._index / self._fps
        seconds = float(item[1])
        if not math.isfinite(seconds) or seconds < self._last_s:
            raise SourceError(f"{where}: want a time not before the last one, got {item[1]!r}")
        self._last_s = seconds
        return seconds


def is_pair(item: Any) -> bool:
    """Return whether it is a frame with its time in seconds."""
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], np.ndarray)
        and isinstance(item[1], int | float | np.integer | np.floating)
        and not isinstance(item[1], bool)
    )


def is_picture(item: Any) -> bool:
    """Return whether it is meant as a frame, whether valid or not."""
    return isinstance(item, np.ndarray) or is_pair(item)


def picture_of(item: Any) -> Any:
    """Return the array of a frame that may come with its time."""
    return item[0] if is_pair(item) else item


def checked_image(image: Any, where: str) -> Image:
    """Return the array if it is a picture; raises SourceError that says what came."""
    want = "want a BGR picture, a numpy array uint8 (height, width, 3)"
    if not isinstance(image, np.ndarray):
        raise SourceError(f"{where}: {want}, or (picture, seconds); got {describe(image)}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise SourceError(f"{where}: {want}, got {describe(image)}")
    return image


def describe(value: Any) -> str:
    """Return a value's type, for an array also its dtype and shape, in a few words."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{type(value).__name__} ({len(value)})"
    kind = type(value)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return f"{name} {value!r}" if isinstance(value, bool | int | float | str) else name
