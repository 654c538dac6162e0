"""How long to wait before a lost camera is tried again."""

from __future__ import annotations

import random


class Backoff:
    """How long to wait before each try: doubled from `first_s` up to `longest_s`."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the seconds to wait now, and wait longer the next time."""
        seconds = min(self._next_s, self._longest_s)
        self._next_s = seconds * 2
        # Jitter: cameras behind one switch must not all come back in the same instant.
        return seconds * random.uniform(0.8, 1.2)

    def reset(self) -> None:
        """Begin at `first_s` again: the last try was a success."""
        self._next_s = self._first_s
