"""Usual time between a source's pictures, and how long to wait for the next one."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

MAX_STEPS = 2.5
"""Usual steps after which the next picture is overdue."""
_PICTURES = 6


class UsualStep:
    """Median time between the last few pictures of a source; not safe from several threads.

    Of many cameras only a picture every ten seconds is wanted (`max_fps`, `keyframes_only`). A
    fixed time limit would take each of these gaps for an outage.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_PICTURES)
        self._epoch = 0

    def add(self, at_s: float, epoch: int) -> None:
        """Add a picture; the outage before a new epoch is no step."""
        if epoch != self._epoch:
            self._times.clear()
            self._epoch = epoch
        self._times.append(at_s)

    def max_wait_s(self, min_s: float) -> float:
        """Return after how long without a picture the next one is overdue, at least `min_s`."""
        steps = sorted(after - before for before, after in pairwise(self._times))
        return max(min_s, MAX_STEPS * steps[len(steps) // 2]) if steps else min_s
