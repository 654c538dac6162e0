"""Rate limit by the frames' own times: a maximum number per second, on average."""

from __future__ import annotations

_TOLERANCE = 0.1
"""Tolerance for early frames, as a share of the interval: containers round their times."""


class RateLimit:
    """Selects frames by their times in seconds: the first one, then `max_fps` per second.

    The average rate is met whatever the frame rate; missed frames are not made up for.
    """

    def __init__(self) -> None:
        self._due_s: float | None = None

    def is_due(self, at_s: float, max_fps: float) -> bool:
        """Return whether a frame at this time is due."""
        return self._due_s is None or at_s >= self._due_s - _TOLERANCE / max_fps

    def take(self, at_s: float, max_fps: float) -> None:
        """Record that the frame at this time was selected."""
        step_s = 1 / max_fps
        due_s = at_s if self._due_s is None else self._due_s
        self._due_s = max(due_s, at_s - step_s) + step_s
