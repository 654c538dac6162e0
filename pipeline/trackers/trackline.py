"""Default tracker: combines the parts of published trackers that measured best together.

Two stages of matching as in ByteTrack (Zhang et al. 2022); overlap weighted by the similarity of
heights, after Hybrid-SORT (Yang et al. 2024); filters on width and height as in BoT-SORT (Aharon et
al. 2022); no track for a second box on a tracked object, as in TrackTrack (Shim et al. 2025), nor
for one that can only belong to a lost track; the camera's motion, from the picture and from the
common error of all tracks, so that it works on boxes alone; and, at low frame rates, buffered boxes
(Yang et al. 2023). Each part can be switched off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.core.data import Frame
from pipeline.core.homography import Homography
from pipeline.core.interfaces import Embedder
from pipeline.core.options import Needs
from pipeline.trackers._association import CandidatePairs, Matches
from pipeline.trackers._camera_motion import Similarity, shared_motion
from pipeline.trackers._ground import GroundFilters, GroundPlane, GroundView, read_grounds
from pipeline.trackers._kalman import (
    VELOCITY_VARIANCE,
    AspectHeightFilters,
    BoxFilters,
    WidthHeightFilters,
)
from pipeline.trackers._track_table import Columns, Float64, Observations, Rows
from pipeline.trackers._tracker import State, TwoStageOptions, TwoStageTracker


class Options(TwoStageOptions):
    """Options of the tracker `trackline`."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(("reach", "lost_reach"), "frames", lambda frames: frames is None, "frames: null"),
    )

    max_age_s: float = Field(1.5, ge=0)
    """Seconds that a track survives without a detection."""
    double_iou: float = Field(0.55, gt=0, le=1)
    """A detection that overlaps another of its class, which has a track, by more than this is a
    second box on the same object and starts no track. 1: all start one."""
    camera_motion: Literal["auto", "off"] = "auto"
    """auto: estimate the camera's motion from the picture and move the tracks along. A fixed camera
    costs next to nothing, a moving one some milliseconds a frame."""
    shared_motion: bool = True
    """Shift all tracks by the error that most of them share: a camera that shakes or pans."""
    height_aware: bool = True
    """Weight the overlap of two boxes by the similarity of their heights."""
    adapt_scores: bool = True
    """Lower the score thresholds for a detector with low scores; they are meant for scores of about
    0.8 and more, as from networks for a single class, and are at most halved."""
    size_filter: bool = True
    """Filter width and height; if false, height and aspect ratio like ByteTrack."""
    reach: float = Field(3.0, ge=0)
    """Grow boxes before computing their overlap if a frame comes more than 1.8 nominal frames after
    the last (below 16 a second), by so many standard deviations of the track's velocity times the
    time beyond: much for a new track, little for a steady one; 0: never."""
    lost_reach: float = Field(0.5, ge=0)
    """A lost track and a detection that would start one are one object if they overlap each other
    and nothing else of their kind, with the track's box grown by this share of its height per
    second unseen, and by half of it at most; 0: only if they match like all others."""
    ground: Annotated[Path | dict[str, Path] | None, Field(json_schema_extra={"tune": False})] = (
        None
    )
    """homography.yaml of a fixed camera (trackline calibrate), or {source: file}: also match by
    position on the ground, and look for a lost track where it has moved to there. A relative path
    starts at the configuration's folder."""


# At shorter intervals, in nominal frames, no buffer is needed: there it measured worse. And no box
# grows by more than this share of its height: after a long gap anything may be anywhere.
_CLOSE = 1.8
_MAX_REACH = 0.5
# Least overlap of a lost track, grown, and the only detection that could be it.
_MIN_IOU_LOST = 0.3
# What a sure detector's scores are like, the least factor, and how long scores are remembered. To
# begin with so many such scores are taken for seen, so that one odd detection decides nothing.
_SURE = 0.8
_MIN_CERTAINTY = 0.5
_REMEMBERED_S = 10.0
_NO_SCORES = 1e-9
_PRIOR = 10 * np.array([_SURE, _SURE**2])


def build(options: Options, embedder: Embedder | None = None) -> Trackline:
    """Return a tracker for one source."""
    ground = None if options.ground is None else read_grounds(options.ground)
    return Trackline(options, embedder, ground)


