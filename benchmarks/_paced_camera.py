"""Stand-ins for cameras and a network, whose pace and failures are known."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np

from pipeline.core.data import ClassNames, Detections, Frame, Tracks
from pipeline.core.errors import SourceLostError
from pipeline.core.frame_pool import FramePool
from pipeline.core.run_info import SourceInfo

READ_TIMEOUT_S = 1.0


class PacedCamera:
    """A camera at a steady rate whose plug can be pulled; a read that hangs times out, as real
    ones do. `given` counts the frames that it gave, `refused` when it was last in vain.
    """

    live = True

    def __init__(self, name: str, fps: float, size: tuple[int, int] = (360, 640)) -> None:
        self.name = name
        self.size = size
        self.given = 0
        self.missed = 0
        self.unplugged = threading.Event()
        self.hung = threading.Event()
        self._every_s = 1 / fps
        self._pool = FramePool()
        self._next = 0.0
        self._index = 0

    def open(self) -> SourceInfo:
        """Connect, unless it is unplugged or hung."""
        if self.unplugged.is_set():
            raise SourceLostError(f"source {self.name}: connection refused")
        self._wait_while_hung()
        self._next = time.monotonic()
        self._index = 0
        return SourceInfo(self.size[1], self.size[0])

    def read(self) -> Frame | None:
        """Return the picture whose turn it is; those nobody came for are missed, as live."""
        self._wait_while_hung()
        if self.unplugged.is_set():
            raise SourceLostError(f"source {self.name}: connection reset")
        self._next += self._every_s
        late_s = time.monotonic() - self._next
        if late_s > self._every_s:
            missed = int(late_s / self._every_s)
            self.missed += missed
            self._next += missed * self._every_s
        time.sleep(max(0.0, self._next - time.monotonic()))
        image = self._pool.take(*self.size)
        image[:] = self.given % 251
        now = time.monotonic()
        frame = Frame(image, self.name, self._index, self._index * self._every_s, now)
        self._index += 1
        self.given += 1
        return frame

    def close(self) -> None:
        """There is nothing to release."""

    def _wait_while_hung(self) -> None:
        until = time.monotonic() + READ_TIMEOUT_S
        while self.hung.is_set():
            if time.monotonic() > until:
                raise SourceLostError(f"source {self.name}: no picture for {READ_TIMEOUT_S:.0f} s")
            time.sleep(0.01)


class PacedDetector:
    """Takes so many milliseconds a frame and finds nothing."""

    def __init__(self, ms: float, batch_size: int) -> None:
        self.batch_size = batch_size
        self._seconds = ms / 1e3

    def open(self, *, prefer_latency: bool = False) -> ClassNames:  # noqa: ARG002
        """Return no class names."""
        return {}

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Sleep, as a network on another device does."""
        time.sleep(self._seconds * len(frames))
        return [Detections.empty() for _ in frames]

    def close(self) -> None:
        """There is nothing to release."""


class NoTracker:
    """Follows nothing."""

    def update(self, frame: Frame, detections: Detections) -> Tracks:  # noqa: ARG002
        """Return no tracks."""
        return Tracks.empty()

    def reset(self) -> None:
        """There is nothing to forget."""


def megabytes() -> float:
    """Return this process's resident memory."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


def spread(values: Sequence[float]) -> str:
    """Return best, median and worst of some milliseconds."""
    low, middle, high = np.percentile(values, (0, 50, 100))
    return f"best {low:.0f}, median {middle:.0f}, worst {high:.0f} ms"
