"""Columns of numbers that tracks come into and leave, kept in one array each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Rows = NDArray[np.intp]


class Columns:
    """f64[C,n] in a buffer that grows by doubling: C numbers for each of n tracks.

    One column of numbers is contiguous (struct of arrays), so that whole-array arithmetic runs
    at full speed. `table` is a view: read it again after `append` and `keep`.
    """

    def __init__(self, columns: int) -> None:
        self._buffer = np.empty((columns, 16))
        self.table: Float64 = self._buffer[:, :0]

    def __len__(self) -> int:
        return int(self.table.shape[1])

    def append(self, values: Float64) -> None:
        """Add f64[C,m] behind the last track; a [C,1] needs no m, so it adds one track."""
        start = len(self)
        stop = start + values.shape[1]
        if stop > self._buffer.shape[1]:
            grown = np.empty((len(self._buffer), 2 * stop))
            grown[:, :start] = self.table
            self._buffer = grown
        self._buffer[:, start:stop] = values
        self.table = self._buffer[:, :stop]

    def keep(self, rows: Rows) -> None:
        """Leave only `rows`, in that order."""
        left = self.table.take(rows, 1)
        self.table = self._buffer[:, : len(rows)]
        self.table[:] = left

    def load(self, table: Float64) -> None:
        """Hold a copy of f64[C,n] and nothing else; raises ValueError for another C."""
        if table.ndim != 2 or len(table) != len(self.table):
            raise ValueError(f"want shape ({len(self.table)}, n), got {table.shape}")
        self.table = self._buffer[:, :0]
        self.append(table)
