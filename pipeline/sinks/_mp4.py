"""Writes an H.264 MP4 file, playable while it grows, after a crash, and everywhere once closed.

While recording every frame is a fragment of its own (ISO/IEC 14496-12, movie fragments), so a
killed process loses the frame it was at. `close` copies the packets into an ordinary file with the
index at the front and puts that in place in one step. FFmpeg's `hybrid_fragmented` needs no copy,
but leaves the index at the end, where a browser must look for it.
"""

from __future__ import annotations

import logging
import math
import os
import stat
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from av.video.stream import VideoStream

from pipeline.core.atomic_file import replacing
from pipeline.core.canvas import Canvas
from pipeline.core.data import Frame, Image
from pipeline.core.errors import WriteError, system_reason, writing
from pipeline.core.own_video import OWN_TAG
from pipeline.core.paths import ffmpeg_path
from pipeline.core.scaling import averaged
from pipeline.core.yuv import YuvColour, YuvImage, yuv_matrix
from pipeline.sinks._frame_times import TICKS, FrameTimes

log = logging.getLogger("trackline")

KEY_EVERY_S = 1.0
RECORDING = {
    "movflags": "+frag_every_frame+empty_moov+default_base_moof",
    "flush_packets": "1",
    "video_track_timescale": str(TICKS),
}
# Read front to back: with seeking FFmpeg looks every fragment up in a list, which takes quadratic
# time (6.6 s more for 120,000 frames of 30 a second, by that most of an hour for a day). What is
# copied need not be known better than the header says: looking at more decodes pictures, 10 ms.
_IN_ORDER = {"seekable": "0", "probesize": "32"}
_FINISHED = {"movflags": "+faststart", "video_track_timescale": str(TICKS)}
_LIMITED_RANGE, _FULL_RANGE, _BT709 = 1, 2, 1
# What x264 takes (MAX_RESOLUTION), and what FFmpeg does (av_image_check_size2 in imgutils.c).
_MAX_SIDE = 16384
_MAX_AREA, _AREA_MARGIN = (2**31 - 1) // 8, 128


