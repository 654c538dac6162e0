"""Container timestamps to seconds that never run backwards."""

from __future__ import annotations

from fractions import Fraction

# Steps back up to this are noise of the muxer; longer ones are a clock that was set anew.
_JITTER_S = 1.0


class PresentationClock:
    """Turns a stream's timestamps into seconds since its start.

    `start` is the stream's first timestamp where the container says so, else the first that
    comes. A frame without a timestamp is put one nominal step after the one before it; a step
    back of less than a second repeats the time before it; a longer one (joined files, a counter
    that wrapped) goes on one nominal step later.
    """

    def __init__(self, time_base: Fraction, start: int | None, step_s: float) -> None:
        self._time_base = time_base
        self._start = start
        self._step_s = step_s
        self._shift_s = 0.0
        self._last_s: float | None = None

    def seconds(self, pts: int | None) -> float:
        """Return the presentation time in seconds, never less than the one before."""
        last = self._last_s
        if pts is None:
            now = 0.0 if last is None else last + self._step_s
        else:
            if self._start is None:
                self._start = pts
            now = float((pts - self._start) * self._time_base) + self._shift_s
        if last is not None and now < last:
            if last - now > _JITTER_S:
                self._shift_s += last + self._step_s - now
                now = last + self._step_s
            else:
                now = last
        self._last_s = now
        return now
