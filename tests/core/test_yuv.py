"""Pictures as planes: the colours are those of FFmpeg's conversion, whatever matrix and range."""

from __future__ import annotations

import pickle
import threading
from copy import copy, deepcopy
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from pipeline.core.data import Frame
from pipeline.core.frame_pool import FramePool
from pipeline.core.yuv import BT601, BT709, YuvColour, YuvImage
from pipeline.sources._file.picture import UprightConverter


def scene(height: int = 96, width: int = 160) -> np.ndarray:
    """Return RGB of many colours that change slowly, as chroma has half the pixels."""
    rows, columns = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    rgb = np.stack([rows, columns, 1 - (rows + columns) / 2], -1)
    return (rgb * 255).astype(np.uint8)


def decoded(layout: str = "yuv420p", matrix: int = BT601, full: bool = False) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(scene(), format="rgb24")
    frame = frame.reformat(format=layout, dst_colorspace=matrix, dst_color_range=2 if full else 1)
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    return frame


def as_given(frame: av.VideoFrame) -> object:
    return UprightConverter(FramePool(), may_mirror=True)(frame)


@pytest.mark.parametrize("layout", ["yuv420p", "nv12"])
@pytest.mark.parametrize("matrix", [BT601, BT709])
@pytest.mark.parametrize("full", [False, True])
def test_scaled_planes_have_the_colours_of_the_whole_picture(layout, matrix, full):
    picture = as_given(decoded(layout, matrix, full))
    assert isinstance(picture, YuvImage)
    assert picture.colour == YuvColour(matrix, full)
    whole = picture.bgr
    assert np.abs(whole[..., ::-1].astype(int) - scene()).mean() < 3
    want = cv2.resize(whole, (80, 48)).astype(int)
    for average in (False, True):
        assert np.abs(picture.scaled((48, 80), average=average) - want).mean() < 1.2
    grey = cv2.cvtColor(cv2.resize(whole, (80, 48)), cv2.COLOR_BGR2GRAY).astype(int)
    # The grey of BT.709 has other weights than OpenCV's.
    assert np.abs(picture.grey((48, 80)) - grey).mean() < (2 if matrix == BT601 else 12)
    assert np.abs(picture.green(5).astype(int) - whole[2::5, 2::5, 1]).mean() < 3


@pytest.mark.parametrize("layout", ["gray", "rgb24", "yuva420p", "yuv420p10be"])
def test_what_has_no_planes_of_luma_and_chroma_alone_comes_as_bgr(layout):
    assert isinstance(as_given(decoded(layout)), np.ndarray)


@pytest.mark.parametrize(
    ("layout", "rows", "columns"),
    [("yuv422p", 96, 80), ("nv16", 96, 80), ("yuv444p", 96, 160), ("yuv440p", 48, 160),
     ("yuv411p", 96, 40), ("nv24", 96, 160)],
)  # fmt: skip
def test_chroma_of_more_pixels_stays_as_it_is_until_it_is_encoded(layout, rows, columns):
    """Pictures of webcams, JPEG in 4:2:2, were converted to BGR each."""
    picture = as_given(decoded(layout))
    assert isinstance(picture, YuvImage)
    assert {plane.shape[:2] for plane in picture.chroma} == {(rows, columns)}
    assert picture.nbytes == 96 * 160 + 2 * rows * columns
    whole = picture.bgr.astype(int)
    assert np.abs(whole[..., ::-1] - scene()).mean() < 3
    for average in (False, True):
        small = picture.scaled((48, 80), average=average)
        assert np.abs(small - cv2.resize(picture.bgr, (80, 48)).astype(int)).mean() < 2.5
    assert np.abs(picture.green(5).astype(int) - whole[2::5, 2::5, 1]).mean() < 3
    usual = as_given(decoded("yuv420p"))
    assert isinstance(usual, YuvImage)
    copies = np.empty((2, 96 * 3 // 2, 160), np.uint8)
    picture.copy_nv12(copies[0])
    usual.copy_nv12(copies[1])
    assert np.abs(copies[0].astype(int) - copies[1]).mean() < 1


@pytest.mark.parametrize("matrix", [0, 3, 8, 10, 99])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p"])
def test_matrices_that_swscale_refuses_are_taken_for_the_usual_one(layout, matrix):
    """Planes were made BGR on the thread of inference, where the refusal ended the whole run."""
    frame = decoded(layout)
    frame.colorspace = matrix
    picture = as_given(frame)
    whole = picture.bgr if isinstance(picture, YuvImage) else picture
    assert np.abs(whole[..., ::-1].astype(int) - scene()).mean() < 3


def test_blacker_than_black_is_black_in_grey():
    """It was as bright as it was below black: a full range that the stream does not tell of."""
    half = np.full((1, 8), 128, np.uint8)
    luma = np.tile(np.arange(0, 32, 2, dtype=np.uint8), (2, 1))
    grey = YuvImage(luma, (half, half)).grey((2, 16))[0].tolist()
    assert grey == [0] * 9 + [2, 5, 7, 9, 12, 14, 16]


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), deepcopy, copy])
def test_a_frame_of_planes_can_be_copied_and_sent_to_another_process(copied):
    """Memory of a decoder cannot be pickled: a plug-in that gives frames to a process failed."""
    frame = Frame(as_given(decoded()), "a", 3, 0.5, 1.5, 2, "a.mp4")
    other = copied(frame)
    np.testing.assert_array_equal(other.image, frame.image)
    assert not other.image.flags.writeable
    assert (other.source, other.index, other.pts_s) == ("a", 3, 0.5)
    assert (other.captured_at, other.epoch, other.file) == (1.5, 2, "a.mp4")