class Trackline(TwoStageTracker):
    """The default tracker, for one source."""

    def __init__(
        self,
        options: Options,
        embedder: Embedder | None,
        ground: Homography | Mapping[str, Homography] | None = None,
    ) -> None:
        self._own = options
        self._view = None if ground is None else GroundView(ground)
        self._scores = _PRIOR.copy()
        self._double_iou = options.double_iou
        super().__init__(options, embedder)

    def _new_filters(self) -> BoxFilters:
        return WidthHeightFilters() if self._own.size_filter else AspectHeightFilters()

    def _extra_columns(self) -> dict[str, Columns]:
        self._places = GroundFilters()
        return {} if self._view is None else {"ground": self._places}

    def _look_at(self, frame: Frame) -> None:
        self._height, self._width = frame.shape[:2]
        if self._view:
            seconds = self._clock.step / self._own.nominal_fps
            self._view.look_at(frame, seconds)
            self._places.predict(seconds)

    def _camera_moved(self, motion: Similarity) -> None:
        super()._camera_moved(motion)
        if self._view:
            self._view.move(motion)

    def _exchanged(self, rows: Rows) -> None:
        if self._view:
            self._places.forget(rows)

    def _match(self, matches: Matches, predicted: Float64, seen: Observations) -> None:
        if self._own.shared_motion:
            sure = (seen.score >= self._own.high_score).nonzero()[0]
            tracked = (self._tracks.detection >= 0).nonzero()[0]
            motion = shared_motion(predicted.take(tracked, 1), seen.xyxy.take(sure, 1))
            if motion:
                self._warp(motion)
                predicted = motion.boxes(predicted)
        if self._view and self._view.plane:
            predicted = self._on_the_ground(self._view.plane, predicted)
        super()._match(matches, predicted, seen)
        if self._own.lost_reach and self._own.frames is None:
            self._match_lost(matches, predicted, seen)

    def _match_lost(self, matches: Matches, predicted: Float64, seen: Observations) -> None:
        """Match lost tracks with detections that would begin one, where there is no doubt which.

        An object that was half hidden, or in one box with another, was not where its track has got
        to; matched as others are it would come back as a new one.
        """
        tracks = self._tracks
        lost = matches.free_track & (tracks.track_id > 0) & (tracks.detection < 0)
        lost &= self._in_picture(predicted)
        rows = lost.nonzero()[0]
        new = self._new(seen, matches) if len(rows) else rows
        if not len(new):
            return
        boxes, found = predicted.take(rows, 1), seen.xyxy.take(new, 1)
        lost_s = self._clock.now - tracks.last_seen.take(rows)
        growth = np.minimum(lost_s * self._own.lost_reach, _MAX_REACH) * (boxes[3] - boxes[1])
        pairs = CandidatePairs(boxes, found, growth)
        if not len(pairs.i):
            return
        pairs.weigh_by_height(boxes, found)
        pairs.i, pairs.j = rows.take(pairs.i), new.take(pairs.j)
        near = pairs.overlap > _MIN_IOU_LOST
        near &= tracks.class_id.take(pairs.i) == seen.class_id.take(pairs.j)
        if not near.any():
            return
        i, j = pairs.i[near], pairs.j[near]
        near &= np.bincount(i, minlength=len(tracks)).take(pairs.i) == 1
        near &= np.bincount(j, minlength=len(seen.score)).take(pairs.j) == 1
        matches.match(pairs, near * pairs.overlap)

    def _in_picture(self, boxes: Float64) -> NDArray[np.bool_]:
        """Return bool[n], whether the centres of boxes are in the picture; all without pictures."""
        x, y = (boxes[:2] + boxes[2:]) / 2
        if (self._height, self._width) == (1, 1):
            return np.ones(len(x), bool)
        inside: NDArray[np.bool_] = (x > 0) & (x < self._width) & (y > 0) & (y < self._height)
        return inside

    def _on_the_ground(self, plane: GroundPlane, predicted: Float64) -> Float64:
        """Return the predicted boxes, those of lost tracks at their predicted ground position.

        At a steady speed there, an object that comes nearer is faster and faster in the picture.
        """
        lost = (self._tracks.detection < 0).nonzero()[0]
        places, sure = self._places.places(lost)
        lost = lost[sure]
        boxes = plane.move(predicted.take(lost, 1), places[:, sure])
        seen = np.isfinite(boxes).all(0)
        predicted = predicted.copy()
        predicted[:, lost[seen]] = boxes[:, seen]
        return predicted

    def _score_factor(self, seen: Observations) -> float:
        """The mean of the recent scores, weighted by themselves so that clutter counts little."""
        if not self._own.adapt_scores:
            return 1.0
        score = seen.score.clip(0, 1)
        self._scores *= math.exp(-self._clock.step / (self._own.nominal_fps * _REMEMBERED_S))
        self._scores += score.sum(), (score * score).sum()
        total, squares = self._scores.tolist()
        typical = squares / total if total > _NO_SCORES else _SURE
        return min(max(typical / _SURE, _MIN_CERTAINTY), 1.0)

    def _growth(self, predicted: Float64) -> Float64 | None:
        """Return f64[n], by how many pixels the tracks' boxes grow on each side.

        None for no growth.
        """
        late = (self._clock.step - _CLOSE) * self._own.reach
        if late <= 0:
            return None
        strayed = late * np.sqrt(self._filters.block[VELOCITY_VARIANCE, 0])
        reach: Float64 = np.minimum(strayed, _MAX_REACH * (predicted[3] - predicted[1]))
        return reach

    def _save_extra(self) -> State:
        view = {} if self._view is None else {"view": self._view.save()}
        return {"scores": self._scores.copy(), **view}

    def _load_extra(self, state: Mapping[str, Any]) -> None:
        self._scores = state["scores"].copy()
        if self._view:
            self._view.load(state["view"])

    def _state_kind(self) -> str:
        return super()._state_kind() + (", ground" if self._view else "")

    def _similarity(self, predicted: Float64, seen: Observations) -> CandidatePairs:
        pairs = self._pairs(predicted, seen, self._growth(predicted))
        if self._own.height_aware:
            pairs.weigh_by_height(predicted, seen.xyxy)
        if self._view and self._view.plane:
            self._places.weigh(pairs, self._view.plane.stand(seen.xyxy))
        return pairs

    def _update(self, tracks: Rows, matched: Observations) -> None:
        super()._update(tracks, matched)
        if self._view and self._view.plane:
            self._places.update(tracks, self._view.plane.stand(matched.xyxy))

    def _start(self, new: Observations) -> None:
        super()._start(new)
        if self._view and len(new.score):
            plane = self._view.plane
            self._places.start(len(new.score), plane.stand(new.xyxy) if plane else None)
