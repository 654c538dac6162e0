"""Frame times of an output file: the source's own, but strictly increasing from 0."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.core.data import Frame

TICKS = 90_000  # per second; 29.97 and 23.976 fps come out exact
_USUAL_STEP_S = 1 / 30
_MAX_STEP_S = 3600.0  # MP4 has 32 bits for one frame's duration
_DISORDER_S = 0.5


class _Moment(NamedTuple):
    """The facts kept about a frame, without its picture."""

    pts_s: float
    captured_at: float
    epoch: int


class FrameTimes:
    """Clock of an output file: 1/90000 s ticks of each frame, strictly increasing."""

    def __init__(self) -> None:
        self.step_s = _USUAL_STEP_S
        self._ticks = -1
        self._shift_s = 0.0
        self._last: _Moment | None = None

    def ticks(self, frame: Frame) -> int:
        """Return the frame's time in 1/90000 s from the file's first frame.

        A time that is repeated or a little early comes one tick after its predecessor. After a
        reconnect, where a camera's times start anew, the gap is the one between the arrivals.
        """
        last, self._last = self._last, _Moment(frame.pts_s, frame.captured_at, frame.epoch)
        if last is None:
            self._shift_s = -frame.pts_s
        else:
            step = frame.pts_s - last.pts_s
            if frame.epoch != last.epoch:
                step = frame.captured_at - last.captured_at
            elif step < -_DISORDER_S:  # the container starts anew
                step = self.step_s
            step = min(step, _MAX_STEP_S)
            self._shift_s += step - (frame.pts_s - last.pts_s)
            if step > 0:
                self.step_s = step
        self._ticks = max(round((frame.pts_s + self._shift_s) * TICKS), self._ticks + 1)
        return self._ticks
