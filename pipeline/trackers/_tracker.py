"""What all trackers do with a frame: predict, match, correct, let go, begin, report.

Matching in two stages, as ByteTrack does and trackers built on it do.

Zhang, Sun, Jiang, Yu, Weng, Yuan, Luo, Liu, Wang: ByteTrack: Multi-Object Tracking by
Associating Every Detection Box, ECCV 2022.
"""

from __future__ import annotations

import math
import time
from typing import final

import numpy as np
from pydantic import Field

from pipeline.core.data import Detections, Frame, Image, Tracks
from pipeline.core.errors import UsageError
from pipeline.trackers._association import CandidatePairs, Matches, duplicates
from pipeline.trackers._camera_motion import CameraMotion, Similarity
from pipeline.trackers._kalman import BoxFilters
from pipeline.trackers._options import TrackerOptions
from pipeline.trackers._track_table import (
    BORN_S,
    CLASS,
    ID,
    ROW,
    SEEN,
    Columns,
    Float64,
    Rows,
    Rules,
    Seen,
    TrackTable,
    read,
)

State = dict[str, Float64]

# Trackers match across classes, but prefer a track's own: what a pair of two classes gains in the
# assignment counts this much, and its boxes must overlap more than that.
_OTHER_CLASS = 0.25
_MIN_IOU_OTHER_CLASS = 0.5


