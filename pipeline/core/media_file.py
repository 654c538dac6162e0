"""Opening and demuxing of media files with PyAV, working around two of its failures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.core.paths import ffmpeg_path

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream


def open_media(file: str | os.PathLike[str] | BinaryIO, **settings: Any) -> InputContainer:
    """Open a path or an open file as a container; `settings` are those of `av.open`.

    Titles and other tags that are not UTF-8, as in old AVI files, get replacement characters: PyAV
    alone raises UnicodeDecodeError. Raises FFmpegError, OSError.
    """
    import av

    opened: Any = ffmpeg_path(file) if isinstance(file, str | os.PathLike) else file
    container: InputContainer = av.open(opened, "r", metadata_errors="replace", **settings)
    return container


def packets_of(
    container: InputContainer, streams: Sequence[Stream] | None = None
) -> Iterator[Packet[Any]]:
    """Yield the packets of these streams (None: all), then PyAV's empty packet of each.

    A transport stream may add a stream at any time (a recorder switches its microphone on). PyAV
    does not know it and raises IndexError at the end, when everything was read. Raises FFmpegError.
    """
    with suppress(IndexError):
        yield from container.demux() if streams is None else container.demux(streams)
