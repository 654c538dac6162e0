"""One-to-one assignment of tracks to detections, from a list of the pairs that may match."""

from __future__ import annotations

import lap
import numpy as np
from numpy.typing import NDArray

from pipeline.trackers._columns import Float64, Rows


def assign(i: Rows, j: Rows, benefit: Float64, shape: tuple[int, int]) -> tuple[Rows, Rows, Rows]:
    """Return (i, j, pair) of the matching that gains most: rows, columns and places in the list.

    Pair p would match row `i[p]` with column `j[p]` and gain `benefit[p]`; a pair is listed at
    most once, and `shape` bounds the rows and columns. Pairs that gain nothing, NaN or infinity
    are never matched, and that *is* the gate: with benefit = limit - cost the outcome is that of
    `lap.lapjv(cost, extend_cost=True, cost_limit=limit)`, while gating after a plain assignment
    lets hopeless pairs displace good ones.

    Most pairs need no search: one that gains more than all its rivals in its row and column
    together is part of every best matching, for putting it in costs at most two of them. Only
    what is left goes to the Jonker-Volgenant algorithm, as a small matrix.
    """
    open_pairs = ((benefit > 0) & (benefit < np.inf)).nonzero()[0]
    settled = [open_pairs[:0]]
    while len(open_pairs):
        rows, columns, gain = i.take(open_pairs), j.take(open_pairs), benefit.take(open_pairs)
        rivals = np.bincount(rows, gain, shape[0]).take(rows)
        rivals += np.bincount(columns, gain, shape[1]).take(columns)
        sure = 3 * gain > rivals
        if not sure.any():
            settled.append(open_pairs.take(_search(rows, columns, gain)))
            break
        settled.append(open_pairs[sure])
        if len(settled[-1]) == len(open_pairs):
            break
        taken = np.zeros(shape[0], bool), np.zeros(shape[1], bool)
        taken[0][rows[sure]] = True
        taken[1][columns[sure]] = True
        open_pairs = open_pairs[~(taken[0].take(rows) | taken[1].take(columns))]
    pair = np.concatenate(settled)
    return i.take(pair), j.take(pair), pair


def _search(rows: Rows, columns: Rows, gain: Float64) -> Rows:
    """Return the places in the list that make up the best matching."""
    _, row = np.unique(rows, return_inverse=True)
    _, column = np.unique(columns, return_inverse=True)
    cost = np.zeros((row.max() + 1, column.max() + 1))
    cost[row, column] = -gain
    # Everything not listed costs 0, as much as staying unmatched: no cost_limit is needed.
    column_of_row: NDArray[np.int32] = lap.lapjv(cost, extend_cost=True, return_cost=False)[0]
    chosen: Rows = (column_of_row[row] == column).nonzero()[0]
    return chosen


def others(n: int, taken: Rows) -> Rows:
    """Return the rows of 0..n-1 that are not in `taken`, ascending."""
    free = np.ones(n, bool)
    free[taken] = False
    return free.nonzero()[0]
