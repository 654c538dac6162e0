"""Pre-roll buffer: the last seconds of each camera as small JPEG pictures with their tracks.

Measured on two EPYC cores, 1280x720 to 640x360, for each picture: scaling and JPEG take 1.5 ms and
40 KB; continuous H.264 (`ultrafast`) 2.2 ms and 18 KB, with an encoder per camera and boxes burnt
in for good; uncompressed pictures 0.9 ms and 350 KB. Eight seconds at ten a second are 3 MB.
Frames themselves are never held: their memory is pooled.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipeline.core.data import ClassNames, Detections, Frame, Image, Result, Tracks
from pipeline.sinks._frame_times import TICKS, FrameTimes

QUALITY = 85
LATE_S = 3.0
"""Maximum delay of events: a track that vanished left when it was last seen."""
MAX_BUFFER_BYTES = 24_000_000
"""Limit per camera, whatever the options say."""


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """Properties of clips: seconds, pictures per second, pixels, and whether boxes are drawn.

    `lossless`: adding waits for the encoder so that no picture is lost, as runs over files need;
    cameras must not wait.
    """

    before_s: float
    after_s: float
    fps: float
    width: int
    boxes: bool
    lossless: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PreRollFrame:
    """One picture, scaled down and compressed, with what was found on it; `time_s` never runs back.

    `tracks` are in pixels of the small picture.
    """

    time_s: float
    jpeg: bytes
    source: str
    index: int
    pts_s: float
    captured_at: float
    epoch: int
    tracks: Tracks
    class_names: ClassNames
    width: int
    height: int

    def result(self) -> Result:
        """Return what can be drawn: the small picture and its tracks."""
        image = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("PreRollFrame.jpeg: not a JPEG")
        frame = Frame(
            image.astype(np.uint8, copy=False),
            self.source,
            self.index,
            self.pts_s,
            self.captured_at,
            self.epoch,
        )
        return Result(frame, Detections.empty(), self.tracks, self.class_names)


@dataclass(frozen=True, slots=True)
class EventTimes:
    """The times of the events of one result: when the first and the last of them happened.

    `first_s` and `last_s` are on the camera's clock, `unix_s` is the first one's Unix time.
    """

    uids: Sequence[str]
    first_s: float
    last_s: float
    unix_s: float


def event_times(result: Result, uids: Sequence[str], now_s: float, unix_s: float) -> EventTimes:
    """Return when the result's events happened, which is before they were decided."""
    now = result.frame.pts_s
    late = [min(max(now - one.pts_s, 0.0), LATE_S) for one in result.events] or [0.0]
    return EventTimes(uids, now_s - max(late), now_s - min(late), unix_s - max(late))


class PreRollBuffer:
    """One camera's pictures of the last `before_s` + LATE_S seconds, at most `fps` a second."""

    def __init__(self, before_s: float, fps: float, width: int) -> None:
        self._keep_s = before_s + LATE_S
        self._step_s = 0.9 / fps  # a camera at this very rate must not lose pictures to jitter
        self._width = width
        self._times = FrameTimes()
        self._pictures: deque[PreRollFrame] = deque()
        self._bytes = 0

    def add(self, result: Result, *, always: bool) -> PreRollFrame | None:
        """Keep the picture if the last one is old enough, or `always`; return it if kept."""
        now_s = self._times.ticks(result.frame) / TICKS
        if self._pictures and not always and now_s - self._pictures[-1].time_s < self._step_s:
            return None
        picture = _picture(result, now_s, self._width)
        self._pictures.append(picture)
        self._bytes += len(picture.jpeg)
        oldest_s = now_s - self._keep_s
        while self._pictures[0].time_s < oldest_s or self._bytes > MAX_BUFFER_BYTES:
            self._bytes -= len(self._pictures.popleft().jpeg)
        return picture

    @property
    def newest(self) -> PreRollFrame:
        """Return the last picture kept."""
        return self._pictures[-1]

    def since(self, first_s: float) -> list[PreRollFrame]:
        """Return the pictures from `first_s` on the camera's clock, the oldest first."""
        return [picture for picture in self._pictures if picture.time_s >= first_s]


def _picture(result: Result, time_s: float, width: int) -> PreRollFrame:
    frame = result.frame
    small = _small(frame, width)
    scale = np.float32(small.shape[1] / frame.shape[1])
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    tracks = result.tracks
    scaled = replace(tracks, xyxy=tracks.xyxy * scale)
    return PreRollFrame(
        time_s,
        jpeg.tobytes(),
        frame.source,
        frame.index,
        frame.pts_s,
        frame.captured_at,
        frame.epoch,
        scaled,
        result.class_names,
        small.shape[1],
        small.shape[0],
    )


def _small(frame: Frame, width: int) -> Image:
    """Return the picture at most `width` pixels wide; of planes only those few are converted."""
    high, wide, _ = frame.shape
    if frame.yuv is None or wide < 2 * width:
        return _scaled(frame.image, width)
    return frame.scaled((max(2, round(high * width / wide)), width))


def _scaled(image: Image, width: int) -> Image:
    """Return the picture at most `width` pixels wide.

    Halved as often as goes, which averages four pixels and is quick, then interpolated: averaging
    to any size at once takes four times as long.
    """
    while image.shape[1] >= 2 * width and image.shape[0] > 1:
        half = image.shape[1] // 2, image.shape[0] // 2
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    if image.shape[1] <= width:
        return image
    height = max(2, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def lower_priority() -> None:
    """Lower the priority of the calling thread (Linux only)."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
