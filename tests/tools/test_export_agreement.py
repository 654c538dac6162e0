"""What the comparison of two detectors' boxes says, in cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.data import Detections
from pipeline.tools.export.agreement import agreement, pairs

CONF = 0.25


def boxes(*rows: tuple[float, float, int]) -> Detections:
    """Boxes of 10x10 pixels: (left, score, class)."""
    xyxy = np.array([[left, 0, left + 10, 10] for left, _, _ in rows], np.float32).reshape(-1, 4)
    score = np.array([score for _, score, _ in rows], np.float32)
    return Detections(xyxy, score, np.array([kind for _, _, kind in rows], np.int32))


ORIGINAL = boxes((0, 0.9, 0), (100, 0.6, 0), (200, 0.5, 1), (300, 0.1, 1))


@pytest.mark.parametrize(
    ("other", "recall", "precision", "map50"),
    [
        (ORIGINAL, 1, 1, 1),
        (Detections.empty(), 0, 1, 0),
        (boxes((0, 0.9, 0), (100, 0.6, 0)), 2 / 3, 1, 0.5),
        (boxes((0, 0.9, 1), (100, 0.6, 1), (200, 0.5, 0)), 0, 0, 0),
        # All found, one of them below the threshold, and one box too many above it.
        (boxes((0, 0.9, 0), (100, 0.2, 0), (200, 0.5, 1), (400, 0.3, 0)), 2 / 3, 2 / 3, 11 / 12),
        # The same object twice: the second one is too many.
        (boxes((0, 0.9, 0), (1, 0.8, 0), (100, 0.6, 0), (200, 0.5, 1)), 1, 3 / 4, 11 / 12),
    ],
)
def test_known_cases(other: Detections, recall: float, precision: float, map50: float) -> None:
    result = agreement([ORIGINAL], [other], CONF)
    assert result.boxes == 3
    assert (result.recall, result.precision) == pytest.approx((recall, precision))
    assert result.map50 == pytest.approx(map50)


def test_shift_and_overlap_are_over_the_pairs() -> None:
    result = agreement([boxes((0, 0.5, 0), (50, 0.5, 0))], [boxes((2, 0.4, 0))], CONF)
    assert result.score_shift == pytest.approx(-0.1)
    assert result.mean_iou == pytest.approx(8 / 12)


def test_pictures_without_objects_agree() -> None:
    result = agreement([Detections.empty()] * 3, [Detections.empty()] * 3, CONF)
    assert (result.frames, result.boxes) == (3, 0)
    assert (result.recall, result.precision, result.map50) == (1, 1, 1)


row = st.tuples(st.integers(0, 40), st.integers(26, 99).map(lambda n: n / 100), st.integers(0, 1))


@given(st.lists(row, max_size=8), st.lists(row, max_size=8))
@pytest.mark.slow
def test_pairs_use_each_box_once_and_only_within_a_class(
    a: list[tuple[int, float, int]], b: list[tuple[int, float, int]]
) -> None:
    ours, theirs = boxes(*a), boxes(*b)
    found = pairs(ours, theirs)
    assert len({row for row, _, _ in found}) == len(found) == len({row for _, row, _ in found})
    assert all(ours.class_id[i] == theirs.class_id[j] and iou >= 0.5 for i, j, iou in found)


@given(st.lists(row, min_size=1, max_size=8))
@pytest.mark.slow
def test_everything_agrees_with_itself(rows: list[tuple[int, float, int]]) -> None:
    """Unless boxes of a class lie so close that they can be taken for each other."""
    spread = boxes(*((20 * i, score, kind) for i, (_, score, kind) in enumerate(rows)))
    result = agreement([spread], [spread], CONF)
    assert (result.recall, result.precision, result.mean_iou) == (1, 1, 1)
    assert result.map50 == pytest.approx(1)
