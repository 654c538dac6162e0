"""Fitting pictures into a network's input, and bringing boxes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detectors.common.letterbox import PADDING, fit, paste, undo_xyxy

SIDE = st.integers(1, 4000)


@pytest.mark.parametrize(
    ("image", "target", "stride", "input_size", "scaled", "offset"),
    [
        ((576, 768), (640, 640), 32, (480, 640), (480, 640), (0, 0)),
        ((540, 960), (640, 640), 32, (384, 640), (360, 640), (12, 0)),
        ((720, 1280), (640, 640), 32, (384, 640), (360, 640), (12, 0)),
        ((1080, 1920), (416, 416), None, (416, 416), (234, 416), (91, 0)),
        ((1920, 1080), (640, 640), 32, (640, 384), (640, 360), (0, 12)),
        ((333, 500), (640, 640), 32, (448, 640), (426, 640), (11, 0)),
        ((101, 100), (64, 64), None, (64, 64), (64, 63), (0, 0)),
        ((50, 50), (640, 640), 32, (640, 640), (640, 640), (0, 0)),
        ((1, 3000), (640, 640), 32, (32, 640), (1, 640), (15, 0)),
    ],
)
def test_known_fits(image, target, stride, input_size, scaled, offset):
    box = fit(image, target, stride)
    assert (box.input_size, box.scaled_size, box.offset) == (input_size, scaled, offset)


def test_top_left_fit_pads_right_and_below_only():
    box = fit((540, 960), (416, 416), None, centred=False)
    assert (box.input_size, box.scaled_size, box.offset) == ((416, 416), (234, 416), (0, 0))


@given(height=SIDE, width=SIDE, imgsz=st.integers(1, 40).map(lambda n: 32 * n), data=st.data())
@pytest.mark.slow
def test_a_box_comes_back_where_it_was(height, width, imgsz, data):
    """Boxes handed to trackers are in pixels of the original picture, whatever its shape."""
    stride = data.draw(st.sampled_from([32, None]))
    box = fit((height, width), (imgsz, imgsz), stride, data.draw(st.booleans()))
    corners = data.draw(st.lists(st.floats(0, 1), min_size=4, max_size=4))
    xyxy = np.array([corners]) * [width, height, width, height]
    scale = np.array(box.scaled_size) / (height, width)
    there = xyxy * np.tile(scale[::-1], 2) + np.tile(box.offset[::-1], 2)

    back = undo_xyxy(there.astype(np.float32), box)

    # float32 holds a 4000 pixel picture, shrunk to 32, to about this much.
    tolerance = 1e-3 + 1e-6 * imgsz / min(scale)
    np.testing.assert_allclose(back, xyxy, atol=tolerance, rtol=1e-6)


@given(height=SIDE, width=SIDE, imgsz=st.integers(1, 40).map(lambda n: 32 * n))
def test_input_sides_are_multiples_of_the_stride_and_no_square(height, width, imgsz):
    box = fit((height, width), (imgsz, imgsz), 32)
    assert all(side % 32 == 0 and side <= imgsz for side in box.input_size)
    padding = np.subtract(box.input_size, box.scaled_size)
    assert (padding >= 0).all()
    assert (padding < 32).all()


def test_boxes_are_clipped_to_the_picture():
    box = fit((100, 200), (64, 64), 32)
    back = undo_xyxy(np.array([[-50, -50, 500, 500]], np.float32), box)
    np.testing.assert_array_equal(back, [[0, 0, 200, 100]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_clipping_does_not_turn_an_infinite_box_into_a_good_one(value):
    """The engine counts and drops boxes that are not finite; clipped to the frame it could not."""
    box = fit((100, 200), (64, 64), 32)
    back = undo_xyxy(np.array([[1, 1, value, 20], [1, 1, 20, 20]], np.float32), box)
    assert np.isnan(back[0]).all()
    assert np.isfinite(back[1]).all()


def test_picture_lands_in_its_place_and_padding_stays():
    image = np.full((50, 100, 3), 200, np.uint8)
    image.flags.writeable = False
    box = fit((50, 100), (64, 64), None)
    canvas = np.full((64, 64, 3), PADDING, np.uint8)
    paste(image, box, canvas)
    assert (canvas[16:48] == 200).all()
    assert (canvas[:16] == PADDING).all()
    assert (canvas[48:] == PADDING).all()


def test_picture_of_the_right_size_is_copied_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    canvas = np.zeros_like(image)
    paste(image, fit((64, 96), (96, 96), 32), canvas)
    np.testing.assert_array_equal(canvas, image)
