"""Presentation times of a file: container timestamps as seconds that never run backwards."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from av.container import Container, InputContainer
    from av.video.stream import VideoStream

# Backward steps up to this are muxer noise; longer ones are a clock that was reset.
_JITTER_S = 1.0
# More than reordered pictures explain.
_NOTED_S = 0.3

USUAL_FPS = 25.0
# Raw streams have no times; FFmpeg counts them at a rate of its own, 25 by default.
_WITHOUT_TIMES = frozenset(
    ("h264", "hevc", "vvc", "m4v", "mpegvideo", "mjpeg", "mjpeg_2000", "obu", "cavsvideo", "dirac",
     "vc1", "h263", "h261", "rawvideo")
)  # fmt: skip
# AVI counts its packets as they are decoded; a `pts` of it is FFmpeg's guess.
_WITHOUT_PRESENTATION_TIMES = frozenset(("avi",))


def says_times(container: InputContainer) -> bool:
    """Return whether the container has times; raw streams do not."""
    return container.format.name not in _WITHOUT_TIMES


def says_presentation_times(container: Container) -> bool:
    """Return whether a packet says when its picture is shown, and not only when it is decoded."""
    return container.format.name not in _WITHOUT_PRESENTATION_TIMES


def nominal_rate(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the declared frame rate of a file, None if it has none.

    For a raw stream it comes from the codec's own headers (timing in the SPS of H.264).
    """
    if says_times(container):
        rate = stream.average_rate or stream.guessed_rate
    else:
        rate = stream.codec_context.framerate
    return float(rate) if rate else None


def file_clock(
    container: InputContainer, stream: VideoStream, fps: float | None
) -> PresentationClock:
    """Return the clock of a file's pictures.

    With `fps` they are evenly spaced, whatever the file says.
    """
    rate = fps or nominal_rate(container, stream) or USUAL_FPS
    time_base = stream.time_base or Fraction(1, 1000)
    has_pts = says_presentation_times(container)
    return PresentationClock(
        time_base,
        stream.start_time if has_pts else None,
        1 / rate,
        uses="nothing" if fps or not says_times(container) else "pts" if has_pts else "dts",
    )


@dataclass(frozen=True, slots=True)
class StepsBack:
    """Backward steps of a file's times: how many, the longest, and the time of the first."""

    count: int
    longest_s: float
    at_s: float

    @classmethod
    def after(cls, before: StepsBack | None, at_s: float, step_s: float) -> StepsBack:
        """Return the steps with one more added."""
        if before is None:
            return cls(1, step_s, at_s)
        return cls(before.count + 1, max(before.longest_s, step_s), before.at_s)

    def __str__(self) -> str:
        often = "" if self.count == 1 else f" {self.count} times"
        return (
            f"times go back{often}, first at {self.at_s:.3f} s, by up to {self.longest_s:.3f} s: "
            "files were joined, a clock was set, or parts are out of order"
        )


class BestEffort:
    """Chooses between a picture's pts and dts, like FFmpeg's `best_effort_timestamp`.

    Both are watched: the one that fails to increase more often is the faulty one; in doubt the pts
    is used. AVFrame.best_effort_timestamp, https://ffmpeg.org/doxygen/trunk/structAVFrame.html
    """

    def __init__(self) -> None:
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._faulty_pts = self._faulty_dts = 0

    def choose(self, pts: int | None, dts: int | None) -> int | None:
        """Return the time of the next picture in presentation order, None if it has none."""
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        elif pts is not None:
            self._last_dts = pts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        elif dts is not None:
            self._last_pts = dts
        trusted = self._faulty_pts <= self._faulty_dts or dts is None
        return pts if pts is not None and trusted else dts


class PresentationClock:
    """Turns a stream's timestamps into seconds since its start.

    `start` is the stream's first timestamp if the container says so, else the first that comes. A
    frame without a timestamp is placed one nominal step after the previous one; a backward step of
    less than a second repeats the previous time; a longer one (joined files, a counter that
    wrapped) continues one nominal step later. `uses` says which timestamps are meaningful: the
    better of pts and dts ("pts"), the dts alone, or "nothing": then all steps are nominal.
    """

    def __init__(
        self,
        time_base: Fraction,
        start: int | None,
        step_s: float,
        uses: Literal["pts", "dts", "nothing"] = "pts",
    ) -> None:
        self._best = BestEffort()
        self._uses = uses
        self._count = 0
        self._time_base = time_base
        self._start = start
        self._step_s = step_s
        self._shift_s = 0.0
        self._last_s: float | None = None
        self.back: StepsBack | None = None

    @property
    def start_s(self) -> float | None:
        """Return second 0 on the container's own clock, None before the first and without times."""
        return None if self._start is None else float(self._start * self._time_base)

    def seconds(self, pts: int | None, dts: int | None = None) -> float:
        """Return the presentation time in seconds, never less than the one before."""
        if self._uses == "nothing":
            self._count += 1
            return (self._count - 1) * self._step_s
        pts = dts if self._uses == "dts" else self._best.choose(pts, dts)
        last = self._last_s
        if pts is None:
            now = 0.0 if last is None else last + self._step_s
        else:
            if self._start is None or (last is None and pts < self._start):
                self._start = pts
            now = float((pts - self._start) * self._time_base) + self._shift_s
        if last is not None and now < last:
            if last - now > _NOTED_S:
                self.back = StepsBack.after(self.back, last, last - now)
            if last - now > _JITTER_S:
                self._shift_s += last + self._step_s - now
                now = last + self._step_s
            else:
                now = last
        self._last_s = now
        return now
