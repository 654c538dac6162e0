"""How each source fares: its state and since when, what is wrong, and whether its picture moves."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.data import Frame
from pipeline.engine.latency import Age
from pipeline.engine.stats import SourceStats

State = Literal["connecting", "live", "stale", "lost", "ended"]

FPS_WINDOW_S = 10.0
FROZEN_RETRIES = 6
"""After so many times `frozen_after_s` a source whose picture stands still is opened again."""
MAX_FROZEN_S = 3600.0


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One source at one moment; times are Unix seconds, ages milliseconds.

    `connecting` until the first frame or failure, `lost` from a failure to the next frame,
    `stale` while connected without new pictures, `ended` for good. `fps` is what arrived within
    the last ten seconds, `analysed_fps` what of it was not dropped. Width and height are the last
    picture's (0 before the first). `error`
    says why it is lost or has ended, `warning` what else to look after; one line each. A lost one
    is tried again at `next_try`, in `next_try_in_s` seconds: 0 while that try is going on.
    """

    name: str
    live: bool
    state: State
    since: float
    fps: float = 0.0
    analysed_fps: float = 0.0
    width: int = 0
    height: int = 0
    age_ms: Age = field(default_factory=Age)
    grabbed: int = 0
    delivered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    reconnects: int = 0
    error: str | None = None
    warning: str | None = None
    next_try: float | None = None
    next_try_in_s: float | None = None
    waiting: int = 0
    """Frames that wait for their turn."""


class Freeze:
    """Notices the very same picture again and again, by comparing a 64th of its pixels."""

    def __init__(self, longest_s: float) -> None:
        self._first_s = longest_s
        self._longest_s = longest_s
        self._sample = b""
        self._since = 0.0

    def look(self, frame: Frame) -> float:
        """Return for how many seconds the picture has been the same."""
        sample = frame.image[::16, ::4].tobytes()
        if sample != self._sample:
            if self._sample:
                self._longest_s = self._first_s
            self._sample, self._since = sample, frame.captured_at
        return frame.captured_at - self._since

    def overdue(self, seconds: float) -> bool:
        """Return whether to open the source again; the next time after twice as long."""
        if seconds < self._longest_s:
            return False
        self._longest_s = min(self._longest_s * 2, MAX_FROZEN_S)
        return True

    def begin_again(self, now: float) -> None:
        """Count from `now`: the source was opened again, which a still picture may survive."""
        self._since = now


class CameraMonitor:
    """Keeps one source's state; told by the grab thread, asked by any."""

    def __init__(self, name: str, *, live: bool, stale_after_s: float, frozen_after_s: float):
        self.name = name
        self.live = live
        self._stale_after_s = stale_after_s
        self._frozen_after_s = frozen_after_s
        self._freeze = Freeze(frozen_after_s * FROZEN_RETRIES)
        self._lock = threading.Lock()
        self._state: State = "connecting"
        self._since = time.monotonic()
        self._error: str | None = None
        self._next_try: float | None = None
        self._arrivals: deque[float] = deque(maxlen=600)
        self._size = (0, 0)
        self._frozen_s = 0.0

    def saw(self, frame: Frame) -> bool:
        """Note a frame; return whether the picture has stood still for too long."""
        frozen_s = self._freeze.look(frame) if self.live else 0.0
        with self._lock:
            self._arrivals.append(frame.captured_at)
            self._size = frame.image.shape[:2]
            self._frozen_s = frozen_s
            if self._state != "live":
                self._turn("live", frame.captured_at, None)
        return self.live and self._freeze.overdue(frozen_s)

    def lost(self, error: str, wait_s: float) -> None:
        """Note that the source failed and is tried again in `wait_s`."""
        now = time.monotonic()
        self._freeze.begin_again(now + wait_s)
        with self._lock:
            since = self._since if self._state == "lost" else now
            self._turn("lost", since, error)
            self._next_try = now + wait_s

    def ended(self, error: str | None = None) -> None:
        """Note that nothing will come any more, and why; the first reason stays."""
        with self._lock:
            if self._state != "ended":
                self._turn("ended", time.monotonic(), error)

    def _turn(self, state: State, now: float, error: str | None) -> None:
        self._state, self._since = state, now
        self._error = None if error is None else " ".join(error.split())
        self._next_try = None
        self._frozen_s = 0.0

    def status(self, stats: SourceStats, waiting: int) -> CameraStatus:
        """Return how the source fares now; no frame is in the counters twice.

        For that the caller holds the lock of the ring in which `waiting` frames are.
        """
        # Before what is dropped: a frame moves on from `waiting` only. And `grabbed` is read last.
        delivered, dropped = stats.delivered, stats.drops()
        now = time.monotonic()
        unix = time.time() - now
        with self._lock:
            state, since, warning = self._judged(now)
            recent = [at for at in self._arrivals if at > now - FPS_WINDOW_S]
            error, next_try, (height, width) = self._error, self._next_try, self._size
        if state == "live":
            warning = warning or stats.fresh.warning or stats.recent.warning(now)
        fps = _rate(recent, now)
        return CameraStatus(
            name=self.name,
            live=self.live,
            state=state,
            since=since + unix,
            fps=fps,
            analysed_fps=round(fps * (1 - stats.recent.dropped_share(now)), 2),
            width=width,
            height=height,
            age_ms=stats.fresh.age(now),
            grabbed=stats.grabbed,
            delivered=delivered,
            dropped=dropped,
            reconnects=stats.reconnects,
            error=error,
            warning=warning,
            next_try=None if next_try is None else next_try + unix,
            next_try_in_s=None if next_try is None else max(0.0, next_try - now),
            waiting=waiting,
        )

    def seen_since(self) -> float | None:
        """Return since when pictures have come (monotonic), None while it is lost or has ended."""
        with self._lock:
            return self._since if self._state == "live" else None

    def _judged(self, now: float) -> tuple[State, float, str | None]:
        """Return the state, since when, and a warning: what is stale is seen by looking."""
        if self._state != "live" or not self.live:
            return self._state, self._since, None
        last = self._arrivals[-1]
        if now - last > self._stale_after_s:
            return "stale", last + self._stale_after_s, f"no picture for {now - last:.0f} s"
        if self._frozen_s > self._frozen_after_s:
            since = last - self._frozen_s + self._frozen_after_s
            return "stale", since, f"the same picture for {self._frozen_s:.0f} s"
        return "live", self._since, None


def _rate(arrivals: list[float], now: float) -> float:
    """Return frames per second of what arrived, 0 once that is long ago."""
    if len(arrivals) < 2:
        return 0.0
    # Without the time since the last one, a source that stopped would keep its rate.
    intervals = len(arrivals) - 1
    seconds = max(arrivals[-1] - arrivals[0], 1e-6)
    silent = now - arrivals[-1]
    if silent > 2 * seconds / intervals:
        seconds += silent
    return round(intervals / seconds, 2)
