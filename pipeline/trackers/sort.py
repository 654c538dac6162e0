"""SORT: Kalman filters and one assignment by overlap, all tracks of a frame at once.

Bewley, Ge, Ott, Ramos, Upcroft: Simple Online and Realtime Tracking, ICIP 2016.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.boxes import cxcysr_from_xyxy, iou_of_pairs, overlapping_pairs, xyxy_from_cxcysr
from pipeline.data import Detections, Frame, Tracks
from pipeline.options import OptionsModel
from pipeline.trackers._assign import assign, others
from pipeline.trackers._clock import Clock, FrameRule, Limits
from pipeline.trackers._columns import Columns, Float64, Rows
from pipeline.trackers._kalman import KalmanTracks

# The matrices of the published tracker, for the axes centre x, centre y, scale and ratio; its
# state gives the ratio no velocity, hence the zeros. Variances per frame of 1/30 s.
_MEASURED = np.array([[1.0], [1.0], [10.0], [10.0]])
_DRIFT = np.array([[1.0], [1.0], [1.0], [1.0]])
_VELOCITY_DRIFT = np.array([[1e-2], [1e-2], [1e-4], [0.0]])
_START = np.array([[10.0], [10.0], [10.0], [10.0]])
_VELOCITY_START = np.array([[1e4], [1e4], [1e4], [0.0]])
_SCALE = 2

# No picture is this large; within it nothing below can overflow.
_FARTHEST_PX = 1e7

# The ledger's columns. ID is 0 until the track is confirmed; STREAK the time from which on it was
# detected in every frame; ROW the matched row of this frame's detections, -1 without one. The
# last four are what a detection tells.
_BORN_S, _ID, _STREAK, _SEEN, _SCORE, _CLASS, _ROW = range(7)
_TOLD = slice(_SEEN, _ROW + 1)


class Options(OptionsModel):
    """What can be set about SORT."""

    min_iou: float = Field(0.3, ge=0, lt=1)
    """Least overlap of a track's predicted box and a detection that may be one object."""
    max_age_s: float = Field(1.0, ge=0)
    """Seconds a track survives without a detection."""
    coast_s: float | None = Field(0.2, ge=0)
    """Seconds of these in which it is still reported, as coasting; null for all of them. A
    constant velocity is soon wrong: what is reported for long are mostly ghosts."""
    confirm_s: float = Field(0.1, ge=0)
    """Seconds for which a new track must be detected in every frame before it is reported."""
    frames: FrameRule | None = None
    """Count frames instead: replaces all three, ignores the frames' times."""
    classes: Literal["separate", "together"] = "separate"
    """separate: a track only takes detections of its class; together: class changes with them."""
    box: Literal["filtered", "measured"] = "filtered"
    """What is reported of a detected track: the filter's box or the detection's own."""
    published: bool = False
    """Act as the published code: gate after the assignment, report no coasting tracks, and the
    others only after min_hits in a row (again after each miss) or in the first min_hits frames.
    With `frames: {max_age: 1, min_hits: 3}` it yields the published figures."""
    nominal_fps: float = Field(30.0, gt=0)
    """Frame rate that the filter's noise is meant for; frames farther apart add more of it."""


def build(options: Options) -> Sort:
    """Return a tracker for one source."""
    return Sort(options)


