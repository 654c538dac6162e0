"""FFmpeg's decoded pictures as upright planes, in its own or in pooled memory; else as BGR."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from pipeline.core.data import Image
from pipeline.core.frame_pool import FramePool
from pipeline.core.hdr import HDR, to_standard_range
from pipeline.core.yuv import BT601, BT709, BT2020, YuvColour, YuvImage, halved_chroma

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Orientation = tuple[bool, bool, bool]
"""Whether rows and columns are swapped, and whether left-right and up-down are flipped
afterwards."""

_UPRIGHT: Orientation = (False, False, False)
_LIMITED_RANGE, _FULL_RANGE = 1, 2  # AVCOL_RANGE_MPEG and JPEG
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_UNKNOWN_MATRICES = (0, _UNSPECIFIED)  # RGB, of which nothing here is
# swscale refuses any other value; damaged streams claim all sorts.
_MATRICES = frozenset({*_UNKNOWN_MATRICES, 1, 4, 5, 6, 7, 9})


class _Samples(NamedTuple):
    """How the numbers of a pixel format's planes are stored: `bits` above `padding` bits of 0."""

    bits: int
    padding: int = 0


# Luma and two planes of chroma, or one of pairs (nv and p0, p2, p4, which GPUs give).
_FORMATS = {
    **{f"yuv{chroma}p": _Samples(8) for chroma in ("420", "422", "440", "444", "411", "410")},
    **{f"yuvj{chroma}p": _Samples(8) for chroma in ("420", "422", "440", "444", "411")},
    **{
        f"yuv{chroma}p{bits}le": _Samples(bits)
        for chroma in ("420", "422", "440", "444")
        for bits in (9, 10, 12, 14, 16)
    },
    **{f"nv{number}": _Samples(8) for number in (12, 16, 24)},
    **{
        f"p{chroma}{bits}le": _Samples(bits, 16 - bits)
        for chroma in (0, 2, 4)
        for bits in (10, 12, 16)
    },
}


