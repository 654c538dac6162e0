"""Retry delays: exponential backoff with jitter.

Cameras are retried by `Grabber._grab_live` (engine/grabber.py) with `retry_first_s` and
`retry_longest_s` (engine/options.py). Deliveries, the event store and downloads use the same
formula with delays of their own.
"""

from __future__ import annotations

import random

MAX_DOUBLINGS = 16
"""Limit of the exponent, so that the power cannot overflow."""


def retry_delay_s(failures: int, first_s: float, max_s: float) -> float:
    """Retry delay in seconds after `failures` failures in a row: doubled each time, up to `max_s`.

    Random jitter shortens it by up to a fifth, so that cameras behind one switch do not all
    reconnect in the same instant.
    """
    seconds = min(first_s * 2.0 ** min(failures - 1, MAX_DOUBLINGS), max_s)
    return seconds * random.uniform(0.8, 1.0)


class Backoff:
    """Counts consecutive failures of one thing and gives the delay before its next try."""

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._failures = 0

    def next_s(self) -> float:
        """Count a failure and return the seconds to wait before the next try."""
        self._failures += 1
        return retry_delay_s(self._failures, self._first_s, self._max_s)

    def reset(self) -> None:
        """Start over with the first delay after a success."""
        self._failures = 0