@pytest.mark.parametrize("size", [(95, 161), (95, 160), (96, 161), (1, 1), (3, 5)])
def test_the_last_row_and_column_of_odd_sizes_are_doubled_to_be_encoded(size):
    height, width = size
    odd = av.VideoFrame.from_ndarray(scene(*size), format="rgb24").reformat(format="yuv420p")
    picture = as_given(odd)
    assert isinstance(picture, YuvImage)
    assert picture.shape == picture.bgr.shape == (height, width, 3)
    assert picture.scaled((2, 4)).shape == (2, 4, 3)
    even = height + height % 2, width + width % 2
    copy = np.zeros((even[0] * 3 // 2, even[1]), np.uint8)
    picture.copy_nv12(copy)
    want = np.pad(picture.luma, ((0, height % 2), (0, width % 2)), "edge")
    np.testing.assert_array_equal(copy[: even[0]], want)
    np.testing.assert_array_equal(copy[even[0] :, ::2], picture.chroma[0])
    np.testing.assert_array_equal(copy[even[0] :, 1::2], picture.chroma[1])


@pytest.mark.parametrize("matrix", [BT601, BT709])
@pytest.mark.parametrize("full", [False, True])
def test_pictures_of_a_gpu_have_the_colours_of_the_same_from_a_processor(matrix, full):
    """NV12 took FFmpeg's general conversion: four times the time, and other roundings."""
    two = [as_given(decoded(layout, matrix, full)) for layout in ("nv12", "yuv420p")]
    assert all(isinstance(picture, YuvImage) for picture in two)
    assert np.abs(two[0].bgr.astype(int) - two[1].bgr).mean() < 0.2


def test_planes_become_nv12():
    picture = as_given(decoded())
    assert isinstance(picture, YuvImage)
    copy = np.empty((96 * 3 // 2, 160), np.uint8)
    picture.copy_nv12(copy)
    np.testing.assert_array_equal(copy[:96], picture.luma)
    np.testing.assert_array_equal(copy[96:, ::2], picture.chroma[0])
    np.testing.assert_array_equal(copy[96:, 1::2], picture.chroma[1])


def test_a_frame_makes_bgr_once_for_all_threads():
    made: list[int] = []

    def to_bgr() -> np.ndarray:
        made.append(1)
        return np.zeros((4, 6, 3), np.uint8)

    half = np.zeros((2, 3), np.uint8)
    planes = YuvImage(np.zeros((4, 6), np.uint8), (half, half), to_bgr=to_bgr)
    frame = Frame(planes, "a", 0, 0.0, 0.0)
    assert frame.shape == (4, 6, 3)
    assert frame.nbytes == 36
    moved = frame.moved(index=3)
    assert (moved.index, moved.yuv, made) == (3, planes, [])
    threads = [threading.Thread(target=lambda: moved.image) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert frame.image is moved.image
    assert not frame.image.flags.writeable
    assert made == [1]
    assert replace(frame, index=5).image is frame.image
    other = replace(frame, image=np.ones((2, 2, 3), np.uint8))
    assert (other.yuv, other.shape) == (None, (2, 2, 3))


@pytest.mark.parametrize(
    ("luma", "chroma"),
    [((9, 4), [(1, 2), (1, 2)]), ((4, 4), [(2, 2)]), ((4, 4), [(2, 2), (2, 1)]), ((4, 4), []),
     ((4, 4), [(2, 3), (2, 3)]), ((4, 4), [(2, 2, 3)]), ((4, 4), [(2,), (2,)]),
     ((0, 4), [(0, 2), (0, 2)]), ((4, 4), [(2, 2)] * 3)],
)  # fmt: skip
def test_planes_of_wrong_sizes_are_refused(luma, chroma):
    with pytest.raises(ValueError, match="want Cb and Cr of every pixel, two or four"):
        YuvImage(np.zeros(luma, np.uint8), tuple(np.zeros(each, np.uint8) for each in chroma))
