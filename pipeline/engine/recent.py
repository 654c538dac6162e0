"""How many of a camera's frames were analysed and how many dropped, within the last seconds."""

from __future__ import annotations

import threading
from collections import deque

WINDOW_S = 10
MIN_DROPPED = 3
WARN_FROM = 0.1
WARN_UNTIL = 0.05


class Recent:
    """Frames delivered and dropped in the last ten seconds, counted by the second; any thread."""

    def __init__(self) -> None:
        # [second, delivered, dropped], oldest first.
        self._seconds: deque[list[int]] = deque(maxlen=WINDOW_S)
        self._began: float | None = None
        self._warns = False
        # Re-entrant: a signal handler that stops the run drops what waits, whatever it interrupted.
        self._lock = threading.RLock()

    def add(self, now: float, *, delivered: int = 0, dropped: int = 0) -> None:
        """Count frames at monotonic time `now`."""
        with self._lock:
            if self._began is None:
                self._began = now
            second = int(now)
            if not self._seconds or self._seconds[-1][0] < second:
                self._seconds.append([second, 0, 0])
            self._seconds[-1][1] += delivered
            self._seconds[-1][2] += dropped

    def dropped_share(self, now: float) -> float:
        """Return how many of the last seconds' frames were dropped, 0..1; 0 where none came."""
        delivered, dropped = self._sums(now)
        return dropped / max(delivered + dropped, 1)

    def judge(self, now: float) -> str | None:
        """Return a warning when it is a new one: many frames are being dropped.

        In the first seconds nothing is judged: a network's first batches take longer.
        """
        with self._lock:
            share, dropped = self.dropped_share(now), self._sums(now)[1]
            if self._warns:
                self._warns = share >= WARN_UNTIL
                return None
            if self._began is None or now - self._began < WINDOW_S:
                return None
            self._warns = share >= WARN_FROM and dropped >= MIN_DROPPED
            return self.warning(now)

    def warning(self, now: float) -> str | None:
        """Return what to say of frames that are being dropped, None while few are."""
        share = self.dropped_share(now)
        if not self._warns or share < WARN_UNTIL:
            return None
        return (
            f"{share:.0%} of the pictures were dropped in the last {WINDOW_S} s: "
            "tracks and counts may miss objects"
        )

    def _sums(self, now: float) -> tuple[int, int]:
        """Return (delivered, dropped) of the last seconds."""
        with self._lock:
            seconds = [each for each in self._seconds if each[0] > now - WINDOW_S]
            return sum(each[1] for each in seconds), sum(each[2] for each in seconds)
