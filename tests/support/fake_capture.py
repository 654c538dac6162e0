"""Stand-ins for OpenCV's capture and for what opens it: no camera is needed."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


class FakeCapture:
    """cv2.VideoCapture over a script: a grey value is a picture, None a failed read."""

    def __init__(self, script: list[int | None], opened: bool = True) -> None:
        self._script = list(script)
        self._opened = opened
        self.settings: dict[int, float] = {
            cv2.CAP_PROP_FRAME_WIDTH: 32.0, cv2.CAP_PROP_FRAME_HEIGHT: 24.0,
        }  # fmt: skip
        self.slots: list[Any] = []
        self.released = 0

    def isOpened(self):  # noqa: N802
        return self._opened

    def read(self, image=None):
        grey = self._script.pop(0) if self._script else None
        if grey is None:
            return False, None
        self.slots.append(image)
        if image is None or image.shape != (24, 32, 3):
            image = np.empty((24, 32, 3), np.uint8)
        image.fill(grey)
        return True, image

    def set(self, key, value):
        self.settings[key] = value
        return True

    def get(self, key):
        return self.settings.get(key, 0.0)

    def release(self):
        self.released += 1


class FakeDriver:
    """Hands out the next of its captures for each try to open the camera."""

    def __init__(self, *captures: FakeCapture) -> None:
        self._captures = list(captures)
        self.asked: list[tuple[Any, list[int]]] = []

    def __call__(self, device: int | str, settings: list[int]) -> FakeCapture:
        self.asked.append((device, settings))
        return self._captures.pop(0)