class BaseTracker:
    """A tracker for one source. A kind of tracker says how to match, and what else is its own.

    Every array of boxes in here is xyxy f64[4,n], a coordinate per row.
    """

    def __init__(self, options: TrackerOptions, rules: Rules) -> None:
        self._clock = options.clock()
        self._separate = options.classes == "separate"
        self._same_object_iou = options.same_object_iou
        self._rules = rules._replace(vote=not self._separate)
        self._filters = self._new_filters()
        self._ledger = TrackTable(self._clock, self._rules)
        self._more = self._memory()
        self._camera = CameraMotion() if options.camera_motion == "auto" else None
        self.stage_ms: dict[str, float] = {}

    @property
    def memory_s(self) -> float | None:
        """Return the gap in seconds after which no track goes on; None if frames count."""
        return self._clock.memory_s

    def reset(self) -> None:
        """Forget all tracks; ids already given are not given again."""
        self._clock.restart()
        self._ledger = TrackTable(self._clock, self._rules, self._ledger.last_id)
        self._filters = self._new_filters()
        self._more = self._memory()
        self._camera = CameraMotion() if self._camera else None

    @final
    def update(self, frame: Frame, detections: Detections) -> Tracks:
        """Return the frame's confirmed tracks; rows without a detection are coasting."""
        self._clock.advance(frame.pts_s)
        seen = self._read(detections)
        began = time.perf_counter()
        self._follow_camera(frame.image)
        followed = time.perf_counter()
        predicted = self._predict()
        matches = Matches(len(self._ledger), len(seen.score))
        self._match(matches, predicted, seen)
        tracks, found = matches.pairs
        matched = seen.take(found)
        self._correct(tracks, matched)
        self._ledger.tell(tracks, matched)
        self._let_go()
        born = self._born(seen, matches.free_detection.nonzero()[0])
        self._begin(seen.take(self._new_objects(seen, born, found)))
        rows = self._ledger.due()
        tracks_now = self._ledger.report(rows, self._boxes(rows, detections))
        if self._camera:
            taken = time.perf_counter() - followed
            self.stage_ms = {"camera": (followed - began) * 1e3, "track": taken * 1e3}
        return tracks_now

    def save_state(self) -> State:
        """Return all that the tracker knows, as arrays by name that later frames do not change.

        A tracker of the same options that loads it goes on exactly as this one does.
        """
        state = {"clock": self._clock.save(), "filters": self._filters.save()}
        state |= {name: columns.table.copy() for name, columns in self._more.items()}
        state |= self._camera.save() if self._camera else {}
        return state | self._ledger.save() | self._save_more()

    def load_state(self, state: State) -> None:
        """Go on where `save_state` was called; raises UsageError for another tracker's state."""
        self.reset()
        try:
            self._clock.load(state["clock"])
            self._filters.load(state["filters"])
            self._ledger.load(state)
            for name, columns in self._more.items():
                columns.load(state[name])
            if self._camera:
                self._camera.load(state)
            self._load_more(state)
        except (KeyError, ValueError) as error:
            kind = type(self).__name__
            raise UsageError(f"state of a tracker: not one of {kind} ({error})") from None

    def _new_filters(self) -> BoxFilters:
        """Return filters of this tracker's kind, for no tracks."""
        raise NotImplementedError

    def _memory(self) -> dict[str, Columns]:
        """Return the columns that a track of this kind has besides; all tracks have left."""
        return {}

    def _read(self, detections: Detections) -> Seen:
        """Return the detections that this tracker looks at."""
        return read(detections, self._clock.now)

    def _save_more(self) -> State:
        """Return what this kind of tracker knows beside its tracks."""
        return {}

    def _load_more(self, state: State) -> None:
        """Know what `_save_more` returned; may raise KeyError or ValueError."""

    def _match(self, matches: Matches, predicted: Float64, seen: Seen) -> None:
        """Match the tracks, which are expected at `predicted`, with what was seen."""
        raise NotImplementedError

    def _born(self, seen: Seen, free: Rows) -> Rows:  # noqa: ARG002
        """Return which of the `free` detections begin a track."""
        return free

    def _new_objects(self, seen: Seen, born: Rows, found: Rows) -> Rows:
        """Return which of `born` are not just another class's box on an object that has a track.

        A network may take one object for a car and for a truck at once. `found` are the
        detections that tracks have got; of two new ones the better stays.
        """
        class_id = seen.class_id
        if not len(born) or (class_id == class_id[born[0]]).all():
            return born
        # Tracked ones first, then the new ones, best first: each is compared with those before it.
        ranked = born.take((-seen.score.take(born)).argsort(kind="stable"))
        order = np.concatenate((found, ranked))
        pairs = CandidatePairs(seen.xyxy.take(ranked, 1), seen.xyxy.take(order, 1))
        i, j = pairs.i + len(found), pairs.j
        same = (pairs.overlap > self._same_object_iou) & (j < i)
        same &= class_id.take(order.take(i)) != class_id.take(order.take(j))
        shown = np.ones(len(order), bool)
        for new, other in sorted(zip(i[same].tolist(), j[same].tolist(), strict=True)):
            shown[new] &= not shown[other]
        return np.sort(ranked[shown[len(found) :]])

    def _follow_camera(self, image: Image) -> None:
        """Move the tracks along if the camera moved."""
        if self._camera:
            motion = self._camera.look(image, self._filters.xyxy())
            if motion:
                self._warp(motion)

    def _warp(self, motion: Similarity) -> None:
        self._filters.warp(motion)

    def _predict(self) -> Float64:
        """Return where the tracks should be now; those lost to infinity go."""
        filters = self._filters
        filters.move(self._clock.step, (self._ledger.table[ROW] < 0).nonzero()[0])
        xyxy = filters.xyxy()
        if not math.isfinite(xyxy.sum()):
            sound = np.flatnonzero(np.isfinite(xyxy).all(axis=0))
            self._keep(sound)
            xyxy = xyxy.take(sound, 1)
        return xyxy

    def _pairs(self, tracks: Float64, seen: Seen, growth: Float64 | None = None) -> CandidatePairs:
        """Return the pairs that overlap, and what those of two classes are worth."""
        pairs = CandidatePairs(tracks, seen.xyxy, growth)
        same = self._ledger.table[CLASS].take(pairs.i) == seen.class_id.take(pairs.j)
        if not same.all():
            pairs.worth = same.astype(np.float64)
            if not self._separate:
                near = pairs.overlap > _MIN_IOU_OTHER_CLASS
                pairs.worth[near & ~same] = _OTHER_CLASS
        return pairs

    def _correct(self, tracks: Rows, matched: Seen) -> None:
        """Take the detections that the tracks have got."""
        self._filters.correct(tracks, matched.xyxy, matched.score)

    def _let_go(self) -> None:
        """Drop the tracks that were too long without a detection."""
        stay = self._ledger.table[SEEN] >= self._clock.now - self._clock.max_age
        if not stay.all():
            self._keep(stay.nonzero()[0])

    def _keep(self, rows: Rows) -> None:
        self._filters.keep(rows)
        self._ledger.keep(rows)
        for columns in self._more.values():
            columns.keep(rows)

    def _begin(self, new: Seen) -> None:
        """Start a track on each of these detections."""
        if len(new.score):
            self._filters.start(new.xyxy)
            self._ledger.begin(new)

    def _boxes(self, rows: Rows, detections: Detections) -> Float64:  # noqa: ARG002
        """Return the boxes to be reported of these tracks."""
        return self._filters.boxes(self._filters.position.take(rows, 1))

    def _measured(self, rows: Rows, detections: Detections) -> Float64:
        """Return the filters' boxes of these tracks, the detections' own where there is one."""
        xyxy = BaseTracker._boxes(self, rows, detections)
        row = self._ledger.table[ROW].take(rows).astype(np.intp)
        seen = row >= 0
        xyxy[:, seen] = detections.xyxy[row[seen]].T
        return xyxy


