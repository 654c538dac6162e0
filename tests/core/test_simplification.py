"""Paths simplified in time: within the tolerance, stops kept, ends kept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.core.simplification import simplified

T = np.linspace(0, 10, 400)
CURVE = np.stack([100 * np.sin(T), 50 * T, 20 * np.cos(3 * T)], 1)


@pytest.mark.parametrize("norm", [2, math.inf])
@pytest.mark.parametrize("tolerance", [0.5, 3.0, 20.0])
def test_what_is_left_out_lies_within_the_tolerance(norm: float, tolerance: float) -> None:
    kept = simplified(T, CURVE, tolerance, norm=norm)
    back = np.stack([np.interp(T, T[kept], CURVE[kept, axis]) for axis in range(3)], 1)
    assert 2 <= len(kept) < 200
    assert np.linalg.norm(back - CURVE, ord=norm, axis=1).max() <= tolerance


@pytest.mark.parametrize(
    ("times", "values", "tolerance", "kept"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3], 0.1, [0, 3]),
        ([0, 1, 2, 3], [0, 1, 2, 3], 0, [0, 1, 2, 3]),
        ([0, 1, 2, 9], [0, 1, 2, 3], 0.1, [0, 2, 3]),  # it slows down
        ([0, 1, 5, 6], [0, 1, 1, 2], 0.1, [0, 1, 2, 3]),  # it stops
        ([4, 4, 4], [0, 5, 0], 1, [0, 1, 2]),  # no time passes
        ([4], [7], 1, [0]),
        ([], [], 1, []),
    ],
)
def test_rows_that_stay(times, values, tolerance: float, kept: list[int]) -> None:
    column = np.array(values, np.float64).reshape(-1, 1)
    assert simplified(np.array(times, np.float64), column, tolerance).tolist() == kept