class Sort:
    """SORT for one source. State [u, v, s, r, du, dv, ds] as in the paper, section 3.2."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._clock = Clock(
            Limits(options.max_age_s, options.confirm_s, options.coast_s),
            options.frames,
            options.nominal_fps,
        )
        self._last_id = 0
        self._forget()

    def _forget(self) -> None:
        self._kalman = KalmanTracks(axes=4)
        self._ledger = Columns(7)

    def reset(self) -> None:
        """Forget all tracks; ids already given are not given again."""
        self._clock.restart()
        self._forget()

    def update(self, frame: Frame, detections: Detections) -> Tracks:
        """Return the frame's confirmed tracks; rows without a detection are coasting."""
        clock, kalman, ledger = self._clock, self._kalman, self._ledger
        clock.advance(frame.pts_s)
        xyxy, told = _read(detections, clock.now)
        measured = cxcysr_from_xyxy(xyxy.T).T
        predicted = self._predict()
        tracks, found = self._associate(predicted, xyxy.T, told[_CLASS - _SEEN])
        kalman.update(tracks, measured.take(found, 1), _MEASURED)
        ledger.table[_ROW] = -1
        ledger.table[_TOLD, tracks] = told.take(found, 1)
        self._let_go()
        self._begin(measured, told, others(len(measured[0]), found))
        return self._report(detections)

    def _predict(self) -> Float64:
        """Return f64[T,4] xyxy where the tracks should be now; those lost to infinity go."""
        kalman, steps = self._kalman, self._clock.step
        scale, rate = kalman.position[_SCALE], kalman.velocity[_SCALE]
        rate *= scale + steps * rate > 0  # as published: an area does not shrink through zero
        kalman.predict(steps, _DRIFT, _VELOCITY_DRIFT)
        xyxy = xyxy_from_cxcysr(kalman.position.T)
        if not math.isfinite(xyxy.sum()):
            sound = np.flatnonzero(np.isfinite(xyxy).all(axis=1))
            self._keep(sound)
            xyxy = xyxy[sound]
        return xyxy

    def _associate(self, predicted: Float64, xyxy: Float64, class_id: Float64) -> tuple[Rows, Rows]:
        """Return matched (track rows, places in `xyxy`)."""
        options = self._options
        i, j = overlapping_pairs(predicted, xyxy)
        overlap = iou_of_pairs(predicted, xyxy, i, j)
        if options.classes == "separate":
            overlap *= self._ledger.table[_CLASS].take(i) == class_id.take(j)
        shape = len(predicted), len(xyxy)
        if not options.published:
            return assign(i, j, overlap - options.min_iou, shape)[:2]
        tracks, found, pair = assign(i, j, overlap, shape)
        passed = overlap.take(pair) >= options.min_iou
        return tracks[passed], found[passed]

    def _let_go(self) -> None:
        """Break the streak of tracks without a detection and drop those too long without."""
        table, clock = self._ledger.table, self._clock
        missed = table[_ROW] < 0
        if missed.any():
            table[_STREAK, missed] = clock.now
            stay = table[_SEEN] >= clock.now - clock.max_age
            if not stay.all():
                self._keep(stay.nonzero()[0])

    def _keep(self, rows: Rows) -> None:
        self._kalman.keep(rows)
        self._ledger.keep(rows)

    def _begin(self, measured: Float64, told: Float64, new: Rows) -> None:
        """Start a track on every detection that none has claimed."""
        if not len(new):
            return
        self._kalman.append(measured.take(new, 1), _START, _VELOCITY_START)
        entry = np.zeros((_ROW + 1, len(new)))
        entry[_BORN_S] = self._clock.now_s
        entry[_STREAK] = self._clock.now
        entry[_TOLD] = told.take(new, 1)
        self._ledger.append(entry)

    def _report(self, detections: Detections) -> Tracks:
        """Number the tracks that are now confirmed and return what is to be seen."""
        table, clock, options = self._ledger.table, self._clock, self._options
        due = table[_ROW] >= 0
        if not (options.published and clock.now < clock.confirm):
            due &= table[_STREAK] <= clock.now - clock.confirm
        fresh = (due & (table[_ID] == 0)).nonzero()[0]
        table[_ID, fresh] = np.arange(self._last_id + 1, self._last_id + 1 + len(fresh))
        self._last_id += len(fresh)
        if not options.published:
            due = table[_ID] > 0
            due &= table[_SEEN] >= clock.now - clock.coast
        rows = due.nonzero()[0]
        entry = table.take(rows, 1)
        row = entry[_ROW].astype(np.int32)
        xyxy = xyxy_from_cxcysr(self._kalman.position.take(rows, 1).T).astype(np.float32)
        if options.box == "measured":
            seen = row >= 0
            xyxy[seen] = detections.xyxy[row[seen]]
        return Tracks(
            xyxy=xyxy,
            score=entry[_SCORE].astype(np.float32),
            class_id=entry[_CLASS].astype(np.int32),
            track_id=entry[_ID].astype(np.int64),
            detection=row,
            age_s=(clock.now_s - entry[_BORN_S]).astype(np.float32),
        )


def _read(detections: Detections, now: float) -> tuple[Float64, Float64]:
    """Return the usable boxes f64[4,N] and what the ledger is told f64[4,N] of each."""
    xyxy = detections.xyxy.T.astype(np.float64, order="C")
    told = np.empty((_ROW + 1 - _SEEN, len(detections)))
    told[0] = now
    told[_SCORE - _SEEN] = detections.score
    told[_CLASS - _SEEN] = detections.class_id
    told[_ROW - _SEEN] = np.arange(len(detections))
    usable = xyxy[:2] < xyxy[2:]  # false for NaN
    usable &= xyxy[:2] > -_FARTHEST_PX
    usable &= xyxy[2:] < _FARTHEST_PX
    if not usable.all():
        rows = np.flatnonzero(usable.all(axis=0))
        xyxy, told = xyxy.take(rows, 1), told.take(rows, 1)
    return xyxy, told
