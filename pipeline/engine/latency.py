"""Latency of a camera: percentiles over the last minute, and a warning while it grows."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

WINDOW_S = 60.0
MAX_SAMPLES = 2048
STEP_S = 10.0
STEPS = 4
GROWTH_MS = 300.0


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Milliseconds from a frame's arrival to its result: the last one, and percentiles."""

    now: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0


class LatencyWindow:
    """Latencies of the last minute, at most 2048; written by one thread, read by any."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=MAX_SAMPLES)
        self._trend = LatencyTrend()
        self._lock = threading.Lock()

    @property
    def warning(self) -> str | None:
        """Return the warning that latency grows, None while it does not."""
        return self._trend.warning

    def add(self, now: float, age_ms: float, behind_ms: float, epoch: int) -> str | None:
        """Add a result's latency at monotonic time `now`; return a warning when it first applies.

        `behind_ms` is the frame's arrival minus its own timestamp, whatever that counts from: if it
        grows, frames get old before they arrive.
        """
        with self._lock:
            samples = self._samples
            samples.append((now, age_ms))
            while samples[0][0] < now - WINDOW_S:
                samples.popleft()
        return self._trend.add(now, age_ms + behind_ms, epoch)

    def summary(self, now: float) -> LatencySummary:
        """Return the last latency, and the percentiles of the minute before `now`."""
        with self._lock:
            samples = list(self._samples)
        ages = [age for at, age in samples if at >= now - WINDOW_S]
        if not ages:
            return LatencySummary(now=samples[-1][1] if samples else 0.0)
        p50, p95, p99 = np.percentile(ages, (50, 95, 99)).round(1).tolist()
        return LatencySummary(round(ages[-1], 1), p50, p95, p99)


class LatencyTrend:
    """Detects growing latency: medians of four steps of ten seconds that rise by 0.3 s in all."""

    def __init__(self) -> None:
        self.warning: str | None = None
        self._epoch = 0
        self._restart()

    def _restart(self) -> None:
        self._values: list[float] = []
        self._until: float | None = None
        self._medians: deque[float] = deque(maxlen=STEPS)
        self._normal_ms: float | None = None

    def add(self, now: float, delay_ms: float, epoch: int) -> str | None:
        """Add a delay, of which only changes matter; return a warning when it first applies."""
        if epoch != self._epoch:
            self._epoch = epoch
            self.warning = None
            self._restart()
        if self._until is None:
            self._until = now + STEP_S
        if len(self._values) < MAX_SAMPLES:
            self._values.append(delay_ms)
        if now < self._until:
            return None
        self._until = now + STEP_S
        self._medians.append(float(np.median(self._values)))
        self._values.clear()
        return self._judge()

    def _judge(self) -> str | None:
        medians = list(self._medians)
        if self.warning is not None:
            if self._normal_ms is not None and medians[-1] < self._normal_ms + GROWTH_MS / 2:
                self.warning = None
            return None
        rises = all(a < b for a, b in pairwise(medians))
        if len(medians) < STEPS or not rises or medians[-1] - medians[0] < GROWTH_MS:
            return None
        self._normal_ms = medians[0]
        grown_s = (medians[-1] - medians[0]) / 1e3
        over_s = STEP_S * (STEPS - 1)
        self.warning = f"pictures grow older: by {grown_s:.1f} s within {over_s:.0f} s"
        return self.warning
