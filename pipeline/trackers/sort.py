"""SORT: Kalman filters and one assignment by overlap, all tracks of a frame at once.

Bewley, Ge, Ott, Ramos, Upcroft: Simple Online and Realtime Tracking, ICIP 2016.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipeline.core.data import Detections
from pipeline.core.interfaces import Embedder
from pipeline.core.options import Needs
from pipeline.trackers._association import Matches
from pipeline.trackers._kalman import AreaRatioFilters, BoxFilters
from pipeline.trackers._options import FrameRule, TrackerOptions
from pipeline.trackers._track_table import Float64, Observations, ReportRules, Rows
from pipeline.trackers._tracker import BaseTracker

__all__ = ["FrameRule", "Options", "Sort", "build"]


class Options(TrackerOptions):
    """Options of SORT."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(("coast_s",), "published", lambda published: not published, "published: false"),
    )

    min_iou: float = Field(0.3, ge=0, lt=1)
    """Minimum IoU between a track's predicted box and a detection."""
    box: Literal["filtered", "measured"] = "filtered"
    """Box to report for a detected track: the filter's or the detection's own."""
    published: bool = False
    """Act like the published code: gate after the assignment, report no coasting tracks, and the
    others only after min_hits in a row (again after each miss) or in the first min_hits frames.
    With `frames: {max_age: 1, min_hits: 3}` it gives the published figures."""


def build(options: Options, embedder: Embedder | None = None) -> Sort:
    """Return a tracker for one source."""
    return Sort(options, embedder)


class Sort(BaseTracker):
    """SORT for one source."""

    def __init__(self, options: Options, embedder: Embedder | None) -> None:
        super().__init__(options, ReportRules(published=options.published), embedder)
        self._options = options

    def _new_filters(self) -> BoxFilters:
        return AreaRatioFilters()

    def _match(self, matches: Matches, predicted: Float64, seen: Observations) -> None:
        pairs, min_iou = self._pairs(predicted, seen), self._options.min_iou
        if self._options.published:
            matches.match(pairs, pairs.overlap, gate=pairs.overlap >= min_iou)
        else:
            matches.match(pairs, pairs.overlap - min_iou)

    def _reported_boxes(self, rows: Rows, detections: Detections) -> Float64:
        if self._options.box == "measured":
            return self._measured_boxes(rows, detections)
        return super()._reported_boxes(rows, detections)
