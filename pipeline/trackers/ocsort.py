"""OC-SORT: SORT that trusts what it has seen more than what its filter believes.

Cao, Pang, Weng, Khirodkar, Kitani: Observation-Centric SORT: Rethinking SORT for Robust
Multi-Object Tracking, CVPR 2023.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipeline.data import Detections
from pipeline.trackers._columns import Columns, Float64, Rows
from pipeline.trackers._filters import BoxFilters, ScaleFilters
from pipeline.trackers._ledger import Rules, Seen
from pipeline.trackers._observations import Observations
from pipeline.trackers._options import TrackerOptions
from pipeline.trackers._pairs import Matches
from pipeline.trackers._similarity import Similarity
from pipeline.trackers._tracking import Tracking


class Options(TrackerOptions):
    """What can be set about OC-SORT."""

    min_score: float = Field(0.6, ge=0, le=1)
    """Detections below this score are not looked at."""
    min_iou: float = Field(0.3, ge=0, lt=1)
    """Least overlap of a track's box and a detection that may be one object."""
    inertia: float = Field(0.2, ge=0)
    """Weight of a match's keeping the track's direction, beside the overlap; 0: none."""
    direction_s: float = Field(0.1, gt=0)
    """Seconds over which a track's direction is measured (in frame mode: three frames)."""
    recover: bool = True
    """Match what is left by where the tracks were last seen."""
    reupdate: bool = True
    """Let the filter of a track that is seen again forget what it believed meanwhile."""
    published: bool = False
    """Report as the published code: no coasting tracks, the others only after min_hits in a row
    (again after each miss) or in the first min_hits frames."""


def build(options: Options) -> OcSort:
    """Return a tracker for one source."""
    return OcSort(options)


class OcSort(Tracking):
    """OC-SORT for one source. What it reports of a detected track is the detection's own box."""

    def __init__(self, options: Options) -> None:
        self._options = options
        super().__init__(options, Rules(published=options.published))

    def _memory(self) -> dict[str, Columns]:
        span = 3 if self._options.frames else self._options.direction_s
        self._observed = Observations(span)
        return {"observed": self._observed}

    def _read(self, detections: Detections) -> Seen:
        seen = super()._read(detections)
        sure = seen.score >= self._options.min_score
        return seen if sure.all() else seen.take(sure.nonzero()[0])

    def _warp(self, motion: Similarity) -> None:
        super()._warp(motion)
        self._observed.warp(motion)

    def _predict(self) -> Float64:
        self._observed.advance(self._clock.step)
        return super()._predict()

    def _new_filters(self) -> BoxFilters:
        return ScaleFilters()

    def _match(self, matches: Matches, predicted: Float64, seen: Seen) -> None:
        options, observed = self._options, self._observed
        pairs = self._pairs(predicted, seen)
        near = pairs.overlap > options.min_iou
        straight = observed.direction(self._clock.now, seen.xyxy, pairs.i, pairs.j)
        straight *= np.minimum(seen.score.take(pairs.j), 1)
        matches.match(pairs, (pairs.overlap + options.inertia * straight) * near)
        if options.recover and matches.free_detection.any() and matches.free_track.any():
            pairs = self._pairs(observed.box, seen)
            matches.match(pairs, pairs.overlap - options.min_iou)

    def _correct(self, tracks: Rows, matched: Seen) -> None:
        if self._options.reupdate:
            self._observed.reupdate(tracks, matched.xyxy, matched.score, self._filters)
        super()._correct(tracks, matched)
        self._observed.note(tracks, matched.xyxy, self._clock.now, self._filters)

    def _begin(self, new: Seen) -> None:
        super()._begin(new)
        self._observed.begin(new.xyxy, self._clock.now, self._filters)

    def _boxes(self, rows: Rows, detections: Detections) -> Float64:
        return self._measured(rows, detections)
