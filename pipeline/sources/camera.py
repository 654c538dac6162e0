"""Source: a camera on this machine, by number or device path, through OpenCV."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.core.data import Frame
from pipeline.core.errors import SourceError, SourceLostError
from pipeline.core.frame_pool import FramePool
from pipeline.core.options import OptionsModel
from pipeline.core.run_info import SourceInfo
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS, too_large

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 5000


class Options(OptionsModel):
    """Which camera to open, and the requested settings."""

    device: int | str = 0
    """Number (0 is the first camera) or device path such as /dev/video2."""
    width: int | None = Field(None, ge=1)
    """Requested picture width; cameras choose the nearest they support."""
    height: int | None = Field(None, ge=1)
    """Requested picture height."""
    fps: float | None = Field(None, gt=0)
    """Requested frame rate."""
    max_megapixels: float = Field(MAX_MEGAPIXELS, gt=0)
    """Maximum size of a picture; a camera that sends larger ones counts as lost."""
    name: str | None = Field(None, min_length=1)
    """Name in results and outputs (default: camera and its number)."""


def build(options: Options) -> CameraSource:
    """Return the source, not yet open."""
    return CameraSource(options, _open_capture)


def _open_capture(device: int | str, settings: list[int]) -> Any:
    import cv2

    # Named, because "any" tries every backend; quiet, because each failed attempt prints several
    # lines, and the engine reports a camera that is down in one.
    backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(device, backend, settings)
    finally:
        logging.setLogLevel(level)


class CameraSource:
    """Source of a local camera's newest pictures; a failed read is SourceLostError.

    `open_capture` returns an object with the methods of cv2.VideoCapture; tests pass a fake.
    """

    live = True

    def __init__(
        self, options: Options, open_capture: Callable[[int | str, list[int]], Any]
    ) -> None:
        device = options.device
        self._device = int(device) if isinstance(device, str) and device.isdigit() else device
        self._options = options
        # Of an address nothing is shown: it may contain a password.
        short = str(self._device).rsplit("/", 1)[-1] if "://" not in str(device) else "camera"
        self.name = options.name or (f"camera{short}" if short.isdigit() else short)
        self._open_capture = open_capture
        self._capture: Any = None
        self._pool = FramePool()

    def open(self) -> SourceInfo:
        """Open the camera; raises SourceLostError while it is not available.

        A path that can never be a device raises SourceError.
        """
        import cv2

        self.close()
        self._check_device()
        # Without these a camera that hangs would block its thread for half a minute.
        settings = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS,
        ]  # fmt: skip
        capture = self._open_capture(self._device, settings)
        if not capture.isOpened():
            # Some backends refuse settings they do not know instead of passing them over.
            capture.release()
            capture = self._open_capture(self._device, [])
        if not capture.isOpened():
            capture.release()
            raise SourceLostError(f"source {self.name}: camera {self._device} does not open")
        # The driver's queue would only make pictures old.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        wanted = self._options
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, wanted.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, wanted.height),
            (cv2.CAP_PROP_FPS, wanted.fps),
        ):
            if value is not None:
                capture.set(key, value)
        self._capture = capture
        self._check_size(
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        )
        self._index = 0
        self._opened_at = time.monotonic()
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self._size = (height, width)
        return SourceInfo(width, height, capture.get(cv2.CAP_PROP_FPS) or None, None, "camera")

    def read(self) -> Frame | None:
        """Return the next picture, never None; raises SourceLostError if there is none."""
        slot = self._pool.take(*self._size) if 0 not in self._size else None
        good, image = self._capture.read(slot)
        # After the picture has come: before, the time would include the wait for it.
        captured_at = time.monotonic()
        if not good or image is None:
            raise SourceLostError(f"source {self.name}: camera {self._device} gives no picture")
        self._size = image.shape[:2]
        self._check_size(image.shape[1], image.shape[0])
        pts_s = captured_at - self._opened_at
        frame = Frame(image, self.name, self._index, pts_s, captured_at)
        self._index += 1
        return frame

    def _check_size(self, width: int, height: int) -> None:
        if (why := too_large(width, height, self._options.max_megapixels)) is not None:
            raise SourceLostError(f"source {self.name}: its pictures: {why}")

    def _check_device(self) -> None:
        device = self._device
        if isinstance(device, int) or device.startswith("/dev/"):
            return
        if "://" in device:
            raise SourceError(f"source {self.name}: device: want a number or path, got an address")
        if not Path(device).is_char_device():
            raise SourceError(f"source {self.name}: device: want a number or path, got '{device}'")

    def close(self) -> None:
        """Release the camera; safe to call twice and if never opened."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None
            self._pool = FramePool()
