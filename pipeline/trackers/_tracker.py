"""Base of all trackers: predict, match, update, remove expired tracks, start new ones, report.

`TwoStageTracker` adds ByteTrack's matching, for trackers built on it: Zhang, Sun, Jiang, Yu, Weng,
Yuan, Luo, Liu, Wang: ByteTrack: Multi-Object Tracking by Associating Every Detection Box, ECCV
2022.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, final

import numpy as np
from pydantic import Field

from pipeline.core.data import Detections, Frame, Image, Tracks
from pipeline.core.errors import UsageError
from pipeline.core.interfaces import Embedder
from pipeline.core.yuv import YuvImage
from pipeline.trackers._association import (
    CandidatePairs,
    Matches,
    duplicates,
    without_second_boxes,
)
from pipeline.trackers._camera_motion import CameraMotion, Similarity
from pipeline.trackers._identity import Identities
from pipeline.trackers._kalman import BoxFilters
from pipeline.trackers._options import TrackerOptions
from pipeline.trackers._track_table import (
    Columns,
    Float64,
    Observations,
    ReportRules,
    Rows,
    TrackTable,
    usable_detections,
)

State = dict[str, Any]
"""Arrays by name, and the tracker they belong to."""

STATE_VERSION = 1
"""Version of the saved state; others are refused."""

# Trackers match across classes, but prefer a track's own: the benefit of a pair of two classes is
# multiplied by the first number, and its boxes must overlap by more than the second.
_OTHER_CLASS = 0.25
_MIN_IOU_OTHER_CLASS = 0.5


class BaseTracker:
    """Base class of a tracker for one source; a subclass provides filters and matching.

    All arrays of boxes here are xyxy f64[4,n], one coordinate per row.
    """

    _double_iou = 1.0
    """A detection overlapping a tracked one of its class by more than this starts no track."""

    def __init__(
        self, options: TrackerOptions, rules: ReportRules, embedder: Embedder | None
    ) -> None:
        self._clock = options.clock()
        self._identities = Identities(embedder, options.remember_s) if embedder else None
        self._embedder_name = repr(options.embedder)
        self._separate = options.classes == "separate"
        self._same_object_iou = options.same_object_iou
        self._rules = rules._replace(vote=not self._separate)
        self._filters = self._new_filters()
        self._tracks = TrackTable(self._clock, self._rules)
        self._extra = self._extra_columns()
        self._camera = CameraMotion() if options.camera_motion == "auto" else None
        self.stage_ms: dict[str, float] = {}

    @property
    def memory_s(self) -> float | None:
        """Return the gap in seconds that no track survives; None if frames are counted."""
        memory_s = self._clock.memory_s
        if memory_s is None or self._identities is None:
            return memory_s
        return max(memory_s, self._identities.remember_s)

    def open(self) -> None:
        """Load the embedder, if there is one; raises ModelError."""
        if self._identities:
            self._identities.open()

    def close(self) -> None:
        """Release the embedder; safe to call twice and if never opened."""
        if self._identities:
            self._identities.close()

    def reset(self) -> None:
        """Forget all tracks; ids are never given to other objects.

        With an embedder, objects that are seen again soon may get their ids back.
        """
        if self._identities:
            self._identities.break_off(self._clock.now_s)
        self._clock.restart()
        self._tracks = TrackTable(self._clock, self._rules, self._tracks.last_id)
        self._filters = self._new_filters()
        self._extra = self._extra_columns()
        self._camera = CameraMotion() if self._camera else None

    @final
    def update(self, frame: Frame, detections: Detections) -> Tracks:
        """Return the frame's confirmed tracks; rows without a detection are coasting."""
        self._clock.advance(frame.pts_s)
        self._look_at(frame)
        seen = self._observe(detections)
        began = time.perf_counter()
        self._compensate_camera(frame.picture)
        followed = time.perf_counter()
        predicted = self._predict()
        matches = Matches(len(self._tracks), len(seen.score))
        self._match(matches, predicted, seen)
        tracks, found = matches.pairs
        matched = seen.take(found)
        found_again = self._found_again(tracks) if self._identities else {}
        self._update(tracks, matched)
        self._tracks.record(tracks, matched)
        self._remove_expired()
        self._start(seen.take(self._new(seen, matches)))
        embed_s = self._identify(frame, detections, found_again) if self._identities else 0.0
        rows = self._tracks.select_reported()
        tracks_now = self._tracks.report(rows, self._reported_boxes(rows, detections))
        if self._camera or self._identities:
            taken = time.perf_counter() - followed - embed_s
            self.stage_ms = {"track": taken * 1e3}
            if self._camera:
                self.stage_ms = {"camera": (followed - began) * 1e3, **self.stage_ms}
            if self._identities:
                self.stage_ms["embed"] = embed_s * 1e3
        return tracks_now

    def _found_again(self, tracks: Rows) -> dict[int, Float64]:
        """Return the motion models of tracks that were lost, f64[5D,1] by id, predicted."""
        ids, lost = self._tracks.track_id, tracks[self._tracks.detection.take(tracks) < 0]
        return {int(ids[row]): self._filters.take(np.array([row])) for row in lost}

    def _identify(
        self, frame: Frame, detections: Detections, found_again: Mapping[int, Float64]
    ) -> float:
        """Give tracks the ids of the objects they look like; return the seconds it took.

        A lost track that was matched with a detection of another lost one stays lost: the two swap
        their motion models with their ids, because each has moved in its own way.
        """
        began = time.perf_counter()
        if self._identities:
            filters, rows = self._filters, np.arange(len(self._tracks))
            boxes = self._measured_boxes(rows, detections)
            gone = self._identities.resolve(frame, self._tracks, boxes, self._clock.now_s)
            for track_id, row, other in self._identities.exchanged:
                if track_id in found_again and self._tracks.detection[other] < 0:
                    here, there = np.array([row]), np.array([other])
                    filters.put(here, filters.take(there))
                    filters.put(there, found_again[track_id])
                    score = self._tracks.score.take(here)
                    filters.update_boxes(here, boxes.take(here, 1), score)
                    self._exchanged(np.array([row, other]))
            if len(gone):
                self._keep(np.setdiff1d(rows, gone))
        return time.perf_counter() - began

    def save_state(self) -> State:
        """Return the tracker's state as arrays by name, copies that later frames do not change.

        A tracker with the same options that loads it continues exactly as this one does.
        """
        state: State = {"tracker": self._state_kind()}
        state |= {"clock": self._clock.save(), "filters": self._filters.save()}
        state |= {name: columns.table.copy() for name, columns in self._extra.items()}
        state |= self._camera.save() if self._camera else {}
        if self._identities:
            state["identities"] = self._identities.save()
        return state | self._tracks.save() | self._save_extra()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `save_state` returned.

        Raises UsageError for another tracker's state.
        """
        self.reset()
        came, want = str(state.get("tracker")), self._state_kind()
        if came != want:
            raise UsageError(f"state of a tracker: want {want}, got {came}")
        try:
            self._clock.load(state["clock"])
            self._filters.load(state["filters"])
            self._tracks.load(state)
            for name, columns in self._extra.items():
                columns.load(state[name])
            if self._camera:
                self._camera.load(state)
            self._load_extra(state)
            if self._identities:
                self._identities.load(state["identities"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"state of a tracker: not one of {want} ({error})") from None

    def _state_kind(self) -> str:
        """Return the tracker and version of a saved state."""
        name = type(self).__module__.rpartition(".")[2]
        looks = f", embedder {self._embedder_name}" if self._identities else ""
        return f"{name}, version {STATE_VERSION}{looks}"

    def _new_filters(self) -> BoxFilters:
        """Return the motion model of this tracker, empty."""
        raise NotImplementedError

    def _extra_columns(self) -> dict[str, Columns]:
        """Return further columns per track that this tracker keeps, empty."""
        return {}

    def _observe(self, detections: Detections) -> Observations:
        """Return the detections that this tracker uses."""
        return usable_detections(detections, self._clock.now)

    def _save_extra(self) -> State:
        """Return state of a subclass beyond its tracks."""
        return {}

    def _load_extra(self, state: Mapping[str, Any]) -> None:
        """Load what `_save_extra` returned; may raise KeyError or ValueError."""

    def _match(self, matches: Matches, predicted: Float64, seen: Observations) -> None:
        """Match the tracks, predicted at `predicted`, with the detections."""
        raise NotImplementedError

    def _select_new(self, seen: Observations, free: Rows) -> Rows:  # noqa: ARG002
        """Return which of the `free` (unmatched) detections start a track."""
        return free

    def _new(self, seen: Observations, matches: Matches) -> Rows:
        """Return which detections start a track if no other track takes them."""
        new = self._select_new(seen, matches.free_detection.nonzero()[0])
        limits = self._double_iou, self._same_object_iou
        return without_second_boxes(seen, new, matches.pairs[1], limits)

    def _compensate_camera(self, image: Image | YuvImage) -> None:
        """Move the tracks along with the camera (camera motion compensation)."""
        if self._camera:
            motion = self._camera.estimate(image, self._filters.xyxy())
            if motion:
                self._camera_moved(motion)

    def _look_at(self, frame: Frame) -> None:
        """Start a frame: the clock is at it, and nothing is predicted yet."""

    def _camera_moved(self, motion: Similarity) -> None:
        """Move the tracks along with the picture's motion."""
        self._warp(motion)

    def _exchanged(self, rows: Rows) -> None:
        """Follow tracks that have swapped their motion models."""

    def _warp(self, motion: Similarity) -> None:
        self._filters.warp(motion)
        if self._identities:
            self._identities.warp(motion)

    def _predict(self) -> Float64:
        """Return the predicted boxes; tracks with non-finite numbers are removed."""
        filters = self._filters
        filters.predict_boxes(self._clock.step, (self._tracks.detection < 0).nonzero()[0])
        xyxy = filters.xyxy()
        if not math.isfinite(xyxy.sum()):
            sound = np.flatnonzero(np.isfinite(xyxy).all(axis=0))
            self._keep(sound)
            xyxy = xyxy.take(sound, 1)
        return xyxy

    def _pairs(
        self, tracks: Float64, seen: Observations, growth: Float64 | None = None
    ) -> CandidatePairs:
        """Return the overlapping pairs, those of two classes with their weight."""
        pairs = CandidatePairs(tracks, seen.xyxy, growth)
        same = self._tracks.class_id.take(pairs.i) == seen.class_id.take(pairs.j)
        if not same.all():
            pairs.weight = same.astype(np.float64)
            if not self._separate:
                near = pairs.overlap > _MIN_IOU_OTHER_CLASS
                pairs.weight[near & ~same] = _OTHER_CLASS
        return pairs

    def _update(self, tracks: Rows, matched: Observations) -> None:
        """Update the motion model of `tracks` with their matched detections."""
        self._filters.update_boxes(tracks, matched.xyxy, matched.score)

    def _remove_expired(self) -> None:
        """Remove the tracks without a detection for longer than max_age."""
        stay = self._tracks.last_seen >= self._clock.now - self._clock.max_age
        if not stay.all():
            self._keep(stay.nonzero()[0])

    def _keep(self, rows: Rows) -> None:
        self._filters.keep(rows)
        self._tracks.keep(rows)
        for columns in self._extra.values():
            columns.keep(rows)

    def _start(self, new: Observations) -> None:
        """Start a track on each of these detections."""
        if len(new.score):
            self._filters.start(new.xyxy)
            self._tracks.start(new)

    def _reported_boxes(self, rows: Rows, detections: Detections) -> Float64:  # noqa: ARG002
        """Return the boxes f64[4,m] to report of these tracks."""
        return self._filters.boxes(self._filters.position.take(rows, 1))

    def _measured_boxes(self, rows: Rows, detections: Detections) -> Float64:
        """Return the detections' own boxes of these tracks, the filters' while coasting."""
        xyxy = BaseTracker._reported_boxes(self, rows, detections)
        row = self._tracks.detection.take(rows).astype(np.intp)
        seen = row >= 0
        xyxy[:, seen] = detections.xyxy[row[seen]].T
        return xyxy


