"""From FFmpeg's decoded pictures to upright BGR arrays in pooled memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.data import Image
from pipeline.pool import FramePool

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

# Counterclockwise quarter turns, as the display matrix of ISO/IEC 14496-12 is read by FFmpeg.
_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}


def picture_stream(container: InputContainer) -> VideoStream | None:
    """Return the first video stream that has a decoder and is no cover picture, if there is one."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def upright_bgr(picture: VideoFrame, reformatter: VideoReformatter, pool: FramePool) -> Image:
    """Return the picture as it is meant to be seen, BGR u8[H,W,3], in a slot of `pool`.

    swscale follows the picture's own colour matrix and range. It writes to memory of its own, so
    the slot costs one copy; a rotated picture is turned in that same copy.
    """
    converted = reformatter.reformat(picture, format="bgr24", threads=1)
    plane = converted.planes[0]
    height, width = plane.height, plane.width
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
    bgr = rows[:, : width * 3].reshape(height, width, 3)
    turns = round(picture.rotation / 90) % 4
    if not turns:
        slot = pool.take(height, width)
        np.copyto(slot, bgr)
        return slot
    slot = pool.take(width, height) if turns % 2 else pool.take(height, width)
    cv2.rotate(bgr, _TURNS[turns], dst=slot)
    return slot
