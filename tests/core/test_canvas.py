"""Drawn on planes looks as drawn on BGR, but for the pixels that share a chroma pixel."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.core.canvas import Canvas
from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.drawing import Annotator
from pipeline.core.masks import Mask
from pipeline.core.yuv import BT601, BT709, YuvColour, yuv_matrix

GREY = 90
SIZE = 240, 320


def planes_of(bgr: tuple[int, int, int], colour: YuvColour) -> np.ndarray:
    y, cb, cr = (yuv_matrix(colour) @ (*bgr, 1)).round().astype(int).tolist()
    planes = np.empty((SIZE[0] * 3 // 2, SIZE[1]), np.uint8)
    planes[: SIZE[0]] = y
    planes[SIZE[0] :, ::2], planes[SIZE[0] :, 1::2] = cb, cr
    return planes


def shown(planes: np.ndarray, colour: YuvColour) -> np.ndarray:
    frame = av.VideoFrame.from_ndarray(planes, format="nv12")
    frame.colorspace, frame.color_range = colour.matrix, 2 if colour.full_range else 1
    return frame.to_ndarray(format="bgr24").astype(int)


def result(index: int) -> Result:
    """Two tracks, one coasting, one with a mask and keypoints, moved on from the frame before."""
    move = 6 * index
    xyxy = np.array([[40 + move, 90, 110 + move, 200], [181, 61, 290, 151]], np.float32)
    whole = np.zeros(SIZE, bool)
    whole[100:190, 61 + move : 95 + move] = True
    points = np.array([[[70 + move, 130, 0.9]], [[200, 90, 0.9]]], np.float32)
    one, n = Mask.from_pixels(whole), np.arange(2)
    found = Detections(xyxy, np.float32([0.9, 0.5]), np.int32([0, 2]), (one, one), points)
    tracks = Tracks(
        xyxy, found.score, found.class_id, n + 1, np.int32([0, -1]), np.ones(2, np.float32)
    )
    image = np.full((*SIZE, 3), GREY, np.uint8)
    frame = Frame(image, "a", index, index / 10, 0.0)
    return Result(frame, found, tracks, {0: "person", 2: "car"})


ZONES = {
    "a": {
        "size": SIZE[::-1],
        "zones": [{"name": "door", "points": [[10, 10], [150, 10], [150, 60], [10, 60]]}],
        "lines": [{"name": "gate", "points": [[10, 220], [300, 220]]}],
    }
}


@pytest.mark.parametrize("matrix", [BT601, BT709])
@pytest.mark.parametrize("full", [False, True])
def test_planes_look_as_bgr(matrix, full):
    colour = YuvColour(matrix, full)
    bgr = np.full((*SIZE, 3), GREY, np.uint8)
    planes = planes_of((GREY, GREY, GREY), colour)
    on_bgr, on_planes = Annotator(2.0, ZONES), Annotator(2.0, ZONES)
    for index in range(5):
        bgr[:], planes[:] = GREY, planes_of((GREY, GREY, GREY), colour)
        on_bgr.paint(bgr, result(index))
        on_planes.paint(Canvas.on_nv12(planes, colour), result(index))
    there = shown(planes, colour)
    off = np.abs(there - bgr).max(axis=2)
    drawn = (bgr != GREY).any(axis=2)
    assert drawn.mean() > 0.1
    assert np.median(off[drawn]) <= 8, "colours of boxes, bars, mask"
    assert off[drawn].mean() < 30, "lines share their chroma with what is beside them"
    grown = np.lib.stride_tricks.sliding_window_view(np.pad(drawn, 3), (7, 7)).any(axis=(2, 3))
    assert off[~grown].max() <= 4, "nothing is drawn elsewhere"


def test_a_label_at_the_edge_and_of_any_length_stays_inside():
    colour = YuvColour()
    planes = planes_of((0, 0, 0), colour)
    one = result(0)
    xyxy = np.array([[300, 0, 330, 20], [-50, 230, 20, 260]], np.float32)
    long = {0: "person" * 20, 2: "行人"}
    tracks = Tracks(
        xyxy, one.tracks.score, one.tracks.class_id, np.arange(2) + 1, np.int32([0, 1]),
        np.ones(2, np.float32),
    )  # fmt: skip
    moved = Result(one.frame, Detections.empty(), tracks, long)
    Annotator(0).paint(Canvas.on_nv12(planes, colour), moved)
    assert (shown(planes, colour) > 60).any()
