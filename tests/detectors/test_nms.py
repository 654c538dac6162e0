"""Suppression of duplicates, against the definition written out as a double loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.boxes import iou_of_xyxy
from pipeline.detectors.common.nms import SuppressionRules, keep_best, suppress


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
@pytest.mark.slow
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


# Boxes whose overlaps are easy to work out by hand. A and B: 8 of 12 columns are shared, so IoU is
# 80 / 120; centres are 2 apart and what encloses both is 12 x 10, so distance-IoU is less by
# 4 / 244. A and C: 5 of 15 columns, IoU 1 / 3. F is far away.
A, B, C, F = [0, 0, 10, 10], [2, 0, 12, 10], [5, 0, 15, 10], [50, 50, 60, 60]
AB = 2 / 3


@pytest.mark.parametrize(
    ("method", "iou", "rows"),
    [
        ("greedy", AB - 0.001, [0, 2]),
        ("greedy", AB + 0.001, [0, 1, 2]),
        ("diou", AB - 4 / 244 - 0.001, [0, 2]),
        ("diou", AB - 4 / 244 + 0.001, [0, 1, 2]),
        ("wbf", AB - 0.001, [0, 2]),
        ("wbf", AB + 0.001, [0, 1, 2]),
    ],
)
def test_thresholds_of_the_methods(method, iou, rows):
    xyxy, score = np.array([A, B, F], np.float32), np.array([0.9, 0.6, 0.5], np.float32)
    kept = keep_best(xyxy, score, None, SuppressionRules(method, iou))
    assert kept.rows.tolist() == rows
    assert kept.score.tolist() == score[rows].tolist()


def test_soft_suppression_lowers_scores_by_overlap():
    """B overlaps A, C overlaps B once that was taken; each factor is exp(-IoU^2 / 0.5)."""
    xyxy, score = np.array([C, A, B, F], np.float32), np.array([0.7, 0.9, 0.8, 0.3], np.float32)
    kept = keep_best(xyxy, score, None, SuppressionRules("soft", conf=0.1))
    bc = 7 / 13  # 7 of 13 columns
    after_a = {2: 0.8 * np.exp(-(AB**2) / 0.5), 0: 0.7 * np.exp(-((1 / 3) ** 2) / 0.5)}
    b_after_c = after_a[2] * np.exp(-(bc**2) / 0.5)
    assert after_a[0] > after_a[2]  # so C is taken before B, and lowers it once more
    assert kept.rows.tolist() == [1, 0, 3, 2]
    assert kept.score == pytest.approx([0.9, after_a[0], 0.3, b_after_c], abs=1e-6)
    assert kept.xyxy.tolist() == xyxy[kept.rows].tolist()
    few = keep_best(xyxy, score, None, SuppressionRules("soft", conf=0.25))
    assert few.rows.tolist() == [1, 0, 3]


def test_fused_boxes_are_averages_weighted_by_score():
    xyxy, score = np.array([B, F, A], np.float32), np.array([0.3, 0.5, 0.9], np.float32)
    kept = keep_best(xyxy, score, None, SuppressionRules("wbf", iou=0.5))
    assert kept.rows.tolist() == [2, 1]
    assert kept.xyxy[0] == pytest.approx([0.5, 0, 10.5, 10])  # 0.9 parts of A, 0.3 of B
    assert kept.xyxy[1].tolist() == F
    assert kept.score == pytest.approx([0.9, 0.5])


METHODS = ["greedy", "diou", "soft", "wbf"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_classes_apart(method):
    xyxy, score = np.array([A, A, F], np.float32), np.array([0.9, 0.8, 0.7], np.float32)
    rules = SuppressionRules(method, 0.5, conf=0.25)
    assert keep_best(xyxy, score, np.array([0, 79, 0], np.int32), rules).rows.tolist() == [0, 1, 2]
    assert keep_best(xyxy, score, None, rules).rows.tolist() == [0, 2]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_passes_broken_boxes_on_and_keeps_to_the_limit(method):
    xyxy = np.array([[np.nan, 0, 1, 1], A, F, [5, 5, 5, 9]], np.float32)
    score = np.array([0.95, 0.9, 0.8, 0.7], np.float32)
    kept = keep_best(xyxy, score, None, SuppressionRules(method, 0.5))
    assert kept.rows.tolist() == [1, 2, 0, 3]
    assert keep_best(xyxy, score, None, SuppressionRules(method, 0.5, 1)).rows.tolist() == [1]
    nothing = keep_best(xyxy[:0], score[:0], None, SuppressionRules(method))
    assert [len(each) for each in nothing] == [0, 0, 0]


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 40))
def test_diou_of_boxes_with_one_centre_is_greedy(seed, count):
    rng = np.random.default_rng(seed)
    half = rng.uniform(2, 30, (count, 2))
    xyxy = np.hstack((-half, half)).astype(np.float32)
    score = rng.choice(np.linspace(0.1, 1, 8), count).astype(np.float32)
    class_id = rng.integers(0, 3, count).astype(np.int32)
    plain, other = (
        keep_best(xyxy, score, class_id, SuppressionRules(each, 0.45)) for each in METHODS[:2]
    )
    assert other.rows.tolist() == plain.rows.tolist()
