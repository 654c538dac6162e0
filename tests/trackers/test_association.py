"""The assignment: the best matching under the gate, beside lap's own gated solution."""

from __future__ import annotations

import lap
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.trackers._association import assign, others

LIMIT = 0.7
COSTS = st.sampled_from([0.0, 0.1, 0.35, 0.5, 0.69, 0.7, 0.9, 1.0]) | st.floats(0, 1)
TABLES = st.tuples(st.integers(0, 9), st.integers(0, 9)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=COSTS)
)


def gated(cost):
    """Our matching of a full cost table, the gate inside."""
    i, j = np.indices(cost.shape).reshape(2, -1)
    return assign(i, j, LIMIT - cost[i, j], cost.shape)


@settings(deadline=None)
@given(TABLES)
@pytest.mark.slow
def test_gains_as_much_as_laps_gated_assignment(cost):
    """The shortcut for sure pairs and the small matrix must not cost the optimum."""
    rows, columns, pair = gated(cost)
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert (cost[rows, columns] < LIMIT).all()
    np.testing.assert_array_equal(pair, rows * cost.shape[1] + columns)
    theirs = 0.0
    if cost.size:
        _, column_of_row, _ = lap.lapjv(cost, extend_cost=True, cost_limit=LIMIT)
        matched = np.flatnonzero(column_of_row >= 0)
        theirs = (LIMIT - cost[matched, column_of_row[matched]]).sum()
    np.testing.assert_allclose((LIMIT - cost[rows, columns]).sum(), theirs, atol=1e-9)


def test_the_gate_is_inside_the_assignment():
    """The plain optimum crosses (0.72 + 0.71 < 0.5 + 1.0); gated after it, nothing is left of
    it, although row 0 has a partner under the limit."""
    rows, columns, _ = gated(np.array([[0.5, 0.72], [0.71, 1.0]]))
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


def test_pairs_that_are_no_number_are_never_matched():
    i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    benefit = np.array([np.nan, 0.2, np.inf, -np.inf])
    rows, columns, _ = assign(i, j, benefit, (2, 2))
    assert (rows.tolist(), columns.tolist()) == ([0], [1])


def test_nothing_to_assign_is_empty():
    none = np.empty(0, np.intp)
    for shape in ((0, 0), (3, 0), (0, 3), (3, 3)):
        assert all(len(part) == 0 for part in assign(none, none, np.empty(0), shape))


def test_a_crowd_of_equal_rivals_is_settled():
    """Ties everywhere: no pair is sure, and the search must still end with a full matching."""
    i, j = np.indices((40, 40)).reshape(2, -1)
    rows, columns, _ = assign(i, j, np.full(1600, 0.5), (40, 40))
    assert sorted(rows) == sorted(columns) == list(range(40))


def test_others_are_the_rows_left():
    assert others(5, np.array([3, 0])).tolist() == [1, 2, 4]
    assert others(0, np.empty(0, np.intp)).tolist() == []
