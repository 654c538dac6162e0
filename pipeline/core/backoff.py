"""Retry delays: exponential backoff with jitter.

Cameras are retried by `Grabber._grab_live` (engine/grabber.py) with `retry_first_s` and
`retry_longest_s` (engine/options.py). Deliveries, the event store and downloads wait by the same
formula with delays of their own.
"""

from __future__ import annotations

import random

MAX_DOUBLINGS = 16
"""Keeps the power small however often something has failed."""


def retry_delay_s(failures: int, first_s: float, max_s: float) -> float:
    """Return the seconds to wait after so many failures in a row: doubled each time up to `max_s`.

    Up to a fifth less, at random: cameras behind one switch must not all come back in the same
    instant.
    """
    seconds = min(first_s * 2.0 ** min(failures - 1, MAX_DOUBLINGS), max_s)
    return seconds * random.uniform(0.8, 1.0)


class Backoff:
    """The failures in a row of one thing that is tried again and again, and the delay they give."""

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._failures = 0

    def next_s(self) -> float:
        """Return the seconds to wait now, and wait longer the next time."""
        self._failures += 1
        return retry_delay_s(self._failures, self._first_s, self._max_s)

    def reset(self) -> None:
        """Start over with the first delay: the last try was a success."""
        self._failures = 0
