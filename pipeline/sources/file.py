"""Video files through FFmpeg: every container and codec it knows, with true presentation times."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.data import Frame, Image
from pipeline.errors import SourceBrokenError, SourceError
from pipeline.interfaces import SourceInfo
from pipeline.options import OptionsModel
from pipeline.pool import FramePool

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

log = logging.getLogger("trackline")

# A healthy file may deliver a little less than its header says (edit lists, dropped frames).
MISSING_SHARE, MISSING_FRAMES, MISSING_S = 0.02, 3, 1.0


class Options(OptionsModel):
    """Which file to read."""

    path: Path
    """The video file."""
    name: str | None = Field(None, min_length=1)
    """What results and outputs are called; by default the file's name without its suffix."""


def build(options: Options) -> FileSource:
    """Return the source, not yet open."""
    return FileSource(options)


class FileSource:
    """Every frame of a video file once, in presentation order.

    Times start at 0 with the first picture. Rotation that the container asks for is applied. Two
    copies a frame: FFmpeg converts to BGR into a buffer it keeps, which is copied into the slot.
    """

    live = False

    def __init__(self, options: Options) -> None:
        self._path = options.path.expanduser()
        self.name = options.name or self._path.stem
        self._container: Any = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._pool = FramePool()
        self._begin()

    def _begin(self) -> None:
        self._index = 0
        self._pts_s = 0.0
        self._damaged = 0
        self._break: str | None = None
        self._first: VideoFrame | None = None

    def open(self) -> SourceInfo:
        """Open the file and decode its first picture; raises SourceError if there is none."""
        import av
        from av.video.reformatter import VideoReformatter

        self.close()
        self._begin()
        self._check_path()
        try:
            self._container = av.open(str(self._path))
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"{self._path}: not a video: {_reason(error)}") from None
        streams = [s for s in self._container.streams.video if not _is_cover(s)]
        if not streams:
            raise SourceError(f"{self._path}: not a video: it holds no video stream")
        self._stream = streams[0]
        # Frames and slices: also for codecs without slices, on all cores.
        self._stream.thread_type = "AUTO"
        self._reformatter = VideoReformatter()
        self._frames = self._decoded()
        self._first = next(self._frames, None)
        if self._first is None:
            raise SourceError(f"{self._path}: not a video: no picture in it can be decoded")
        self._zero = self._first.pts or 0
        return self._info(self._first)

    def read(self) -> Frame | None:
        """Return the next frame, None at the end; SourceBrokenError where the file breaks."""
        decoded, self._first = self._first or next(self._frames, None), None
        if decoded is None:
            if self._break is not None:
                raise SourceBrokenError(self._break)
            return None
        image = self._upright(decoded)
        self._pts_s = self._time_of(decoded)
        frame = Frame(image, self.name, self._index, self._pts_s, time.monotonic())
        self._index += 1
        return frame

    def close(self) -> None:
        """Release the file; safe to call twice and when never opened."""
        self._frames = iter(())
        self._first = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _check_path(self) -> None:
        if self._path.is_dir():
            raise SourceError(f"{self._path}: is a folder, want a video file")
        try:
            if self._path.stat().st_size == 0:
                raise SourceError(f"{self._path}: the file is empty")
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read: {error.strerror}") from None

    def _decoded(self) -> Iterator[VideoFrame]:
        """Yield decoded pictures; whatever is wrong with the file ends up in `self._break`.

        A damaged packet is skipped, as players do: what follows may be good. Damage that nothing
        good follows, and a file that is shorter than it says it is, count as broken.
        """
        import av

        trailing_damage = False
        problem = ""
        try:
            for packet in self._container.demux(self._stream):
                try:
                    pictures = packet.decode()
                except av.error.FFmpegError as error:
                    trailing_damage, problem = True, _reason(error)
                    self._damaged += 1
                    continue
                for picture in pictures:
                    trailing_damage = False
                    yield picture
        except (av.error.FFmpegError, OSError) as error:
            trailing_damage, problem = True, _reason(error)
        if not trailing_damage and self._damaged:
            log.warning("%s: %d damaged packets were skipped", self._path, self._damaged)
        if trailing_damage or self._is_short():
            problem = problem or "the file says that more should follow"
            self._break = (
                f"{self._path}: broken after frame {self._index - 1} "
                f"at {self._pts_s:.2f} s: {problem}"
            )

    def _is_short(self) -> bool:
        """Return whether clearly less came than the header promised, where it promises anything."""
        stream = self._stream
        if stream.frames:
            missing = stream.frames - self._index
            return bool(missing > MISSING_FRAMES + MISSING_SHARE * stream.frames)
        # A container's duration is that of its longest stream, so only a lone one can be judged.
        if not self._container.duration or len(self._container.streams) > 1:
            return False
        promised = self._container.duration / 1e6
        return bool(promised - self._pts_s > MISSING_S + MISSING_SHARE * promised)

    def _time_of(self, decoded: VideoFrame) -> float:
        """Return seconds since the first picture, never less than the last one's."""
        if decoded.pts is None or decoded.time_base is None:
            rate = self._stream.average_rate
            return self._pts_s + (1 / float(rate) if rate else 0.04) * (self._index > 0)
        return max(self._pts_s, float((decoded.pts - self._zero) * decoded.time_base))

    def _upright(self, decoded: VideoFrame) -> Image:
        """Return the picture as BGR in a pool slot, turned as the container asks."""
        # One thread: the conversion is a fraction of the decoding, and threads cost more than it.
        bgr = self._reformatter.reformat(decoded, format="bgr24", threads=1)
        plane = bgr.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        picture = rows[: bgr.height, : bgr.width * 3].reshape(bgr.height, bgr.width, 3)
        # FFmpeg counts counter-clockwise, as rot90 does.
        picture = np.rot90(picture, round(decoded.rotation / 90) % 4)
        slot = self._pool.take(*picture.shape[:2])
        np.copyto(slot, picture)
        return slot

    def _info(self, first: VideoFrame) -> SourceInfo:
        stream = self._stream
        turned = round(first.rotation / 90) % 2
        width, height = (first.height, first.width) if turned else (first.width, first.height)
        fps = float(stream.average_rate) if stream.average_rate else None
        count = stream.frames or None
        if count is None and fps and self._container.duration:
            count = round(self._container.duration / 1e6 * fps)
        return SourceInfo(width, height, fps, count, stream.codec_context.codec.name)


def _is_cover(stream: Any) -> bool:
    """Return whether a stream is a still picture attached to music."""
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(error: Exception) -> str:
    """Return FFmpeg's own words without the numbers and the path around them."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
