"""Metadata of a video file, read with its first picture only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.core.errors import SourceError, system_reason
from pipeline.core.media_file import open_media, packets_of
from pipeline.sources._file.damage import duration_s
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS, decoder_limit, too_large
from pipeline.sources._file.recording_start import named_time, recording_start
from pipeline.sources._file.times import nominal_rate

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer

_FIRST_PACKETS = 64
"""Packets among which a first picture is looked for: more than any decoder holds back."""


@dataclass(frozen=True, slots=True)
class FileProbe:
    """Facts of a video file as its headers declare them, unverified.

    `start_utc` is the Unix time of its first picture, None if neither its name nor its container
    says; `start_exact` whether that is known to a fraction of a second, `start_from` names the
    origin.
    """

    size: int
    mtime_ns: int
    duration_s: float
    width: int
    height: int
    fps: float | None
    codec: str
    container: str
    start_utc: float | None = None
    start_exact: bool = False
    start_from: str = ""


def probe(path: Path, zone: tzinfo | None = None) -> FileProbe:
    """Read the headers; raises SourceError, one line with the reason, if it is not a video.

    `zone` is the time zone of times in names, this machine's if None.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    if not status.st_size:
        raise SourceError(f"{path}: the file is empty")
    return _probed(path, path, (status.st_size, status.st_mtime_ns), zone)


def probe_opened(file: BinaryIO, path: Path, size: int, zone: tzinfo | None = None) -> FileProbe:
    """Read the headers of an open file; `path` is its name, which need not be on this machine."""
    return _probed(file, path, (size, 0), zone)


def _probed(
    opened: Path | BinaryIO, path: Path, stamp: tuple[int, int], zone: tzinfo | None
) -> FileProbe:
    import av

    from pipeline.sources._file.picture import picture_stream

    try:
        with open_media(opened, options={"protocol_whitelist": "file"}) as container:
            stream = picture_stream(container)
            if stream is None:
                raise SourceError(
                    f"{path}: not a video: it holds no video stream that can be decoded"
                )
            context = stream.codec_context
            if why := too_large(context.width, context.height, MAX_MEGAPIXELS):
                raise SourceError(f"{path}: {why}")
            long_s = duration_s(stream) or (container.duration or 0) / av.time_base
            tags = (container.metadata, stream.metadata)
            began = recording_start(path, tags, long_s, None, zone)
            named = named_time(path)
            rate = nominal_rate(container, stream)
            width, height = _shown_size(container, stream)
            return FileProbe(
                *stamp,
                long_s,
                width,
                height,
                rate,
                context.name,
                container.format.name.split(",")[0],
                None if began is None else began.unix_s,
                named is not None and named.is_exact,
                "" if began is None else began.origin,
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        why = system_reason(error) or str(error)
        raise SourceError(f"{path}: not a video: {why}") from None


def _shown_size(container: InputContainer, stream: VideoStream) -> tuple[int, int]:
    """Return width and height of the picture as it is shown.

    PyAV gives the matrix by which a container turns its pictures with a decoded one only.
    """
    from av import FFmpegError

    context = stream.codec_context
    size = context.width, context.height
    context.thread_count = 1
    context.options = decoder_limit(MAX_MEGAPIXELS)
    try:
        for packet in islice(packets_of(container, [stream]), _FIRST_PACKETS):
            for picture in packet.decode():
                turned = picture.rotation % 180 != 0
                return (
                    (picture.height, picture.width) if turned else (picture.width, picture.height)
                )
    except FFmpegError:
        pass  # the run says what is wrong with it
    return size
