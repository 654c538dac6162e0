"""Suppression of duplicates, against the definition written out as a double loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.boxes import iou_of_xyxy
from pipeline.detectors.common.nms import suppress


def by_definition(xyxy, score, class_id, iou, most):
    overlap = iou_of_xyxy(xyxy.astype(np.float64), xyxy.astype(np.float64))
    stay: list[int] = []
    for row in sorted(range(len(score)), key=lambda row: -score[row]):
        same = [one for one in stay if class_id is None or class_id[one] == class_id[row]]
        if all(overlap[row, one] <= iou for one in same):
            stay.append(row)
    return stay[:most]


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 60), aware=st.booleans())
def test_equals_the_definition(seed, count, aware):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    xyxy = np.hstack((corner, corner + rng.uniform(5, 60, (count, 2)))).astype(np.float32)
    # Few different scores, so that ties happen: they go in row order, as in torchvision.
    score = rng.choice(np.linspace(0.1, 1, 8), count).astype(np.float32)
    class_id = rng.integers(0, 3, count).astype(np.int32) if aware else None
    stay = suppress(xyxy, score, class_id, 0.45, 300)
    assert stay.tolist() == by_definition(xyxy, score, class_id, 0.45, 300)


@pytest.mark.parametrize(("iou", "left"), [(0.69, [0]), (0.71, [0, 1])])
def test_threshold_is_on_intersection_over_union(iou, left):
    xyxy = np.array([[0, 0, 10, 10], [0, 0, 10, 7]], np.float32)
    stay = suppress(xyxy, np.array([0.9, 0.8], np.float32), None, iou, 300)
    assert stay.tolist() == left


def test_classes_do_not_suppress_each_other_by_default():
    xyxy = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    score = np.array([0.8, 0.9], np.float32)
    assert suppress(xyxy, score, np.array([0, 79], np.int32), 0.5, 300).tolist() == [1, 0]
    assert suppress(xyxy, score, None, 0.5, 300).tolist() == [1]


def test_keeps_the_best_if_there_are_too_many():
    xyxy = np.arange(10, dtype=np.float32)[:, None] * 100 + np.array([0, 0, 9, 9], np.float32)
    score = np.linspace(0.1, 1, 10).astype(np.float32)
    assert suppress(xyxy, score, None, 0.5, 3).tolist() == [9, 8, 7]


@pytest.mark.parametrize(
    "bad", [[np.nan, 0, 10, 10], [0, 0, np.inf, 10], [5, 5, 5, 9], [9, 9, 5, 5]]
)
def test_a_broken_box_suppresses_nothing_and_is_passed_on(bad):
    """A comparison with NaN is never true: one such box could wipe out its whole class."""
    xyxy = np.array([bad, [0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    score = np.array([0.99, 0.5, 0.6], np.float32)
    assert suppress(xyxy, score, np.zeros(3, np.int32), 0.5, 300).tolist() == [2, 1, 0]
