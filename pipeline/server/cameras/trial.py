"""Tests a camera before it is added: opens it once, shows a picture, measures its rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from pipeline.config.build import make_sources
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.data import Image
from pipeline.core.errors import PipelineError, SourceError, SourceLostError, located
from pipeline.core.interfaces import Interruptible, Source
from pipeline.core.run_info import SourceInfo
from pipeline.core.scaling import averaged

CONNECT_S = 5.0
"""Maximum wait for the connection, and again for its first picture."""
WATCH_S = 1.2
"""How long pictures are counted after the first."""
SHOWN_WIDTH = 640
_QUALITY = 80


class TrialBusyError(Exception):
    """Another camera is being tested."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Result of a test: a JPEG of the picture, its size, and pictures per second."""

    jpeg: bytes
    width: int
    height: int
    fps: float | None


class CameraTrial:
    """Tests one camera at a time; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: Source | None = None

    def run(self, options: Mapping[str, Any]) -> Trial:
        """Test the camera with these options of `sources`.

        Takes at most a dozen seconds. Raises TrialBusyError, and PipelineError with one line if
        there is no picture.
        """
        if not self._lock.acquire(blocking=False):
            raise TrialBusyError
        try:
            return _try(self._made(options))
        finally:
            self._source = None
            self._lock.release()

    def close(self) -> None:
        """Abort a test in progress."""
        source = self._source
        if source is not None and isinstance(source, Interruptible):
            source.interrupt()

    def _made(self, options: Mapping[str, Any]) -> Source:
        limits = {"open_timeout_s": CONNECT_S, "read_timeout_s": CONNECT_S}
        text = str(options.get("source", ""))
        values = {**options, **(limits if "://" in text else {})}
        [(source, _)] = make_sources(resolve_config(Config.model_validate({"sources": [values]})))
        self._source = source
        return source


def _try(source: Source) -> Trial:
    where = f"source {source.name}: "
    try:
        with located(f"source {source.name}"), closing(source):
            info = source.open()
            if info.description.endswith(" in hls"):
                raise SourceError(
                    "is a playlist, which may lead anywhere: add it in the configuration file"
                )
            return _watched(source, info)
    except PipelineError as error:
        text = " ".join(str(error).split())
        raise SourceError(f"{source.name}: {text.removeprefix(where)}") from None


def _watched(source: Source, info: SourceInfo) -> Trial:
    frame = source.read()
    if frame is None:
        raise SourceLostError("gives no picture")
    image = frame.image
    count, began, last = 0, time.monotonic(), frame
    with suppress(SourceLostError):  # the picture is there, and its rate stays unknown
        while time.monotonic() - began < WATCH_S and (following := source.read()) is not None:
            count, last = count + 1, following
    # By the camera's own times: those that waited while it was opened come all at once.
    took_s = max(last.pts_s - frame.pts_s, last.captured_at - frame.captured_at)
    fps = round(count / took_s, 1) if count >= 2 and took_s > 0 else info.fps
    height, width = image.shape[:2]
    return Trial(_jpeg(image), width, height, fps)


def _jpeg(image: Image) -> bytes:
    import cv2

    height, width = image.shape[:2]
    shown = image
    if width > SHOWN_WIDTH:
        shown = averaged(image, (max(1, round(height * SHOWN_WIDTH / width)), SHOWN_WIDTH))
    return cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
