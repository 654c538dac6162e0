"""ByteTrack: matches confident detections first, then uncertain ones with the remaining tracks.

Zhang, Sun, Jiang, Yu, Weng, Yuan, Luo, Liu, Wang: ByteTrack: Multi-Object Tracking by Associating
Every Detection Box, ECCV 2022.
"""

from __future__ import annotations

from pipeline.core.interfaces import Embedder
from pipeline.trackers._kalman import AspectHeightFilters, BoxFilters
from pipeline.trackers._tracker import TwoStageOptions, TwoStageTracker


class Options(TwoStageOptions):
    """Options of ByteTrack. Give the detector a `conf` of 0.1, otherwise less is recovered."""


def build(options: Options, embedder: Embedder | None = None) -> ByteTrack:
    """Return a tracker for one source."""
    return ByteTrack(options, embedder)


class ByteTrack(TwoStageTracker):
    """ByteTrack for one source."""

    def _new_filters(self) -> BoxFilters:
        return AspectHeightFilters()
