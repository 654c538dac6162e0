"""Presentation times of a live stream: strictly increasing, whatever its timestamps do."""

from __future__ import annotations

import time
from fractions import Fraction

MIN_STEP_S = 0.001
_JUMP_S = 0.5
"""A timestamp this far ahead of the pictures' arrival means that the clock was reset."""
MAX_PACE_S = 1.0
_WINDOW_S = 1.0
_MIN_PICTURES = 5
"""Minimum pictures in a window for a judgement: the first one after a stall is always late."""
_GAIN = 0.3
_SLOWEST, _FASTEST = -0.8, 2.0


class StreamClock:
    """Clock of a stream: seconds since open from timestamps and arrival times.

    The timestamps' steps are used, because arrivals jitter with the network, unless they are
    missing, repeat, step back or jump ahead of the arrivals: then the arrivals' own steps are used.
    Drift of the sum is corrected slowly, judged on the promptest picture of each second, because a
    picture can be delayed on its way but cannot come early. So a camera that stamps 25 pictures a
    second and sends 12 is followed at 12.
    """

    def __init__(self, time_base: Fraction | None) -> None:
        self._time_base = time_base
        self._pts: int | None = None
        self._arrived_s = 0.0
        self._now_s: float | None = None
        self._window_ends_s = 0.0
        self._min_late_s = float("inf")
        self._judged = 0
        self._slew = 0.0

    def seconds(self, pts: int | None, arrived_s: float) -> float:
        """Return the picture's time; `arrived_s` is when it arrived, in seconds since open."""
        if self._now_s is None:
            self._now_s = arrived_s
            self._window_ends_s = arrived_s + _WINDOW_S
        else:
            step = self._step(pts, arrived_s - self._arrived_s)
            late_s = max(arrived_s - self._now_s - step, 0.0)  # a long step makes up for no more
            self._now_s += max(step + min(step * self._slew, late_s), MIN_STEP_S)
            self._judge(arrived_s)
        self._pts = pts
        self._arrived_s = arrived_s
        return self._now_s

    def _step(self, pts: int | None, waited_s: float) -> float:
        if pts is None or self._pts is None or self._time_base is None:
            return waited_s
        assert self._now_s is not None
        step = float((pts - self._pts) * self._time_base)
        ahead_s = self._now_s + step - (self._arrived_s + waited_s)
        sane = step > 0.0 and ahead_s <= _JUMP_S
        return step if sane else waited_s

    def _judge(self, arrived_s: float) -> None:
        """At the end of a window, set how much faster or slower than the timestamps to run."""
        assert self._now_s is not None
        self._min_late_s = min(self._min_late_s, arrived_s - self._now_s)
        self._judged += 1
        if arrived_s < self._window_ends_s:
            return
        self._window_ends_s = arrived_s + _WINDOW_S
        if self._judged >= _MIN_PICTURES:
            self._slew = min(max(_GAIN * self._min_late_s, _SLOWEST), _FASTEST)
            self._min_late_s = float("inf")
            self._judged = 0


class ArrivalClock:
    """A stream's clock for packets that arrive now; `began` is when it was opened."""

    def __init__(self, clock: StreamClock, began: float) -> None:
        self._clock = clock
        self._began = began

    def seconds(self, pts: int | None, _dts: int | None = None) -> float:
        """Return the time of the packet that has just arrived, in seconds since open."""
        return self._clock.seconds(pts, time.monotonic() - self._began)


class Pacer:
    """Release times of pictures that arrive a segment at a time, as with HLS.

    Released as they come, all but the newest of each segment would be dropped after the source. A
    step of more than `max_step_s` is a clock that was reset, or a gap that has passed already.
    """

    def __init__(self, time_base: Fraction | None, max_step_s: float = MAX_PACE_S) -> None:
        self._time_base = time_base
        self._max_step_s = max_step_s
        self._pts: int | None = None
        self._due = 0.0

    def due(self, pts: int | None, now: float) -> float:
        """Return the monotonic time at which to release the picture, `now` if it comes late."""
        step = 0.0
        if pts is not None and self._pts is not None and self._time_base is not None:
            step = float((pts - self._pts) * self._time_base)
        self._pts = pts
        paced = self._due + step
        self._due = paced if now < paced and 0.0 < step <= self._max_step_s else now
        return self._due
