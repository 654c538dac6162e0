"""Pictures for the broker: the newest thumbnail and snapshot of each camera, as JPEG."""

from __future__ import annotations

import threading
import time

from pipeline.core.data import Result
from pipeline.core.scaling import averaged

SNAPSHOT_WIDTH = 1280
"""Maximum width of a snapshot, in pixels."""
QUALITY = 80


class CameraPictures:
    """The newest pictures, set by one thread and published by another; old ones are replaced.

    A snapshot is made at most every `snapshot_s` seconds, none if that is None.
    """

    def __init__(self, snapshot_s: float | None) -> None:
        self._snapshot_s = snapshot_s
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        self._pictures: dict[tuple[str, str], bytes] = {}  # by camera and kind
        self._began: dict[str, float] = {}  # of the visit whose thumbnail is the newest

    def set_thumbnail(self, camera: str, began: float, jpeg: bytes) -> None:
        """Replace a camera's thumbnail, unless the current one belongs to a later visit."""
        with self._lock:
            if began >= self._began.get(camera, began):
                self._began[camera] = began
                self._pictures[camera, "thumbnail"] = jpeg

    def note(self, result: Result) -> None:
        """Make a snapshot of a result's frame if one is due."""
        if self._snapshot_s is None:
            return
        camera, now = result.frame.source, time.monotonic()
        if now < self._due.get(camera, now):
            return
        self._due[camera] = now + self._snapshot_s
        jpeg = snapshot(result)
        with self._lock:
            self._pictures[camera, "snapshot"] = jpeg

    def newest(self) -> dict[tuple[str, str], bytes]:
        """Return {(camera, "thumbnail" or "snapshot"): JPEG}."""
        with self._lock:
            return dict(self._pictures)


def snapshot(result: Result) -> bytes:
    """Return the picture of a result as JPEG, at most `SNAPSHOT_WIDTH` wide."""
    import cv2

    image = result.frame.image
    height, width = image.shape[:2]
    if width > SNAPSHOT_WIDTH:
        image = averaged(image, (max(1, round(height * SNAPSHOT_WIDTH / width)), SNAPSHOT_WIDTH))
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes()
