"""OC-SORT: SORT that relies on past observations more than on its filter.

Cao, Pang, Weng, Khirodkar, Kitani: Observation-Centric SORT: Rethinking SORT for Robust
Multi-Object Tracking, CVPR 2023.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.core.data import Detections
from pipeline.core.interfaces import Embedder
from pipeline.core.options import Needs
from pipeline.trackers._association import Matches
from pipeline.trackers._camera_motion import Similarity
from pipeline.trackers._kalman import AreaRatioFilters, BoxFilters
from pipeline.trackers._options import TrackerOptions
from pipeline.trackers._track_table import Columns, Float64, Observations, ReportRules, Rows
from pipeline.trackers._tracker import BaseTracker

# The columns of a track: the last observed box, the unit vector of its motion (0 at first), the
# frames and the nominal frames since, the filter as it was after that observation, and the last
# observations' times and centres, one slot per frame in turn.
_BOX, _WAY, _FRAMES, _STEPS = slice(0, 4), slice(4, 6), 6, 7
_FILTER = slice(8, 28)
_SLOTS = 8
_PAST = slice(28, 28 + 3 * _SLOTS)


class ObservationHistory(Columns):
    """Past observations of n tracks; directions are measured over `span`, in the times' unit."""

    def __init__(self, span: float) -> None:
        super().__init__(_PAST.stop)
        self._span = span

    @property
    def box(self) -> Float64:
        """f64[4,n] xyxy, the last observed boxes, a view."""
        return self.table[_BOX]

    @property
    def way(self) -> Float64:
        """f64[2,n] unit vectors (x, y) of the motion up to the last observation, a view."""
        return self.table[_WAY]

    def warp(self, motion: Similarity) -> None:
        """Apply the camera's motion to boxes, directions and past centres."""
        self.table[_BOX] = motion.boxes(self.table[_BOX])
        self.table[_WAY] = unit(motion.turn @ self.table[_WAY])
        past = self.table[_PAST].reshape(_SLOTS, 3, -1)
        past[:, 1:] = motion.turn @ past[:, 1:] + motion.shift[:, None]

    def advance(self, steps: float) -> None:
        """Start a frame that comes `steps` nominal frames after the last."""
        self.table[_FRAMES] += 1
        self.table[_STEPS] += steps

    def past_centre(self, now: float, rows: Rows) -> Float64:
        """Return f64[2,m], the centres where `rows` were observed a span before `now`.

        If nothing was observed then, the next later one is used; if all are older, the last.
        """
        table = self.table.take(rows, 1)
        past = table[_PAST].reshape(_SLOTS, 3, -1)
        at = np.where(past[:, 0] >= now - self._span, past[:, 0], np.inf)
        slot, column = at.argmin(0), np.arange(len(rows))
        known = np.isfinite(at[slot, column])
        return np.where(known, past[slot, 1:, column].T, _centre(table[_BOX]))

    def direction(self, now: float, xyxy: Float64, i: Rows, j: Rows) -> Float64:
        """Return f64[P], 0.5 if box `j` lies straight ahead of track `i`, -0.5 if right behind.

        The paper's OCM: (pi/2 - angle) / pi; 0 for tracks that have no direction yet.
        """
        ahead = _centre(xyxy).take(j, 1) - self.past_centre(now, np.arange(len(self))).take(i, 1)
        cosine = (unit(ahead) * self.way.take(i, 1)).sum(0)
        straight: Float64 = 0.5 - np.arccos(np.clip(cosine, -1, 1)) / np.pi
        return straight

    def start(self, xyxy: Float64, now: float, filters: BoxFilters) -> None:
        """Add tracks f64[4,m] first observed now; their filters have been started."""
        entry = np.zeros((len(self.table), xyxy.shape[1]))
        entry[_PAST.start :: 3] = -np.inf
        self.append(entry)
        self._write(np.arange(len(self) - xyxy.shape[1], len(self)), xyxy, now, filters)

    def record(self, rows: Rows, xyxy: Float64, now: float, filters: BoxFilters) -> None:
        """Record the boxes that `rows` are observed at; their filters have been updated."""
        self.table[_WAY, rows] = unit(_centre(xyxy) - self.past_centre(now, rows))
        self._write(rows, xyxy, now, filters)

    def _write(self, rows: Rows, xyxy: Float64, now: float, filters: BoxFilters) -> None:
        table = self.table
        table[_BOX, rows] = xyxy
        table[_FRAMES : _STEPS + 1, rows] = 0
        table[_FILTER, rows] = filters.take(rows)
        past = table[_PAST].reshape(_SLOTS, 3, -1)
        slot = past[:, 0, rows].argmin(0)  # the oldest gives way
        past[slot, 0, rows] = now
        past[slot, 1:, rows] = _centre(xyxy).T

    def reupdate(self, rows: Rows, xyxy: Float64, score: Float64, filters: BoxFilters) -> None:
        """Set the filters of unseen `rows` to where a straight path to here had led them.

        The paper's ORU: from the filter at the last observation, along boxes interpolated between
        that one and this, one for each missed frame. The last update is left to the caller.
        """
        again = (self.table[_FRAMES, rows] > 1).nonzero()[0]
        if not len(again):
            return
        rows = rows[again]
        table = self.table.take(rows, 1)
        frames, start = table[_FRAMES], table[_BOX]
        way = (xyxy.take(again, 1) - start) / frames
        replayed = type(filters)()
        replayed.load(table[_FILTER])
        no_rows = rows[:0]
        for k in range(1, int(frames.max()) + 1):
            replayed.predict_boxes(np.where(k <= frames, table[_STEPS] / frames, 0.0), no_rows)
            going = (k < frames).nonzero()[0]
            between = start.take(going, 1) + k * way.take(going, 1)
            replayed.update_boxes(going, between, score.take(again).take(going))
        filters.put(rows, replayed.save())


