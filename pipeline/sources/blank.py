"""Source of blank frames, for boxes without a video."""

from __future__ import annotations

import time

import numpy as np
from pydantic import Field

from pipeline.core.data import Frame
from pipeline.core.options import OptionsModel
from pipeline.core.run_info import SourceInfo


class Options(OptionsModel):
    """Length and size of the missing video."""

    frames: int = Field(300, ge=0)
    """Number of frames."""
    fps: float = Field(30.0, gt=0)
    """Frames per second of the video's own time."""
    width: int = Field(1920, ge=1)
    """Picture width in pixels."""
    height: int = Field(1080, ge=1)
    """Picture height in pixels."""
    name: str | None = Field(None, min_length=1)
    """Name in results and outputs (default: blank)."""


def build(options: Options) -> BlankSource:
    """Return the source, not yet open."""
    return BlankSource(options)


class BlankSource:
    """Source that returns the same black, read-only picture for every frame."""

    live = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self.name = options.name or "blank"
        self._index = 0

    def open(self) -> SourceInfo:
        """Start at frame 0."""
        options = self._options
        self._index = 0
        self._image = np.zeros((options.height, options.width, 3), np.uint8)
        self._image.flags.writeable = False
        return SourceInfo(options.width, options.height, options.fps, options.frames, "blank")

    def read(self) -> Frame | None:
        """Return the next frame, None after the last."""
        index, options = self._index, self._options
        if index >= options.frames:
            return None
        self._index += 1
        return Frame(self._image, self.name, index, index / options.fps, time.monotonic())

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
