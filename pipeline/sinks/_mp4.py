"""One H.264 MP4 file that plays while it grows, after a crash, and everywhere once closed.

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

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from av.video.stream import VideoStream

from pipeline.core.atomic_file import replacing
from pipeline.core.data import Frame, Image
from pipeline.core.errors import WriteError, system_reason, writing
from pipeline.core.own_video import OWN_TAG
from pipeline.core.paths import ffmpeg_path
from pipeline.sinks._frame_times import TICKS, FrameTimes

log = logging.getLogger("trackline")

KEY_EVERY_S = 1.0
RECORDING = {
    "movflags": "+frag_every_frame+empty_moov+default_base_moof",
    "flush_packets": "1",
    "video_track_timescale": str(TICKS),
}
# Read front to back: with seeking FFmpeg looks every fragment up in a list, which takes quadratic
# time (6.6 s more for 120,000 frames of 30 a second, by that most of an hour for a day).
_IN_ORDER = {"seekable": "0", "probesize": "65536"}
_FINISHED = {"movflags": "+faststart", "video_track_timescale": str(TICKS)}
# cv2.cvtColor's YUV is ITU-R BT.601 in limited range; said in the file, no player has to guess.
_LIMITED_RANGE, _BT601, _BT709 = 1, 6, 1
# What x264 takes (MAX_RESOLUTION), and what FFmpeg does (av_image_check_size2 in imgutils.c).
_MAX_SIDE = 16384
_MAX_AREA, _AREA_MARGIN = (2**31 - 1) // 8, 128


def encodable_size(height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) at which a picture is encoded: even, within the limits of x264.

    An odd side grows by one. Larger pictures shrink, their proportions kept as far as whole
    pixels go.
    """
    scale = min(1.0, _MAX_SIDE / max(height, width))
    area = (height * scale + _AREA_MARGIN) * (width * scale + _AREA_MARGIN)
    if area >= _MAX_AREA:
        scale *= math.sqrt(_MAX_AREA / area) * 0.999
    if scale == 1.0:
        return height + height % 2, width + width % 2
    return max(2, int(height * scale) // 2 * 2), max(2, int(width * scale) // 2 * 2)


class Mp4Writer:
    """Encoder of one MP4 file, pictures of one size; raises WriteError when the disk is full.

    Pictures larger than the encoder takes are scaled after they were drawn on.
    """

    patience_s = 2.0
    """Seconds that `close` rewrites a long file before it logs so."""

    def __init__(self, path: Path, image: Image, encoder: dict[str, object], threads: int) -> None:
        self.path = path
        self.size = image.shape[:2]
        height, width = self.size
        self._times = FrameTimes()
        self._frames = 0
        self._key_ticks: int | None = None
        # 4:2:0 wants even sizes: the last column or row is doubled, nothing is scaled.
        even_height, even_width = encodable_size(height, width)
        self._scaled: Image | None = None
        if even_height < height or even_width < width:
            self._scaled = np.empty((even_height, even_width, 3), np.uint8)
            self._canvas = np.empty((height, width, 3), np.uint8)
            log.warning(
                "%s: pictures of %dx%d are scaled to %dx%d, H.264 is encoded no larger",
                path, width, height, even_width, even_height,
            )  # fmt: skip
        else:
            self._canvas = np.empty((even_height, even_width, 3), np.uint8)
        self._i420 = np.empty((even_height * 3 // 2, even_width), np.uint8)
        with writing(path, WriteError):
            path.open("wb").close()
        self._container = av.open(ffmpeg_path(path), "w", format="mp4", container_options=RECORDING)
        self._container.metadata.update(OWN_TAG)
        self._stream: VideoStream = self._container.add_stream("libx264", rate=30)
        self._stream.width, self._stream.height = even_width, even_height
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = encoder
        context = self._stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.thread_count = threads
        context.gop_size = 10_000  # key frames are set by time, below
        context.color_range, context.colorspace = _LIMITED_RANGE, _BT601
        context.color_primaries, context.color_trc = _BT709, _BT709

    def show_pixels(self, wide: int, high: int) -> None:
        """Set the aspect ratio of the pixels, where not square; before the first frame."""
        ratio = Fraction(wide, high)
        self._stream.sample_aspect_ratio = self._stream.codec_context.sample_aspect_ratio = ratio

    def canvas(self, image: Image) -> Image:
        """Return a copy of `image` to draw on; it is reused, so encode it before the next one."""
        height, width = self.size
        drawn = self._canvas[:height, :width]
        np.copyto(drawn, image)
        return drawn

    def encode(self, frame: Frame) -> None:
        """Append what is on the canvas, at the time of `frame`."""
        height, width = self.size
        self._canvas[height:] = self._canvas[height - 1 : height]
        self._canvas[:, width:] = self._canvas[:, width - 1 : width]
        whole_picture = self._canvas
        if self._scaled is not None:
            high, wide = self._scaled.shape[:2]
            cv2.resize(self._canvas, (wide, high), dst=self._scaled, interpolation=cv2.INTER_AREA)
            whole_picture = self._scaled
        # Six times as fast as the conversion in FFmpeg's swscale.
        cv2.cvtColor(whole_picture, cv2.COLOR_BGR2YUV_I420, dst=self._i420)
        # PyAV takes the memory as it is where it counts the rows right, in multiples of 4; x264
        # makes a copy of its own, so the next frame may be put into the same memory.
        whole = self._i420.shape[0] % 6 == 0
        wrap = av.VideoFrame.from_numpy_buffer if whole else av.VideoFrame.from_ndarray
        picture = wrap(self._i420, format="yuv420p")
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


def copy_packets(recording: Path, finished: Path, patience_s: float) -> None:
    """Copy the video from one file into another whose index stands before the pictures.

    The other may be read by those who may read the first.
    """
    mode = stat.S_IMODE(recording.stat().st_mode)
    os.close(os.open(finished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode))
    say_at: float | None = time.monotonic() + patience_s
    with (
        av.open(ffmpeg_path(recording), options=_IN_ORDER) as source,
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