class TwoStageOptions(TrackerOptions):
    """Options of trackers that match confident detections first, then uncertain ones."""

    high_score: float = Field(0.6, ge=0, le=1)
    """Detections from this score on are matched first, with seen and lost tracks."""
    low_score: float = Field(0.1, ge=0, le=1)
    """Detections from this to high_score are matched next, with tracks seen in the last frame."""
    new_score: float = Field(0.7, ge=0, le=1)
    """Minimum score of a detection that may start a track."""
    min_similarity: float = Field(0.2, ge=0, lt=1)
    """Minimum IoU times score in the first matching."""
    min_iou_low: float = Field(0.5, ge=0, lt=1)
    """Minimum IoU in the second matching."""
    min_similarity_new: float = Field(0.3, ge=0, lt=1)
    """Minimum IoU times score between a tentative track and its next detection."""
    duplicate_iou: float = Field(0.85, gt=0, le=1)
    """A lost and a seen track that overlap by more are one object: the younger is removed."""
    confirm_s: float = Field(1 / 30, ge=0)
    """Seconds for which a new track must be detected in every frame before it is reported; after a
    miss in that time it is dropped. Tracks of the first frame are reported at once."""

    @property
    def wanted_conf(self) -> float:
        """Return the lowest score of a detection that the tracker uses."""
        return self.low_score


