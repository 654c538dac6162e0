"""Random access to the frames of a video by seeking: for a slider, not for analysis."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.data import Frame
from pipeline.core.errors import SourceError
from pipeline.core.frame_pool import FramePool
from pipeline.core.media_file import open_media
from pipeline.sources._file.damage import duration_s
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS, decoder_limit

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MAX_PICTURES = 3000
"""Maximum frames decoded from one position: a file without key frames must not take minutes."""
_BACK_S = (0.0, 1.0, 10.0, float("inf"))
"""Seconds before the requested time from which the search starts, tried in this order."""


class FramePicker:
    """Returns the frame of a video file at a given time; thread-safe, one request at a time.

    Seconds count from the first picture, as in the source `file` except for files with damaged
    times. `duration_s` is the duration in the file's header, 0 if it has none: then there is
    nothing to choose from.
    """

    def __init__(self, path: Path, name: str) -> None:
        """Open the file; raises SourceError."""
        from av import FFmpegError

        from pipeline.sources._file.picture import UprightConverter, picture_stream

        self._path = path
        self._name = name
        self._lock = threading.Lock()
        self._given = 0
        try:
            container = open_media(path, options=decoder_limit(MAX_MEGAPIXELS))
        except (FFmpegError, OSError) as error:
            raise SourceError(f"{path}: {error.strerror or error}") from None
        stream = picture_stream(container)
        if stream is None:
            container.close()
            raise SourceError(f"{path}: it holds no video stream that can be decoded")
        stream.codec_context.options = decoder_limit(MAX_MEGAPIXELS)
        self._container: InputContainer = container
        self._stream: VideoStream = stream
        self._upright = UprightConverter(FramePool(), may_mirror=True)
        self.duration_s = duration_s(stream) or (container.duration or 0) / 1e6

    def at(self, seconds: float) -> Frame:
        """Return the frame shown at a time, the last one after the end; raises SourceError.

        Its `index` counts the frames returned so far.
        """
        with self._lock:
            picture = self._find(max(0.0, seconds))
            if picture is None:
                raise SourceError(f"{self._path}: no picture can be decoded at {seconds:.2f} s")
            self._given += 1
            shown_s = self._seconds(picture)
            image = self._upright(picture)
            return Frame(image, self._name, self._given, shown_s, time.monotonic())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._container.close()

    def _find(self, seconds: float) -> VideoFrame | None:
        """Return the last picture up to a time, or the first one if all are later."""
        found = None
        for back_s in _BACK_S:  # without an index FFmpeg may land behind the key frame
            if (picture := self._decoded(max(0.0, seconds - back_s), seconds)) is not None:
                found = picture
                if self._seconds(picture) <= seconds or seconds <= back_s:
                    break
        return found

    def _decoded(self, begin: float, seconds: float) -> VideoFrame | None:
        """Return the last picture up to `seconds`, decoded from the key frame before `begin`."""
        from av import FFmpegError

        base = self._stream.time_base
        start = self._stream.start_time or 0
        found = None
        with suppress(FFmpegError):  # damaged data ends the search
            if base is None or begin == 0:
                self._container.seek(0)
            else:
                self._container.seek(start + int(begin / float(base)), stream=self._stream)
            for number, picture in enumerate(self._container.decode(self._stream)):
                if found is not None and self._seconds(picture) > seconds + 1e-6:
                    break
                found = picture
                if number >= _MAX_PICTURES:
                    break
        return found

    def _seconds(self, picture: VideoFrame) -> float:
        base, start = self._stream.time_base, self._stream.start_time or 0
        pts = picture.pts
        return 0.0 if pts is None or base is None else max(0.0, float((pts - start) * base))
