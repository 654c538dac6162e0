"""Source: synthetic scene of moving boxes with ground truth, for tests, demos and load."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.data import Float32, Frame, Image, Int32, Int64
from pipeline.core.frame_pool import FramePool
from pipeline.core.options import OptionsModel
from pipeline.core.run_info import SourceInfo


class Options(OptionsModel):
    """Appearance of the scene; the same options give the same pictures."""

    width: int = Field(640, ge=16)
    """Picture width in pixels."""
    height: int = Field(480, ge=16)
    """Picture height in pixels."""
    fps: float = Field(30.0, gt=0)
    """Frames per second of the scene's own time."""
    frames: int | None = Field(300, ge=0)
    """Number of frames; null for no end."""
    objects: int = Field(8, ge=0, le=1000)
    """Number of moving boxes; they cross, leave on one side and return on the other."""
    classes: int = Field(1, ge=1)
    """Number of classes, which the objects take in turn."""
    live: bool = False
    """Act as a camera: a frame every 1/fps seconds of real time, whether it is read or not."""
    seed: int = 0
    """Seed of the scene."""
    name: str | None = Field(None, min_length=1)
    """Name in results and outputs (default: synthetic)."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Content of a frame: boxes f32[N,4] in pixels, clipped to it; ids i64[N] from 1."""

    xyxy: Float32
    track_id: Int64
    class_id: Int32


class Scene:
    """Boxes moving straight on a torus larger than the picture; a pure function of time."""

    def __init__(self, options: Options) -> None:
        rng = np.random.default_rng(options.seed)
        n, size = options.objects, np.array([options.width, options.height])
        self._picture = size
        self._size = size * rng.uniform(0.08, 0.2, (n, 2))
        # Room to leave the picture entirely before the path restarts on the other side.
        self._world = size + 2 * self._size
        self._start = rng.uniform(0, 1, (n, 2)) * self._world
        self._speed = size * rng.uniform(0.05, 0.25, (n, 2)) * rng.choice([-1, 1], (n, 2))
        self._class_id = np.arange(n, dtype=np.int32) % options.classes
        self.colours: NDArray[np.uint8] = rng.integers(60, 256, (n, 3), dtype=np.uint8)

    def at(self, seconds: float) -> Truth:
        """Return the visible objects at a moment; those below 2 pixels are omitted."""
        left_top = (self._start + self._speed * seconds) % self._world - self._size
        xyxy = np.concatenate([left_top, left_top + self._size], axis=1)
        laps = np.floor((self._start + self._speed * seconds) / self._world).astype(np.int64)
        clipped = xyxy.clip(0, np.tile(self._picture, 2)).round().astype(np.float32)
        seen = (clipped[:, 2:] - clipped[:, :2] >= 2).all(axis=1)
        # An object that returns is a new one: the id counts laps, exactly and without state.
        lap = np.abs(laps).sum(axis=1)
        ids = lap * len(lap) + np.arange(1, len(lap) + 1)
        return Truth(clipped[seen], ids[seen], self._class_id[seen])

    def colour_of(self, track_id: int) -> NDArray[np.uint8]:
        """Return u8[3], the BGR fill of an object."""
        colour: NDArray[np.uint8] = self.colours[(track_id - 1) % len(self.colours)]
        return colour


def build(options: Options) -> SyntheticSource:
    """Return the source, not yet open."""
    return SyntheticSource(options)


class SyntheticSource:
    """Rectangles of one colour each on a grey ground; `scene` has the ground truth."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.name = options.name or "synthetic"
        self.live = options.live
        self.scene = Scene(options)
        self._pool = FramePool()
        self._index = 0

    def open(self) -> SourceInfo:
        """Start at frame 0."""
        options = self._options
        self._index = 0
        self._opened_at = time.monotonic()
        return SourceInfo(options.width, options.height, options.fps, options.frames, "synthetic")

    def read(self) -> Frame | None:
        """Return the next frame; as a camera, not before its time."""
        options = self._options
        if options.frames is not None and self._index >= options.frames:
            return None
        pts_s = self._index / options.fps
        if options.live:
            time.sleep(max(0.0, self._opened_at + pts_s - time.monotonic()))
        frame = Frame(self._draw(pts_s), self.name, self._index, pts_s, time.monotonic())
        self._index += 1
        return frame

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _draw(self, seconds: float) -> Image:
        image = self._pool.take(self._options.height, self._options.width)
        image.fill(48)
        truth = self.scene.at(seconds)
        for (x1, y1, x2, y2), track_id in zip(
            truth.xyxy.astype(int), truth.track_id.tolist(), strict=True
        ):
            image[y1:y2, x1:x2] = self.scene.colour_of(track_id)
        return image