def encodable_size(height: int, width: int, max_height: int | None = None) -> tuple[int, int]:
    """Return the (height, width) at which a picture is encoded: even, within the limits of x264.

    An odd side grows by one. Larger pictures, and those above `max_height`, shrink, their
    proportions kept as far as whole pixels go.
    """
    scale = min(1.0, _MAX_SIDE / max(height, width), (max_height or height) / height)
    area = (height * scale + _AREA_MARGIN) * (width * scale + _AREA_MARGIN)
    if area >= _MAX_AREA:
        scale *= math.sqrt(_MAX_AREA / area) * 0.999
    if scale == 1.0:
        return height + height % 2, width + width % 2
    return max(2, int(height * scale) // 2 * 2), max(2, int(width * scale) // 2 * 2)


class Mp4Writer:
    """Encoder of one MP4 file with pictures of one size; raises WriteError when the disk is full.

    Planes are drawn on and encoded directly, in the colours of the first `image`; BGR is converted
    to planes after drawing. Pictures larger than the encoder takes, or than `max_height`, are
    scaled after drawing.
    """

    patience_s = 2.0
    """Seconds of rewriting a long file in `close` after which a log line says so."""

    def __init__(
        self,
        path: Path,
        image: Image | YuvImage,
        encoder: dict[str, object],
        threads: int,
        max_height: int | None = None,
        codec: str = "libx264",
    ) -> None:
        self.path = path
        height, width = self.size = image.shape[0], image.shape[1]
        self._colour = YuvColour()
        if isinstance(image, YuvImage) and not image.colour.is_hdr:
            self._colour = image.colour  # HDR is written in standard range, which all players show
        self._times = FrameTimes()
        self._frames = 0
        self._key_ticks: int | None = None
        # 4:2:0 wants even sizes: the last column or row is doubled, nothing is scaled.
        full = height + height % 2, width + width % 2
        even_height, even_width = encodable_size(height, width, max_height)
        self._nv12 = _nv12(full)
        self._scaled = self._nv12
        if even_height < height or even_width < width:
            self._scaled = _nv12((even_height, even_width))
            if encodable_size(height, width) != full:
                log.warning(
                    "%s: pictures of %dx%d are scaled to %dx%d, H.264 is encoded no larger",
                    path, width, height, even_width, even_height,
                )  # fmt: skip
        self._bgr: Image | None = None  # what is drawn on where that is not the planes
        self._is_bgr = False
        self._chroma = np.empty((2, 0, 0), np.uint8)
        with writing(path, WriteError):
            path.open("wb").close()
        self._container = av.open(ffmpeg_path(path), "w", format="mp4", container_options=RECORDING)
        self._container.metadata.update(OWN_TAG)
        self._stream = cast("VideoStream", self._container.add_stream(codec, rate=30))
        self._stream.width, self._stream.height = even_width, even_height
        self._stream.pix_fmt = "nv12"
        self._stream.options = encoder
        context = self._stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.thread_count = threads
        context.gop_size = 10_000  # key frames are set by time, below
        # Said in the file, no player has to guess.
        context.color_range = _FULL_RANGE if self._colour.full_range else _LIMITED_RANGE
        context.colorspace = self._colour.matrix
        context.color_primaries, context.color_trc = _BT709, _BT709

    def show_pixels(self, wide: int, high: int) -> None:
        """Set the aspect ratio of non-square pixels; before the first frame."""
        ratio = Fraction(wide, high)
        self._stream.sample_aspect_ratio = self._stream.codec_context.sample_aspect_ratio = ratio

    def canvas(self, image: Image | YuvImage) -> Image | Canvas:
        """Return a copy of `image` to draw on.

        It is reused, so encode it before requesting the next one.
        """
        if isinstance(image, YuvImage) and image.colour == self._colour:
            self._is_bgr = False
            image.copy_nv12(self._nv12)
            return Canvas.on_nv12(self._nv12, self._colour)
        self._is_bgr = True
        if self._bgr is None:
            rows, columns = self._nv12.shape
            self._bgr = np.empty((rows * 2 // 3, columns, 3), np.uint8)
            self._chroma = np.empty((2, rows // 3, columns // 2), np.uint8)
        height, width = self.size
        drawn = self._bgr[:height, :width]
        np.copyto(drawn, image.bgr if isinstance(image, YuvImage) else image)
        return drawn

    def encode(self, frame: Frame) -> None:
        """Append the canvas, at the time of `frame`."""
        if self._is_bgr and self._bgr is not None:
            height, width = self.size
            self._bgr[height:] = self._bgr[height - 1 : height]
            self._bgr[:, width:] = self._bgr[:, width - 1 : width]
            write_nv12(self._bgr, self._colour, self._nv12, self._chroma)
        if self._scaled is not self._nv12:
            _scale_nv12(self._nv12, self._scaled)
        # PyAV takes the memory as it is where it counts the rows right, in multiples of 4; x264
        # makes a copy of its own, so the next frame may be put into the same memory.
        whole = self._scaled.shape[0] % 6 == 0
        wrap = av.VideoFrame.from_numpy_buffer if whole else av.VideoFrame.from_ndarray
        picture = wrap(self._scaled, format="nv12")
        picture.pts = self._times.ticks(frame)
        picture.time_base = Fraction(1, TICKS)
        if self._key_ticks is None or picture.pts - self._key_ticks >= KEY_EVERY_S * TICKS:
            self._key_ticks = picture.pts
            picture.pict_type = PictureType.I
        self._mux(picture)
        self._frames += 1

    def close(self) -> None:
        """Finish the file; if it cannot be rewritten, the recording stays as it is, playable.

        Rewriting reads and writes the whole file, a second for 100,000 small frames; a log line
        says so where it takes long. A file that got no frame is removed: no player could open it.
        """
        if not self._frames:
            with suppress(av.FFmpegError):
                self._container.close()
            with writing(self.path, WriteError):
                self.path.unlink()
            return
        try:
            self._mux(None)
        finally:
            self._finish_recording()
        try:
            with replacing(self.path) as partial:
                copy_packets(self.path, partial, self.patience_s)
        except (av.FFmpegError, OSError) as error:
            raise unwritable(self.path, error) from error

    def _mux(self, picture: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(picture):
                packet.duration = max(1, round(self._times.step_s * TICKS))
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise unwritable(self.path, error) from error

    def _finish_recording(self) -> None:
        try:
            self._container.close()
        except av.FFmpegError as error:
            raise unwritable(self.path, error) from error


def _nv12(size: tuple[int, int]) -> Image:
    height, width = size
    return np.empty((height * 3 // 2, width), np.uint8)


def _chroma(planes: Image) -> Image:
    """Return the pairs u8[H/2,W/2,2] of NV12 u8[H*3/2,W]."""
    rows, width = planes.shape
    return planes[rows * 2 // 3 :].reshape(rows // 3, width // 2, 2)


def _scale_nv12(planes: Image, into: Image) -> None:
    height, width = into.shape[0] * 2 // 3, into.shape[1]
    averaged(planes[: planes.shape[0] * 2 // 3], (height, width), into[:height])
    averaged(_chroma(planes), (height // 2, width // 2), _chroma(into))


def write_nv12(bgr: Image, colour: YuvColour, into: Image, scratch: Image) -> None:
    """Write BGR u8[H,W,3] of even sides as NV12 into u8[H*3/2,W]; `scratch` is u8[2,H/2,W/2]."""
    height, width = bgr.shape[:2]
    if colour == YuvColour():
        # Six times as fast as the conversion in FFmpeg's swscale; it gives I420.
        cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420, dst=into)
        np.copyto(scratch, into[height:].reshape(scratch.shape))
        cv2.merge([scratch[0], scratch[1]], dst=_chroma(into))
        return
    yuv: Any = cv2.transform(bgr, yuv_matrix(colour).astype(np.float32))
    into[:height] = yuv[..., 0]
    half = width // 2, height // 2
    cv2.resize(np.ascontiguousarray(yuv[..., 1:]), half, _chroma(into), 0, 0, cv2.INTER_AREA)


def copy_packets(recording: Path, finished: Path, patience_s: float) -> None:
    """Copy the video from one file to another with the index before the pictures.

    The copy gets the read permissions of the original.
    """
    mode = stat.S_IMODE(recording.stat().st_mode)
    os.close(os.open(finished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode))
    say_at: float | None = time.monotonic() + patience_s
    with (
        av.open(ffmpeg_path(recording), format="mp4", options=_IN_ORDER) as source,
        av.open(ffmpeg_path(finished), "w", format="mp4", container_options=_FINISHED) as target,
    ):
        stream = source.streams.video[0]
        target.metadata.update(OWN_TAG)
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if say_at is not None and time.monotonic() >= say_at:
                log.info("finishing %s", recording.name)
                say_at = None
            if packet.dts is not None:  # the last one only says that the end has come
                packet.stream = copy
                target.mux(packet)


def unwritable(path: Path, error: Exception) -> WriteError:
    """Return the WriteError for an error of FFmpeg."""
    reason = system_reason(error) or str(error) or type(error).__name__
    return WriteError(f"{path}: cannot be written: {reason}")