class TwoStageOptions(TrackerOptions):
    """What can be set about trackers that match sure detections first, then doubtful ones."""

    high_score: float = Field(0.6, ge=0, le=1)
    """Detections from this score on are matched first, with tracks seen and lost."""
    low_score: float = Field(0.1, ge=0, le=1)
    """Detections between this and high_score are matched next, with tracks just seen."""
    new_score: float = Field(0.7, ge=0, le=1)
    """Least score of a detection that may begin a track."""
    min_similarity: float = Field(0.2, ge=0, lt=1)
    """Least overlap, times the score, in the first matching."""
    min_iou_low: float = Field(0.5, ge=0, lt=1)
    """Least overlap in the second matching."""
    min_similarity_new: float = Field(0.3, ge=0, lt=1)
    """Least overlap, times the score, of a track not yet confirmed and its next detection."""
    duplicate_iou: float = Field(0.85, gt=0, le=1)
    """A lost track and a seen one that overlap more are one: the younger goes."""
    confirm_s: float = Field(1 / 30, ge=0)
    """Seconds for which a new track must be detected in every frame before it is reported; one
    that is missed before is dropped. Tracks of the first frame are reported at once."""

    @property
    def wanted_conf(self) -> float:
        """Return the least score of a detection that the tracker has a use for."""
        return self.low_score


class TwoStageTracker(BaseTracker):
    """Tracks of one source; the kind of filter is for the tracker to say."""

    def __init__(self, options: TwoStageOptions) -> None:
        super().__init__(options, Rules())
        self._options = options
        self._certainty = 1.0

    def _match(self, matches: Matches, predicted: Float64, seen: Seen) -> None:
        options, table = self._options, self._ledger.table
        pairs = self._similar(predicted, seen)
        self._certainty = self._judge(seen)
        score = seen.score.take(pairs.j) / self._certainty
        high = score >= options.high_score
        known = (table[ID] > 0).take(pairs.i)
        tracked = (table[ROW] >= 0).take(pairs.i)
        similarity = pairs.overlap * np.minimum(score, 1)
        matches.match(pairs, (similarity - options.min_similarity) * (high & known))
        low = (score > options.low_score) & ~high
        matches.match(pairs, (pairs.overlap - options.min_iou_low) * (low & known & tracked))
        matches.match(pairs, (similarity - options.min_similarity_new) * (high & ~known))

    def _judge(self, seen: Seen) -> float:  # noqa: ARG002
        """Return the factor <= 1 for this detector's scores that the thresholds are lowered by."""
        return 1.0

    def _similar(self, predicted: Float64, seen: Seen) -> CandidatePairs:
        """Return the pairs that may match, and how alike they are."""
        return self._pairs(predicted, seen)

    def _born(self, seen: Seen, free: Rows) -> Rows:
        least = self._options.new_score * self._certainty
        sure: Rows = free[seen.score.take(free) >= least]
        return sure

    def _let_go(self) -> None:
        """Drop, besides those too long unseen, the unconfirmed missed ones and the duplicates."""
        super()._let_go()
        table = self._ledger.table
        missed = table[ROW] < 0
        if not missed.any():
            return
        gone = missed & (table[ID] == 0)
        least = self._options.duplicate_iou
        boxes = self._filters.xyxy()
        gone[duplicates(boxes, missed, table[BORN_S], table[CLASS], least)] = True
        if gone.any():
            self._keep((~gone).nonzero()[0])
