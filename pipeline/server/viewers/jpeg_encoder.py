"""JpegEncoder: encodes pictures on demand, once for all viewers, on low-priority threads.

The quality is `web.jpeg_quality`, see config/web.py.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from pipeline.config.web import WebOptions
from pipeline.core.data import Image, Result
from pipeline.server.viewers.hub import Hub, LatestResult

WIDTHS = (160, 240, 320, 480, 640, 800, 960, 1280, 1600, 1920, 2560, 3840)
"""Picture widths in use: viewers whose windows differ by a few pixels share an encoding."""

NICENESS = 10
THREADS = 2


@dataclass(frozen=True, slots=True)
class Picture:
    """JPEG of one camera's frame, with the frame's size, time and tracks."""

    frame_key: tuple[float, int]
    frame_width: int
    frame_height: int
    captured_at: float
    tracks_json: str
    jpeg: bytes

    @property
    def index(self) -> int:
        """Return the frame's index."""
        return self.frame_key[1]

    def age_ms(self) -> float:
        """Return the age of the frame in milliseconds."""
        return round((time.monotonic() - self.captured_at) * 1e3, 1)


@dataclass(slots=True)
class _Entry:
    key: tuple[float, int]
    began: float
    future: asyncio.Future[Picture]


class JpegEncoder:
    """Encodes the newest frame of a camera on demand; used on the server's event loop.

    Each (camera, frame, width) is encoded at most once, no more than `picture_fps` times a
    second; requests in between share the picture that is there or under way.
    """

    def __init__(self, hub: Hub, options: WebOptions) -> None:
        self._hub = hub
        self._quality = options.jpeg_quality
        self._pause_s = 1 / options.picture_fps
        self._threads = ThreadPoolExecutor(THREADS, "picture", initializer=lower_thread_priority)
        self._entries: dict[tuple[str, int], _Entry] = {}
        self.encoded = 0

    async def picture(self, camera: str, width: int) -> Picture | None:
        """Return the newest picture of `camera` about `width` pixels wide; None before any."""
        shown = self._hub.latest(camera)
        if shown is None:
            return None
        width = encoding_width(width, shown.width)
        entry = self._entries.get((camera, width))
        now = time.monotonic()
        if entry is None or (
            entry.key != shown.key and entry.future.done() and now - entry.began >= self._pause_s
        ):
            entry = _Entry(shown.key, now, self._begin(shown, width))
            self._entries[camera, width] = entry
            self._drop_old(now)
        # Shielded: a viewer that disconnects must not cancel the picture for the others.
        return await asyncio.shield(entry.future)

    async def snapshot(self, camera: str, *, boxes: bool) -> bytes | None:
        """Return the newest frame in full as a JPEG, with its boxes drawn if asked for."""
        shown = self._hub.latest(camera)
        if shown is None:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, _snapshot, shown.result, boxes, self._quality
        )

    def close(self) -> None:
        """Stop the threads; pictures being encoded are finished and dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, shown: LatestResult, width: int) -> asyncio.Future[Picture]:
        self.encoded += 1
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, _encode, shown, width, self._quality)

    def _drop_old(self, now: float) -> None:
        """Remove pictures that were encoded more than ten seconds ago."""
        for key, entry in list(self._entries.items()):
            if entry.future.done() and now - entry.began > 10:
                del self._entries[key]


def encoding_width(width: int, frame_width: int) -> int:
    """Return the width to encode for a viewer that shows `width` pixels of a wider frame."""
    step = WIDTHS[min(bisect_left(WIDTHS, width), len(WIDTHS) - 1)]
    return min(step, frame_width)


def lower_thread_priority() -> None:
    """Lower the priority of the calling thread below the pipeline's (Linux only)."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _encode(shown: LatestResult, width: int, quality: int) -> Picture:
    frame = shown.result.frame
    if width < shown.width:
        image = frame.scaled((max(1, round(shown.height * width / shown.width)), width))
    else:
        image = frame.image
    return Picture(
        frame_key=shown.key,
        frame_width=shown.width,
        frame_height=shown.height,
        captured_at=shown.result.frame.captured_at,
        tracks_json=shown.tracks_json,
        jpeg=_jpeg(image, quality),
    )


def _snapshot(result: Result, boxes: bool, quality: int) -> bytes:
    image = result.frame.image
    if boxes:
        from pipeline.core.drawing import Annotator

        image = image.copy()
        Annotator(trail_s=0, by_class=True).paint(image, result)
    return _jpeg(image, max(quality, 85))


def _jpeg(image: Image, quality: int) -> bytes:
    import cv2

    fine, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not fine:
        raise ValueError(f"a picture of {image.shape} cannot be JPEG")
    return bytes(encoded)
