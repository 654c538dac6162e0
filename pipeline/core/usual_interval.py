"""Usual interval between a source's pictures, and how long to wait for the next one."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

MAX_INTERVALS = 2.5
"""A picture is overdue after this multiple of the usual interval."""
_PICTURES = 6


class UsualInterval:
    """Median interval between the last few pictures of a source; not thread-safe.

    Some cameras deliver a picture every ten seconds only (`max_fps`, `keyframes_only`); a fixed
    time limit would take each interval for an outage.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_PICTURES)
        self._epoch = 0

    def add(self, at_s: float, epoch: int) -> None:
        """Add a picture; the outage before a new epoch is no interval."""
        if epoch != self._epoch:
            self._times.clear()
            self._epoch = epoch
        self._times.append(at_s)

    def max_wait_s(self, min_s: float) -> float:
        """Return after how many seconds the next picture is overdue, at least `min_s`."""
        intervals = sorted(after - before for before, after in pairwise(self._times))
        if not intervals:
            return min_s
        return max(min_s, MAX_INTERVALS * intervals[len(intervals) // 2])
