"""Which class a track is of, when detections of several classes may be one object."""

from __future__ import annotations

import numpy as np

from pipeline.trackers._columns import Columns, Float64, Rows

# A detection of score 0 still says more than none.
_LEAST = 1e-6


class Votes:
    """For each of n tracks the sum of scores that each of the K classes met so far has gathered."""

    def __init__(self) -> None:
        self._class_id: Float64 = np.empty(0)
        self._sums = Columns(0)

    @property
    def table(self) -> Float64:
        """f64[K,1+n]: a class's id, then its sums; a copy."""
        return np.column_stack((self._class_id, self._sums.table))

    def load(self, table: Float64) -> None:
        """Hold what `table` was; raises ValueError for another shape."""
        if table.ndim != 2 or not table.shape[1]:
            raise ValueError(f"want votes of shape (K, 1+n), got {table.shape}")
        self._class_id = table[:, 0].copy()
        self._sums = Columns(len(table))
        self._sums.append(table[:, 1:])

    def append(self, tracks: int) -> None:
        """Add tracks that nobody has voted on."""
        self._sums.append(np.zeros((len(self._class_id), tracks)))

    def keep(self, rows: Rows) -> None:
        """Leave only the tracks `rows`, in that order."""
        self._sums.keep(rows)

    def cast(self, rows: Rows, class_id: Float64, score: Float64) -> Float64:
        """Count one detection for each of `rows`; return the class that leads there, f64."""
        if not len(rows):
            return class_id
        known = self._class_id
        if len(known) != 1 or (class_id != known[0]).any():
            return self._count(rows, class_id, score)
        self._sums.table[0, rows] += np.maximum(score, _LEAST)
        return class_id

    def _count(self, rows: Rows, class_id: Float64, score: Float64) -> Float64:
        """Count where there is more than one class, or the first."""
        new = np.setdiff1d(class_id, self._class_id)
        if len(new):
            self.load(np.pad(self.table, ((0, len(new)), (0, 0))))
            self._class_id[-len(new) :] = new
        order = self._class_id.argsort()
        place = order[self._class_id[order].searchsorted(class_id)]
        sums = self._sums.table
        sums[place, rows] += np.maximum(score, _LEAST)
        leading: Float64 = self._class_id[sums[:, rows].argmax(0)]
        return leading
