"""What all trackers do with a frame: predict, match, correct, let go, begin, report."""

from __future__ import annotations

import math
import time
from typing import final

import numpy as np

from pipeline.data import Detections, Frame, Image, Tracks
from pipeline.errors import UsageError
from pipeline.trackers._camera_motion import CameraMotion
from pipeline.trackers._columns import Columns, Float64, Rows
from pipeline.trackers._filters import BoxFilters
from pipeline.trackers._ledger import CLASS, ROW, SEEN, Ledger, Rules, Seen, read
from pipeline.trackers._options import TrackerOptions
from pipeline.trackers._pairs import Matches, Pairs
from pipeline.trackers._similarity import Similarity

State = dict[str, Float64]

# Trackers match across classes, but prefer a track's own: what a pair of two classes gains in the
# assignment counts this much, and its boxes must overlap more than that.
_OTHER_CLASS = 0.25
_MIN_IOU_OTHER_CLASS = 0.5


class Tracking:
    """A tracker for one source. A kind of tracker says how to match, and what else is its own.

    Every array of boxes in here is xyxy f64[4,n], a coordinate per row.
    """

    def __init__(self, options: TrackerOptions, rules: Rules) -> None:
        self._clock = options.clock()
        self._separate = options.classes == "separate"
        self._same_object_iou = options.same_object_iou
        self._rules = rules._replace(vote=not self._separate)
        self._filters = self._new_filters()
        self._ledger = Ledger(self._clock, self._rules)
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
        self._ledger = Ledger(self._clock, self._rules, self._ledger.last_id)
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
        pairs = Pairs(seen.xyxy.take(ranked, 1), seen.xyxy.take(order, 1))
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

    def _pairs(self, tracks: Float64, seen: Seen, growth: Float64 | None = None) -> Pairs:
        """Return the pairs that overlap, and what those of two classes are worth."""
        pairs = Pairs(tracks, seen.xyxy, growth)
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
        xyxy = Tracking._boxes(self, rows, detections)
        row = self._ledger.table[ROW].take(rows).astype(np.intp)
        seen = row >= 0
        xyxy[:, seen] = detections.xyxy[row[seen]].T
        return xyxy