class TwoStageTracker(BaseTracker):
    """Tracker for one source with ByteTrack's two stages; a subclass provides the filters."""

    def __init__(self, options: TwoStageOptions, embedder: Embedder | None = None) -> None:
        super().__init__(options, ReportRules(), embedder)
        self._options = options
        self._factor = 1.0

    def _match(self, matches: Matches, predicted: Float64, seen: Observations) -> None:
        options, tracks = self._options, self._tracks
        pairs = self._similarity(predicted, seen)
        self._factor = self._score_factor(seen)
        score = seen.score.take(pairs.j) / self._factor
        high = score >= options.high_score
        known = (tracks.track_id > 0).take(pairs.i)
        tracked = (tracks.detection >= 0).take(pairs.i)
        similarity = pairs.overlap * np.minimum(score, 1)
        matches.match(pairs, (similarity - options.min_similarity) * (high & known))
        low = (score > options.low_score) & ~high
        matches.match(pairs, (pairs.overlap - options.min_iou_low) * (low & known & tracked))
        matches.match(pairs, (similarity - options.min_similarity_new) * (high & ~known))

    def _score_factor(self, seen: Observations) -> float:  # noqa: ARG002
        """Return the factor <= 1 by which the score thresholds are lowered for this detector."""
        return 1.0

    def _similarity(self, predicted: Float64, seen: Observations) -> CandidatePairs:
        """Return the candidate pairs with their similarity."""
        return self._pairs(predicted, seen)

    def _select_new(self, seen: Observations, free: Rows) -> Rows:
        min_score = self._options.new_score * self._factor
        sure: Rows = free[seen.score.take(free) >= min_score]
        return sure

    def _remove_expired(self) -> None:
        """Remove expired tracks, tentative ones that were missed, and duplicates."""
        super()._remove_expired()
        tracks = self._tracks
        missed = tracks.detection < 0
        if not missed.any():
            return
        gone = missed & (tracks.track_id == 0)
        min_iou = self._options.duplicate_iou
        boxes = self._filters.xyxy()
        gone[duplicates(boxes, missed, tracks.born_s, tracks.class_id, min_iou)] = True
        if gone.any():
            self._keep((~gone).nonzero()[0])
