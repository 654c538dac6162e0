"""Matching in two stages, as ByteTrack does and trackers built on it do.

Zhang, Sun, Jiang, Yu, Weng, Yuan, Luo, Liu, Wang: ByteTrack: Multi-Object Tracking by
Associating Every Detection Box, ECCV 2022.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipeline.trackers._columns import Float64, Rows
from pipeline.trackers._ledger import BORN_S, CLASS, ID, ROW, Rules, Seen
from pipeline.trackers._options import TrackerOptions
from pipeline.trackers._pairs import Matches, Pairs, duplicates
from pipeline.trackers._tracking import Tracking


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


class TwoStage(Tracking):
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

    def _similar(self, predicted: Float64, seen: Seen) -> Pairs:
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
