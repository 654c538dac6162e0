"""Rate limit by the frames' own times: so many a second at most, on average."""

from __future__ import annotations

_TOLERANCE = 0.1
"""Share of a step by which a frame may come early: containers round their times."""


class RateLimit:
    """Chooses frames by their times in seconds: the first one, then as often as `max_fps` says.

    On average as often as that, whatever the frame rate; what was missed is not made up.
    """

    def __init__(self) -> None:
        self._due_s: float | None = None

    def is_due(self, at_s: float, max_fps: float) -> bool:
        """Return whether enough time has passed for a frame of this time."""
        return self._due_s is None or at_s >= self._due_s - _TOLERANCE / max_fps

    def take(self, at_s: float, max_fps: float) -> None:
        """Note that the frame of this time was chosen."""
        step_s = 1 / max_fps
        due_s = at_s if self._due_s is None else self._due_s
        self._due_s = max(due_s, at_s - step_s) + step_s