def unit(vector: Float64) -> Float64:
    """Return f64[2,n] vectors scaled to length 1; zero vectors stay."""
    length = np.hypot(vector[0], vector[1])
    return vector / np.where(length > 0, length, 1)


def _centre(xyxy: Float64) -> Float64:
    centre: Float64 = (xyxy[:2] + xyxy[2:]) / 2
    return centre


class Options(TrackerOptions):
    """Options of OC-SORT."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(("coast_s",), "published", lambda published: not published, "published: false"),
        Needs(("direction_s",), "frames", lambda frames: frames is None, "frames: null"),
        Needs(("direction_s",), "inertia", bool, "inertia"),
    )

    min_score: float = Field(0.6, ge=0, le=1)
    """Detections below this score are ignored."""
    min_iou: float = Field(0.3, ge=0, lt=1)
    """Minimum IoU between a track's box and a detection."""
    inertia: float = Field(0.2, ge=0)
    """Weight of the consistency with the track's direction, relative to the overlap; 0: none."""
    direction_s: float = Field(0.1, gt=0)
    """Seconds over which a track's direction is measured (in frame mode: three frames)."""
    recover: bool = True
    """Match the remaining tracks by their last observed positions."""
    reupdate: bool = True
    """Re-update the filter of a track that is seen again along a virtual straight path (ORU)."""
    published: bool = False
    """Report like the published code: no coasting tracks, the others only after min_hits in a row
    (again after each miss) or in the first min_hits frames."""


def build(options: Options, embedder: Embedder | None = None) -> OcSort:
    """Return a tracker for one source."""
    return OcSort(options, embedder)


class OcSort(BaseTracker):
    """OC-SORT for one source. Reports the detection's own box of a detected track."""

    def __init__(self, options: Options, embedder: Embedder | None) -> None:
        self._options = options
        super().__init__(options, ReportRules(published=options.published), embedder)

    def _extra_columns(self) -> dict[str, Columns]:
        span = 3 if self._options.frames else self._options.direction_s
        self._history = ObservationHistory(span)
        return {"observed": self._history}

    def _observe(self, detections: Detections) -> Observations:
        seen = super()._observe(detections)
        sure = seen.score >= self._options.min_score
        return seen if sure.all() else seen.take(sure.nonzero()[0])

    def _warp(self, motion: Similarity) -> None:
        super()._warp(motion)
        self._history.warp(motion)

    def _predict(self) -> Float64:
        self._history.advance(self._clock.step)
        return super()._predict()

    def _new_filters(self) -> BoxFilters:
        return AreaRatioFilters()

    def _match(self, matches: Matches, predicted: Float64, seen: Observations) -> None:
        options, observed = self._options, self._history
        pairs = self._pairs(predicted, seen)
        near = pairs.overlap > options.min_iou
        straight = observed.direction(self._clock.now, seen.xyxy, pairs.i, pairs.j)
        straight *= np.minimum(seen.score.take(pairs.j), 1)
        matches.match(pairs, (pairs.overlap + options.inertia * straight) * near)
        if options.recover and matches.free_detection.any() and matches.free_track.any():
            pairs = self._pairs(observed.box, seen)
            matches.match(pairs, pairs.overlap - options.min_iou)

    def _update(self, tracks: Rows, matched: Observations) -> None:
        if self._options.reupdate:
            self._history.reupdate(tracks, matched.xyxy, matched.score, self._filters)
        super()._update(tracks, matched)
        self._history.record(tracks, matched.xyxy, self._clock.now, self._filters)

    def _start(self, new: Observations) -> None:
        super()._start(new)
        self._history.start(new.xyxy, self._clock.now, self._filters)

    def _reported_boxes(self, rows: Rows, detections: Detections) -> Float64:
        return self._measured_boxes(rows, detections)
