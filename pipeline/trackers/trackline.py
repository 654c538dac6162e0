"""Our own tracker: the parts of other trackers that measured best together, and one more.

Two stages of matching as in ByteTrack (Zhang et al. 2022); overlap weighed by how alike the
heights are, after Hybrid-SORT (Yang et al. 2024); filters on width and height as in BoT-SORT
(Aharon et al. 2022); and the camera's motion, from the picture and from what all tracks' errors
have in common, so that it works on boxes alone. Each part can be switched off.
"""

from __future__ import annotations

from typing import Literal

from pipeline.trackers._columns import Float64
from pipeline.trackers._filters import BoxFilters, HeightFilters, SizeFilters
from pipeline.trackers._ledger import ROW, Seen
from pipeline.trackers._pairs import Matches, Pairs
from pipeline.trackers._shared_motion import shared_motion
from pipeline.trackers._two_stage import TwoStage, TwoStageOptions


class Options(TwoStageOptions):
    """What can be set about the tracker `trackline`."""

    camera_motion: Literal["auto", "off"] = "auto"
    """auto: find out from the picture how the camera moved, and move the tracks along. A fixed
    camera costs next to nothing, a moving one some milliseconds a frame."""
    shared_motion: bool = True
    """Move all tracks along with what most of them are off by: a camera that shakes or pans."""
    height_aware: bool = True
    """Weigh the overlap of two boxes by how alike their heights are."""
    size_filter: bool = True
    """Filter width and height; without, height and aspect ratio as ByteTrack does."""


def build(options: Options) -> Trackline:
    """Return a tracker for one source."""
    return Trackline(options)


class Trackline(TwoStage):
    """The tracker for one source."""

    def __init__(self, options: Options) -> None:
        self._own = options
        super().__init__(options)

    def _new_filters(self) -> BoxFilters:
        return SizeFilters() if self._own.size_filter else HeightFilters()

    def _match(self, matches: Matches, predicted: Float64, seen: Seen) -> None:
        if self._own.shared_motion:
            sure = (seen.score >= self._own.high_score).nonzero()[0]
            tracked = (self._ledger.table[ROW] >= 0).nonzero()[0]
            motion = shared_motion(predicted.take(tracked, 1), seen.xyxy.take(sure, 1))
            if motion:
                self._warp(motion)
                predicted = motion.boxes(predicted)
        super()._match(matches, predicted, seen)

    def _similar(self, predicted: Float64, seen: Seen) -> Pairs:
        pairs = super()._similar(predicted, seen)
        if self._own.height_aware:
            pairs.weigh_by_height(predicted, seen.xyxy)
        return pairs