def picture_stream(container: InputContainer) -> VideoStream | None:
    """Return the first decodable video stream that is not a cover picture, if there is one."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


class UprightConverter:
    """Gives the decoded pictures of one stream as upright planes, others as BGR u8[H,W,3].

    Upright planes of 8 bits stay the decoder's own memory, which it uses again once no reference
    to them is left. Of others a copy is made, in 4:2:0: of more bits the upper 8 remain, and what
    is rotated is turned. What has no such planes becomes BGR in a slot of `pool`: swscale follows
    the picture's own colour matrix and range, and writes to memory of its own, so that costs one
    copy; a rotated picture is turned in that same copy.

    The display matrix is read with the first picture and again where the rotation changes.
    `may_mirror` is false for streams without a container that could mirror: there only a picture
    with a rotation is asked for its matrix.
    """

    def __init__(self, pool: FramePool, *, may_mirror: bool) -> None:
        from av.video.reformatter import VideoReformatter

        self._pool = pool
        self._copies = FramePool()
        self._to_bgr, self._to_planes = VideoReformatter(), VideoReformatter()
        self._converting = threading.Lock()  # any thread may be the first to want BGR
        self._rotation: int | None = None if may_mirror else 0
        self._orientation = _UPRIGHT

    def __call__(self, picture: VideoFrame) -> Image | YuvImage:
        """Return the picture as it is meant to be seen: as planes where it has some."""
        if (matrix := int(picture.colorspace)) not in _MATRICES or matrix == _UNSPECIFIED:
            # HDR is BT.2020 (BT.2100); swscale takes what does not say its matrix for BT.601.
            picture.colorspace = BT2020 if int(picture.color_trc) in HDR else _UNSPECIFIED
        if picture.rotation != self._rotation:
            self._rotation = picture.rotation
            self._orientation = orientation_of(picture)
        upright = self._orientation == _UPRIGHT
        is_odd = picture.width % 2 or picture.height % 2
        # Of odd sides the last chroma stands for one pixel: turned, that would be the first.
        planes = None if is_odd and not upright else _planes(picture)
        if planes is None:
            return self._bgr(picture, self._orientation)
        if not upright or planes[0].dtype != np.uint8:
            return self._copy(picture, planes)
        to_bgr = partial(self._bgr, picture, _UPRIGHT)
        return YuvImage(planes[0], tuple(planes[1:]), _colour_of(picture), to_bgr)

    def _copy(self, picture: VideoFrame, planes: list[Image]) -> YuvImage:
        """Return the picture upright in 8 bit 4:2:0, in pooled memory."""
        height, width = picture.height, picture.width
        if self._orientation[0]:
            height, width = width, height
        # PyAV finds the planes in one array where they have a multiple of four rows.
        rows, columns = height + -height % 4, width + width % 2
        array = self._copies.take(rows // 2, columns).reshape(rows * 3 // 2, columns)
        chroma = array[rows:].reshape(2, rows // 2, columns // 2)
        half = (height + 1) // 2, (width + 1) // 2
        upright = [array[:height, :width], *chroma[:, : half[0], : half[1]]]
        samples, colour = _FORMATS[picture.format.name], _colour_of(picture)
        stored = half[::-1] if self._orientation[0] else half
        _reduce(planes[0], samples, self._orientation, upright[:1])
        if len(planes) == 2:
            _reduce(planes[1], samples, self._orientation, upright[1:], stored)
        else:
            _reduce(planes[1], samples, self._orientation, upright[1:2], stored)
            _reduce(planes[2], samples, self._orientation, upright[2:], stored)
        to_bgr = partial(self._bgr_of_copy, array, (height, width), colour)
        return YuvImage(upright[0], tuple(upright[1:]), colour, to_bgr)

    def _bgr_of_copy(self, array: Image, size: tuple[int, int], colour: YuvColour) -> Image:
        from av import VideoFrame

        picture = VideoFrame.from_numpy_buffer(array, "yuv420p")
        picture.colorspace = colour.matrix
        picture.color_range = _FULL_RANGE if colour.full_range else _LIMITED_RANGE
        picture.color_trc = colour.transfer
        return self._bgr(picture, _UPRIGHT, size)

    def _bgr(
        self, picture: VideoFrame, orientation: Orientation, size: tuple[int, int] | None = None
    ) -> Image:
        """Return a picture as BGR, turned; its first pixels where it is larger than `size`."""
        transfer = int(picture.color_trc)
        with self._converting:
            if picture.format.name == "nv12":  # swscale has a fast way from these planes alone
                picture = self._to_planes.reformat(picture, format="yuv420p", threads=1)
            converted = self._to_bgr.reformat(picture, format="bgr24", threads=1)
        plane = converted.planes[0]
        height, width = size or (plane.height, plane.width)
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        bgr = rows[:height, : width * 3].reshape(height, width, 3)
        transposed = orientation[0]
        slot = self._pool.take(width, height) if transposed else self._pool.take(height, width)
        turn(bgr, orientation, slot)
        if transfer in HDR:
            to_standard_range(slot, transfer)
        return slot


def _planes(picture: VideoFrame) -> list[Image] | None:
    """Return luma and chroma as views, u8 or u16; None of a picture that is stored otherwise."""
    form = picture.format
    if (samples := _FORMATS.get(form.name)) is None:
        return None
    itemsize = 1 if samples.bits == 8 else 2
    width, columns = picture.width, form.chroma_width(picture.width)
    planes = []
    for n, plane in enumerate(picture.planes):
        if plane.line_size < (columns if n else width) * itemsize:  # upside down
            return None
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows.flags.writeable = False
        numbers = rows[:, : plane.line_size // itemsize * itemsize].view(f"<u{itemsize}")
        planes.append(numbers[: form.chroma_height(picture.height) if n else picture.height])
    if len(planes) == 3:
        return [planes[0][:, :width], *(rows[:, :columns] for rows in planes[1:])]
    # Cb and Cr of each pixel in turn; a row's last bytes are none of the picture's.
    pairs = planes[1][:, : planes[1].shape[1] // 2 * 2].reshape(len(planes[1]), -1, 2)
    return [planes[0][:, :width], pairs[:, :columns]]


def _reduce(
    plane: Image,
    samples: _Samples,
    orientation: Orientation,
    into: Sequence[Image],
    size: tuple[int, int] | None = None,
) -> None:
    """Write a plane as 8 bits, turned, chroma at `size` before that, to one or two others."""
    import cv2

    plain = orientation == _UPRIGHT and len(into) == 1 and size in (None, plane.shape[:2])
    if plane.dtype != np.uint8:
        # BT.2100, table 9: levels of more bits are those of 8, times a power of two.
        target = into[0] if plain else None
        scale = 2.0 ** (8 - samples.bits - samples.padding)
        plane = np.asarray(cv2.convertScaleAbs(plane, dst=target, alpha=scale))
        if plain:
            return
    if size is not None:
        plane = halved_chroma(plane, size)
    for n, upright in enumerate(into):
        one = plane if plane.ndim == 2 else np.asarray(cv2.extractChannel(plane, n), np.uint8)
        turn(one, orientation, upright)


def _colour_of(picture: VideoFrame) -> YuvColour:
    matrix = int(picture.colorspace)
    full = int(picture.color_range) == _FULL_RANGE or picture.format.name.startswith("yuvj")
    transfer = int(picture.color_trc)
    return YuvColour(
        BT601 if matrix in _UNKNOWN_MATRICES else matrix,
        full,
        transfer if transfer in HDR else BT709,
    )


def orientation_of(picture: VideoFrame) -> Orientation:
    """Return how to turn and mirror a picture, by the display matrix of ISO/IEC 14496-12.

    The matrix [a b; c d] maps the stored column x and row y to a x + c y and b x + d y.
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


def turn(image: Image, orientation: Orientation, slot: Image) -> None:
    """Write a picture or plane turned and mirrored into `slot`."""
    if orientation == _UPRIGHT:
        np.copyto(slot, image)
        return
    import cv2

    transposed, left_right, up_down = orientation
    if transposed and left_right != up_down:
        code = cv2.ROTATE_90_CLOCKWISE if left_right else cv2.ROTATE_90_COUNTERCLOCKWISE
        cv2.rotate(image, code, dst=slot)
    elif transposed:
        cv2.transpose(image, dst=slot)
        if left_right:
            cv2.rotate(slot, cv2.ROTATE_180, dst=slot)
    else:
        cv2.flip(image, -1 if left_right and up_down else 1 if left_right else 0, dst=slot)
