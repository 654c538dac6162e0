"""The options that every tracker has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.options import OptionsModel
from pipeline.trackers._clock import Clock, FrameRule, Limits


class TrackerOptions(OptionsModel):
    """What can be set about every tracker."""

    max_age_s: float = Field(1.0, ge=0)
    """Seconds a track survives without a detection."""
    coast_s: float | None = Field(0.2, ge=0)
    """Seconds of these in which it is still reported, as coasting; null for all of them. A
    constant velocity is soon wrong: what is reported for long are mostly ghosts."""
    confirm_s: float = Field(0.1, ge=0)
    """Seconds for which a new track must be detected in every frame before it is reported."""
    frames: FrameRule | None = None
    """Count frames instead: replaces all three, ignores the frames' times."""
    classes: Literal["separate", "together"] = "together"
    """together: a track takes detections of its own class first, and those of others that overlap
    it by more than half: what is called a car now and a truck later keeps its id. Its class is the
    one with the greatest sum of scores so far. separate: of its own class only."""
    same_object_iou: float = Field(0.85, gt=0, le=1)
    """A detection that overlaps one of another class by more than this shows the same object: if
    that one has a track, or is the better of two new ones, it begins none. 1: every one does."""
    nominal_fps: float = Field(30.0, gt=0)
    """Frame rate that the filter's noise is meant for; frames farther apart add more of it."""
    camera_motion: Literal["auto", "off"] = "off"
    """auto: find out from the picture how the camera moved, and move the tracks along. A fixed
    camera costs next to nothing, a moving one some milliseconds a frame."""

    def clock(self) -> Clock:
        """Return a clock for one tracker."""
        limits = Limits(self.max_age_s, self.confirm_s, self.coast_s)
        return Clock(limits, self.frames, self.nominal_fps)
