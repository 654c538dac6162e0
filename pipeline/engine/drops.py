"""Dropped frames of a source: a log by index, and the share of the last ten seconds."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import NamedTuple

WINDOW_S = 10
MIN_DROPPED = 3
WARN_FROM = 0.1
WARN_UNTIL = 0.05
MAX_RUNS = 64


class _Run(NamedTuple):
    """Frames `first` to `last`, dropped one after the other for one cause."""

    first: int
    last: int
    cause: str


class DropLog:
    """Dropped frames by index, reported once, as counts by cause, with the next result.

    Constant memory. Not thread-safe: `SourceStats` locks it.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._settled: Counter[str] = Counter()

    def add(self, index: int, cause: str) -> None:
        """Add the dropped frame `index`."""
        last = self._runs[-1] if self._runs else None
        if last is not None and last.cause == cause and last.last + 1 == index:
            self._runs[-1] = last._replace(last=index)
            return
        self._runs.append(_Run(index, index, cause))
        if len(self._runs) > MAX_RUNS:
            # Nothing was delivered for long. No frame in flight is older than the oldest half.
            half = MAX_RUNS // 2
            for run in self._runs[:half]:
                self._settled[run.cause] += run.last - run.first + 1
            del self._runs[:half]

    def __len__(self) -> int:
        """Return how many runs of dropped frames are held, at most `MAX_RUNS`."""
        return len(self._runs)

    def before(self, index: int) -> dict[str, int]:
        """Return the number of frames dropped before `index`, by cause, and forget them."""
        if not self._runs and not self._settled:
            return {}
        counts, self._settled = self._settled, Counter()
        later = []
        for run in self._runs:
            if run.first < index:
                counts[run.cause] += min(run.last, index - 1) - run.first + 1
            if run.last >= index:
                later.append(run._replace(first=max(run.first, index)))
        self._runs = later
        return dict(counts)


class DropRate:
    """Share of frames dropped in the last ten seconds, counted by the second; any thread."""

    def __init__(self) -> None:
        # [second, delivered, dropped], oldest first.
        self._seconds: deque[list[int]] = deque(maxlen=WINDOW_S)
        self._began: float | None = None
        self._warns = False
        # Re-entrant: a signal handler that stops the run drops waiting frames, whatever it
        # interrupted.
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
        """Return the share of recent frames that were dropped, 0..1; 0 if none came."""
        delivered, dropped = self._sums(now)
        return dropped / max(delivered + dropped, 1)

    def check(self, now: float) -> str | None:
        """Return a warning, once, if many frames are being dropped.

        The first seconds are not judged: a network's first batches take longer.
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
        """Return the warning that frames are being dropped, None while few are."""
        share = self.dropped_share(now)
        if not self._warns or share < WARN_UNTIL:
            return None
        return f"{share:.0%} of pictures dropped in {WINDOW_S} s: objects may be missed"

    def _sums(self, now: float) -> tuple[int, int]:
        """Return (delivered, dropped) of the last seconds."""
        with self._lock:
            seconds = [each for each in self._seconds if each[0] > now - WINDOW_S]
            return sum(each[1] for each in seconds), sum(each[2] for each in seconds)
