"""State of each source: connecting, live, stale, lost or ended, with time and reason."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pipeline.core.data import Frame
from pipeline.core.usual_interval import UsualInterval
from pipeline.engine.latency import LatencySummary
from pipeline.engine.stats import SourceStats

State = Literal["connecting", "live", "stale", "lost", "ended"]

FPS_WINDOW_S = 10.0
FROZEN_RETRIES = 6
"""A source with a frozen picture is reopened after this multiple of `frozen_after_s`."""
MAX_FROZEN_S = 3600.0


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """State of one source at one moment; times are Unix seconds, ages milliseconds.

    `connecting` until the first frame or failure, `lost` from a failure to the next frame, `stale`
    while connected without new pictures, `ended` for good. `fps` is what arrived within the last
    ten seconds, `analysed_fps` the part of it that was not dropped. Width and height are the last
    picture's (0 before the first). `error` says why it is lost or has ended, `warning` what else
    needs attention; one line each. A lost source is retried at `next_try`, in `next_try_in_s`
    seconds: 0 while the retry is in progress.
    """

    name: str
    live: bool
    state: State
    since: float
    fps: float = 0.0
    analysed_fps: float = 0.0
    width: int = 0
    height: int = 0
    age_ms: LatencySummary = field(default_factory=LatencySummary)
    grabbed: int = 0
    delivered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    reconnects: int = 0
    error: str | None = None
    warning: str | None = None
    next_try: float | None = None
    next_try_in_s: float | None = None
    waiting: int = 0
    """Frames in the queue to inference."""


class FreezeDetector:
    """Detects a frozen picture, by comparing one in 64 of its pixels."""

    def __init__(self, reopen_after_s: float) -> None:
        self._first_s = reopen_after_s
        self._reopen_after_s = reopen_after_s
        self._sample = b""
        self._since = 0.0

    def update(self, frame: Frame) -> float:
        """Return for how many seconds the picture has not changed."""
        picture = frame.image if frame.yuv is None else frame.yuv.luma
        sample = picture[::16, ::4].tobytes()
        if sample != self._sample:
            if self._sample:
                self._reopen_after_s = self._first_s
            self._sample, self._since = sample, frame.captured_at
        return frame.captured_at - self._since

    def is_reopen_due(self, seconds: float) -> bool:
        """Return whether to reopen the source; the next time after twice as long."""
        if seconds < self._reopen_after_s:
            return False
        self._reopen_after_s = min(self._reopen_after_s * 2, MAX_FROZEN_S)
        return True

    def restart(self, now: float) -> None:
        """Restart the count at `now`: the source was reopened; its picture may still be frozen."""
        self._since = now


class CameraMonitor:
    """State of one source; written by its grab thread, read by any thread."""

    def __init__(
        self,
        name: str,
        *,
        live: bool,
        stale_after_s: float,
        frozen_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.name = name
        self.live = live
        self._stale_after_s = stale_after_s
        self._frozen_after_s = frozen_after_s
        self._freeze = FreezeDetector(frozen_after_s * FROZEN_RETRIES)
        self._lock = threading.Lock()
        self._state: State = "connecting"
        self._since = self._clock()
        self._error: str | None = None
        self._next_try: float | None = None
        self._arrivals: deque[_Arrival] = deque(maxlen=600)
        self._is_seldom = False
        self._usual_interval = UsualInterval()
        self._size = (0, 0)
        self._frozen_s = 0.0

    def add_frame(self, frame: Frame, *, is_chosen: bool = False) -> bool:
        """Add a frame; return whether to reconnect because the picture is frozen for too long.

        `is_chosen` says that others of the camera's pictures were left out on request.
        """
        frozen_s = self._freeze.update(frame) if self.live else 0.0
        with self._lock:
            self._is_seldom = is_chosen
            # A file is read as fast as it is analysed, whatever its times say.
            at, filmed_s = frame.captured_at, frame.pts_s if self.live else frame.captured_at
            self._arrivals.append(_Arrival(at, filmed_s))
            self._usual_interval.add(at, frame.epoch)
            self._size = frame.shape[:2]
            self._frozen_s = frozen_s
            if self._state != "live":
                self._set_state("live", frame.captured_at, None)
        return self.live and self._freeze.is_reopen_due(frozen_s)

    def set_lost(self, error: str, wait_s: float) -> None:
        """Set the state `lost`: the source failed and is retried in `wait_s`."""
        now = self._clock()
        self._freeze.restart(now + wait_s)
        with self._lock:
            since = self._since if self._state == "lost" else now
            self._set_state("lost", since, error)
            self._next_try = now + wait_s

    def set_trying(self) -> None:
        """Record that a lost source is being retried now, ahead of its schedule."""
        with self._lock:
            if self._next_try is not None:
                self._next_try = min(self._next_try, self._clock())

    def set_ended(self, error: str | None = None) -> None:
        """Set the state `ended`, with the reason of a failure; the first reason is kept."""
        with self._lock:
            if self._state != "ended":
                self._set_state("ended", self._clock(), error)

    def _set_state(self, state: State, now: float, error: str | None) -> None:
        self._state, self._since = state, now
        self._error = None if error is None else " ".join(error.split())
        self._next_try = None
        self._frozen_s = 0.0

    def status(self, stats: SourceStats, waiting: int) -> CameraStatus:
        """Return the current state and counters, with no frame counted twice.

        For that the caller holds the lock of the ring in which `waiting` frames are.
        """
        # Read before the drops, because a frame only ever leaves `waiting`. `grabbed` is read last.
        delivered, dropped = stats.delivered, stats.drops()
        now = self._clock()
        unix = time.time() - now
        with self._lock:
            state, since, warning = self._current_state(now)
            recent = [each for each in self._arrivals if each.at > now - FPS_WINDOW_S]
            error, next_try, (height, width) = self._error, self._next_try, self._size
        if state == "live":
            warning = warning or stats.latency.warning or stats.drop_rate.warning(now)
        fps = _rate(recent, now)
        return CameraStatus(
            name=self.name,
            live=self.live,
            state=state,
            since=since + unix,
            fps=fps,
            analysed_fps=round(fps * (1 - stats.drop_rate.dropped_share(now)), 2),
            width=width,
            height=height,
            age_ms=stats.latency.summary(now),
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

    def live_since(self) -> float | None:
        """Return since when frames have come (monotonic), None while it is lost or has ended."""
        with self._lock:
            return self._since if self._state == "live" else None

    def _current_state(self, now: float) -> tuple[State, float, str | None]:
        """Return state, start time and warning; `stale` depends on the current time."""
        if self._state != "live" or not self.live:
            return self._state, self._since, None
        last = self._arrivals[-1].at
        stale_after_s = self._max_silence_s()
        if now - last > stale_after_s:
            return "stale", last + stale_after_s, f"no picture for {now - last:.0f} s"
        if self._frozen_s > self._frozen_after_s:
            since = last - self._frozen_s + self._frozen_after_s
            return "stale", since, f"the same picture for {self._frozen_s:.0f} s"
        return "live", self._since, None

    def _max_silence_s(self) -> float:
        """Return after how long a camera is stale: later if few pictures are requested."""
        if not self._is_seldom:
            return self._stale_after_s
        return self._usual_interval.max_wait_s(self._stale_after_s)


class _Arrival(NamedTuple):
    """Arrival of a frame on the monotonic clock, and the camera's own time for it."""

    at: float
    filmed_s: float


def _rate(arrivals: list[_Arrival], now: float) -> float:
    """Return the arrival rate in frames per second, 0 once they are long past."""
    if len(arrivals) < 2:
        return 0.0
    intervals = len(arrivals) - 1
    first, last = arrivals[0], arrivals[-1]
    # Frames sent while a camera was opened arrive at once, but were not filmed at once.
    seconds = max(last.at - first.at, last.filmed_s - first.filmed_s, 1e-6)
    # Without the time since the last one, a source that stopped would keep its rate.
    silent = now - last.at
    if silent > 2 * seconds / intervals:
        seconds += silent
    return round(intervals / seconds, 2)
