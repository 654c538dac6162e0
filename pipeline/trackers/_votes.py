"""Which class a track is of, when detections of several classes may be one object."""

from __future__ import annotations

import numpy as np

from pipeline.trackers._columns import Float64, Rows

# A detection of score 0 still says more than none.
_LEAST = 1e-6


class Votes:
    """For each of n tracks the sum of scores that each class has gathered.

    `table` f64[K,1+n] holds the id of each of the K classes met so far, then the sums.
    """

    def __init__(self) -> None:
        self.table: Float64 = np.empty((0, 1))

    def append(self, tracks: int) -> None:
        """Add tracks that nobody has voted on."""
        self.table = np.pad(self.table, ((0, 0), (0, tracks)))

    def keep(self, rows: Rows) -> None:
        """Leave only the tracks `rows`, in that order."""
        self.table = self.table.take(np.append(0, rows + 1), 1)

    def cast(self, rows: Rows, class_id: Float64, score: Float64) -> Float64:
        """Count one detection for each of `rows`; return the class that leads there, f64."""
        if not len(rows):
            return class_id
        new = np.setdiff1d(class_id, self.table[:, 0])
        if len(new):
            self.table = np.pad(self.table, ((0, len(new)), (0, 0)))
            self.table[-len(new) :, 0] = new
        order = self.table[:, 0].argsort()
        place = order[self.table[order, 0].searchsorted(class_id)]
        self.table[place, rows + 1] += np.maximum(score, _LEAST)
        leading: Float64 = self.table[self.table[:, rows + 1].argmax(0), 0]
        return leading
