"""FFmpeg's decoded pictures as planes in its own memory, or as upright BGR in pooled memory."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from pipeline.core.data import Image
from pipeline.core.frame_pool import FramePool
from pipeline.core.yuv import BT601, YuvColour, YuvImage

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Orientation = tuple[bool, bool, bool]
"""Whether rows and columns change places, and which of left-right and up-down flip after that."""

_UPRIGHT: Orientation = (False, False, False)
_PLANES = frozenset({"yuv420p", "yuvj420p", "nv12"})
_FULL_RANGE, _UNSPECIFIED = 2, 2  # AVCOL_RANGE_JPEG, AVCOL_SPC_UNSPECIFIED
_UNKNOWN_MATRICES = (0, _UNSPECIFIED)  # RGB, of which nothing here is
# swscale refuses any other; damaged streams claim all sorts.
_MATRICES = frozenset({*_UNKNOWN_MATRICES, 1, 4, 5, 6, 7, 9})


def picture_stream(container: InputContainer) -> VideoStream | None:
    """Return the first video stream that has a decoder and is no cover picture, if there is one."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


class UprightConverter:
    """Gives the decoded pictures of one stream as planes, or as upright BGR u8[H,W,3] in `pool`.

    Planes are the decoder's own memory, which it uses again once no reference to them is left.
    swscale follows the picture's own colour matrix and range. It writes to memory of its own, so
    the slot costs one copy; a rotated picture is turned in that same copy.

    The display matrix is read with the first picture and again where the rotation changes.
    `may_mirror` is false for streams without a container that could mirror: there only a picture
    with a rotation is asked for its matrix.
    """

    def __init__(self, pool: FramePool, *, may_mirror: bool) -> None:
        from av.video.reformatter import VideoReformatter

        self._pool = pool
        self._reformatter = VideoReformatter()
        self._converting = threading.Lock()  # any thread may be the first to want BGR
        self._rotation: int | None = None if may_mirror else 0
        self._orientation = _UPRIGHT

    def __call__(self, picture: VideoFrame) -> Image | YuvImage:
        """Return the picture as it is meant to be seen: as planes where they are upright 4:2:0."""
        if int(picture.colorspace) not in _MATRICES:
            picture.colorspace = _UNSPECIFIED
        if picture.rotation != self._rotation:
            self._rotation = picture.rotation
            self._orientation = orientation_of(picture)
        if self._orientation == _UPRIGHT and (planes := _planes(picture)) is not None:
            to_bgr = partial(self._bgr, picture, _UPRIGHT)
            return YuvImage(planes[0], tuple(planes[1:]), _colour_of(picture), to_bgr)
        return self._bgr(picture, self._orientation)

    def _bgr(self, picture: VideoFrame, orientation: Orientation) -> Image:
        with self._converting:
            converted = self._reformatter.reformat(picture, format="bgr24", threads=1)
        plane = converted.planes[0]
        height, width = plane.height, plane.width
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
        bgr = rows[:, : width * 3].reshape(height, width, 3)
        transposed = orientation[0]
        slot = self._pool.take(width, height) if transposed else self._pool.take(height, width)
        if orientation == _UPRIGHT:
            np.copyto(slot, bgr)
        else:
            turn(bgr, orientation, slot)
        return slot


def _planes(picture: VideoFrame) -> list[Image] | None:
    """Return the planes of a picture in 8 bit 4:2:0 with even sides, as views; None of others."""
    if picture.format.name not in _PLANES or picture.width % 2 or picture.height % 2:
        return None
    planes = []
    for plane in picture.planes:
        if plane.line_size < picture.width // 2:  # upside down
            return None
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        rows.flags.writeable = False
        planes.append(rows)
    height, width = picture.height, picture.width
    luma = planes[0][:, :width]
    if len(planes) == 3:
        return [luma, *(rows[:, : width // 2] for rows in planes[1:])]
    # Cb and Cr of each pixel in turn; a row's last bytes are none of the picture's.
    pairs = planes[1][:, : planes[1].shape[1] // 2 * 2].reshape(height // 2, -1, 2)
    return [luma, pairs[:, : width // 2]]


def _colour_of(picture: VideoFrame) -> YuvColour:
    matrix = int(picture.colorspace)
    full = int(picture.color_range) == _FULL_RANGE or picture.format.name == "yuvj420p"
    return YuvColour(BT601 if matrix in _UNKNOWN_MATRICES else matrix, full)


def orientation_of(picture: VideoFrame) -> Orientation:
    """Return how to turn and mirror a picture, by the display matrix of ISO/IEC 14496-12.

    The matrix [a b; c d] takes the stored column x and row y to a x + c y and b x + d y.
    """
    # PyAV's side data and their picture refer to each other, so the picture's memory would stay
    # until the garbage collector comes by: a copy of four pixels carries the same side data.
    tiny = picture.reformat(width=2, height=2, format="gray", threads=1)
    matrix = tiny.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return _UPRIGHT
    a, b, _, c, d = np.frombuffer(cast("bytes", matrix), np.int32)[:5].tolist()
    if abs(b) > abs(a):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def turn(bgr: Image, orientation: Orientation, slot: Image) -> None:
    """Write `bgr` turned and mirrored into `slot`."""
    import cv2

    transposed, left_right, up_down = orientation
    if transposed and left_right != up_down:
        code = cv2.ROTATE_90_CLOCKWISE if left_right else cv2.ROTATE_90_COUNTERCLOCKWISE
        cv2.rotate(bgr, code, dst=slot)
    elif transposed:
        cv2.transpose(bgr, dst=slot)
        if left_right:
            cv2.rotate(slot, cv2.ROTATE_180, dst=slot)
    else:
        cv2.flip(bgr, -1 if left_right and up_down else 1 if left_right else 0, dst=slot)
