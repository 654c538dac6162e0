"""Box maths: pairwise functions agree with the plain definitions, conversions undo each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.core import boxes

NUMBER = st.integers(-40, 40).map(float) | st.floats(-50, 50, width=32)
SIZE = st.integers(1, 30).map(float) | st.floats(0.5, 60, width=32)


@st.composite
def xyxy_arrays(draw, most: int = 12):
    n = draw(st.integers(0, most))
    corner = draw(arrays(np.float64, (n, 2), elements=NUMBER))
    return np.concatenate((corner, corner + draw(arrays(np.float64, (n, 2), elements=SIZE))), 1)


def iou_of_two(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared)


@pytest.mark.slow
@settings(deadline=None)
@given(xyxy_arrays(), xyxy_arrays())
def test_iou_matrix_is_the_definition(a, b):
    want = [[iou_of_two(x, y) for y in b] for x in a]
    np.testing.assert_allclose(
        boxes.iou_of_xyxy(a, b), np.reshape(want, (len(a), len(b))), atol=1e-12
    )


@pytest.mark.slow
@settings(deadline=None)
@given(xyxy_arrays(), xyxy_arrays(), st.sampled_from(["C", "F"]))
def test_overlapping_pairs_are_those_with_iou_above_zero(a, b, order):
    """The sweep must lose no pair, whatever the widths: a missed pair is a broken track."""
    a, b = np.asarray(a, order=order), np.asarray(b, order=order)
    i, j = boxes.overlapping_pairs(a, b)
    iou = boxes.iou_of_xyxy(a, b)
    found = np.zeros_like(iou)
    found[i, j] = boxes.iou_of_pairs(a, b, i, j)
    assert len(set(zip(i.tolist(), j.tolist(), strict=True))) == len(i)
    assert np.all(np.diff(i) >= 0)
    np.testing.assert_allclose(found, iou, atol=1e-12)


def test_boxes_that_only_touch_do_not_overlap():
    a = np.array([[0.0, 0.0, 10.0, 10.0]])
    b = np.array([[10.0, 0.0, 20.0, 10.0], [0.0, 10.0, 10.0, 20.0], [-5.0, 0.0, 0.0, 10.0]])
    assert len(boxes.overlapping_pairs(a, b)[0]) == 0


@settings(deadline=None)
@given(xyxy_arrays(), st.sampled_from([np.float32, np.float64]))
@pytest.mark.slow
def test_conversions_are_inverse(xyxy, dtype):
    xyxy = xyxy.astype(dtype)
    loose = 1e-3 if dtype is np.float32 else 1e-9
    for there, back in (
        (boxes.cxcywh_from_xyxy, boxes.xyxy_from_cxcywh),
        (boxes.cxcysr_from_xyxy, boxes.xyxy_from_cxcysr),
    ):
        result = back(there(xyxy))
        assert result.dtype == dtype
        np.testing.assert_allclose(result, xyxy, atol=loose)


def test_cxcysr_of_a_known_box():
    np.testing.assert_allclose(
        boxes.cxcysr_from_xyxy(np.array([[10.0, 20.0, 50.0, 30.0]])), [[30, 25, 400, 4]]
    )


@pytest.mark.parametrize(
    ("box", "usable"),
    [
        ((0, 0, 1, 1), True),
        ((0, 0, 100, 1), True),
        ((-5, -5, -1, -1), True),
        ((0, 0, 0, 1), False),
        ((0, 0, 1, 0), False),
        ((1, 0, 0, 1), False),
        ((np.nan, 0, 1, 1), False),
        ((0, 0, np.inf, 1), False),
        ((-np.inf, 0, 1, 1), False),
    ],
)
def test_usable_boxes_are_finite_and_have_an_area(box, usable):
    assert boxes.usable_xyxy(np.array([box], np.float32)).tolist() == [usable]


def test_area_of_an_inside_out_box_is_zero():
    assert boxes.area_of_xyxy(np.array([[5.0, 5.0, 1.0, 9.0], [0.0, 0.0, 2.0, 3.0]])).tolist() == [
        0,
        6,
    ]
