"""Options of every tracker, and the clock that their time limits refer to.

Limits are in seconds of the frames' own times, or in frames if the user asks for that.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.options import Needs, OptionsModel, PluginChoice

# Containers round times to a millisecond, so three frames at 30 fps may be 0.099 s.
_ROUNDING_S = 0.002
# Over a longer gap a velocity says nothing; it also keeps the numbers of a mad clock finite.
_MAX_STEP_S = 10.0
_MAX_GAP_S = 1e6

Float64 = NDArray[np.float64]


class FrameRule(OptionsModel):
    """Thresholds in frames, as in the 2016 paper; the frames' times are then ignored."""

    max_age: int = Field(1, ge=0)
    """Frames that a track survives without a detection."""
    min_hits: int = Field(3, ge=0)
    """Consecutive frames, after its first, in which a track must be detected to be confirmed."""


class Limits(NamedTuple):
    """Time limits of a track: removal when lost, confirmation, reporting while coasting."""

    max_age: float
    confirm: float
    coast: float | None


class TrackClock:
    """Clock of one tracker: frame times as steps that never go back, in seconds or frames.

    `now` and the limits share one unit: seconds since the first frame, or frames. `step` is the
    time since the last frame in nominal frames, the unit of the Kalman filters. `now_s` is always
    in seconds; `first` is true in the first frame, whatever its time.
    """

    def __init__(self, limits: Limits, frames: FrameRule | None, nominal_fps: float) -> None:
        self._in_frames = frames is not None
        self._nominal_fps = nominal_fps
        if frames is not None:
            limits = Limits(frames.max_age, frames.min_hits, None)
        slack = 0.0 if self._in_frames else _ROUNDING_S
        coast = limits.max_age if limits.coast is None else limits.coast
        self.max_age = limits.max_age + slack
        self.coast = min(coast + slack, self.max_age)
        self.confirm = max(limits.confirm - slack, 0.0)
        self.restart()

    @property
    def memory_s(self) -> float | None:
        """Return after how many unseen seconds every track is gone; None if frames count."""
        return None if self._in_frames else self.max_age

    def restart(self) -> None:
        """Restart at zero; the next frame is a first one."""
        self._pts_s: float | None = None
        self.now_s = 0.0
        self.now = 0.0
        self.step = 0.0
        self.first = True

    def advance(self, pts_s: float) -> None:
        """Advance to a frame. A time that goes back, repeats or is not a number takes no time."""
        self.first = self._pts_s is None
        if not math.isfinite(pts_s):
            pts_s = self._pts_s or 0.0
        gap = 0.0 if self._pts_s is None else min(max(pts_s - self._pts_s, 0.0), _MAX_GAP_S)
        self._pts_s = pts_s
        self.now_s += gap
        if self._in_frames:
            self.now += 0.0 if self.first else 1.0
            self.step = 1.0
        else:
            self.now += gap
            self.step = min(gap, _MAX_STEP_S) * self._nominal_fps

    def save(self) -> Float64:
        """Return the clock's state, f64[4]; NaN before its start."""
        pts_s = math.nan if self._pts_s is None else self._pts_s
        return np.array([pts_s, self.now_s, self.now, self.step])

    def load(self, state: Float64) -> None:
        """Restore the state that `save` returned."""
        pts_s, self.now_s, self.now, self.step = state.tolist()
        self._pts_s = None if math.isnan(pts_s) else pts_s


class TrackerOptions(OptionsModel):
    """Options of every tracker."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(
            ("max_age_s", "coast_s", "confirm_s"),
            "frames",
            lambda frames: frames is None,
            "frames: null",
        ),
        Needs(
            ("same_object_iou",),
            "classes",
            lambda classes: classes == "together",
            "classes: together",
        ),
        Needs(("remember_s",), "embedder", lambda embedder: embedder is not None, "an embedder"),
    )

    max_age_s: float = Field(1.0, ge=0)
    """Seconds that a track survives without a detection."""
    coast_s: float | None = Field(0.2, ge=0)
    """Seconds of these during which it is reported as coasting; null for all of them. A constant
    velocity is soon wrong: tracks that coast for long are mostly ghosts."""
    confirm_s: float = Field(0.1, ge=0)
    """Seconds for which a new track must be detected in every frame before it is reported."""
    frames: FrameRule | None = None
    """Count frames instead: replaces all three, and ignores the frames' times."""
    classes: Literal["separate", "together"] = "together"
    """together: a track takes detections of its own class first, and those of others that overlap
    it by more than half: an object called a car now and a truck later keeps its id. Its class is
    the one with the greatest sum of scores so far. separate: of its own class only."""
    same_object_iou: float = Field(0.85, gt=0, le=1)
    """A detection that overlaps one of another class by more than this is the same object: if that
    one has a track, or is the better of two new ones, it starts none. 1: all start one."""
    nominal_fps: float = Field(30.0, gt=0)
    """Frame rate that the filter's noise is meant for; frames further apart add more of it."""
    camera_motion: Literal["auto", "off"] = "off"
    """auto: estimate the camera's motion from the picture and move the tracks along. A fixed camera
    costs next to nothing, a moving one some milliseconds a frame."""
    embedder: PluginChoice | None = None
    """Re-identify objects by appearance after they were lost or in contact with others: appearance
    (colours and edges, without weights), or {kind: reid, model: osnet-x0.25}. Null: motion
    alone."""
    remember_s: float = Field(10.0, ge=0)
    """Seconds for which an object that disappeared can get its old id back, with an embedder."""

    def clock(self) -> TrackClock:
        """Return a new clock for one tracker."""
        limits = Limits(self.max_age_s, self.confirm_s, self.coast_s)
        return TrackClock(limits, self.frames, self.nominal_fps)
