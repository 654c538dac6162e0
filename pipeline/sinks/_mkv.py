"""Writes a Matroska file with a video's streams copied and a subtitle track added."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.atomic_file import replacing
from pipeline.core.errors import WriteError, system_reason
from pipeline.core.media_file import open_media, packets_of
from pipeline.core.own_video import OWN_TAG
from pipeline.core.paths import ffmpeg_path

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

log = logging.getLogger("trackline")

_READING = {"fflags": "+genpts"}  # AVI has no presentation times, Matroska wants them
_Packets = Iterator[tuple[float, int, "Packet[Any]", "Stream"]]


def write_mkv(video: Path, subtitles: Path, path: Path) -> None:
    """Copy every stream of `video` and the subtitles to `path`, in one step.

    Nothing is re-encoded: packets are copied byte for byte. The subtitles' zero is the beginning of
    the file, as in players. Streams that Matroska cannot hold are named in a log line. Raises
    WriteError, also for a video that Matroska cannot hold.
    """
    import av

    try:
        with (
            replacing(path) as partial,
            open_media(video, options=_READING) as source,
            open_media(subtitles) as track,
            av.open(ffmpeg_path(partial), "w", format="matroska") as target,
        ):
            _copy(source, track, target, video.name)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = system_reason(error) or str(error) or type(error).__name__
        raise WriteError(
            f"{path}: the streams of {video.name} cannot be copied into Matroska: {reason}; "
            f"the subtitles are in {subtitles.name}"
        ) from error


def _copy(
    source: InputContainer, track: InputContainer, target: OutputContainer, name: str
) -> None:
    from av.stream import Disposition

    streams: dict[int, Stream] = {}
    left_out = []
    for stream in source.streams:
        copy = _copied(stream, target)
        if copy is None:
            left_out.append(f"{stream.type} {stream.index}")
        else:
            streams[stream.index] = copy
    if left_out:
        log.warning("%s: not in the Matroska file, which has no place for it: %s", name,
                    ", ".join(left_out))  # fmt: skip
    subtitles = target.add_stream_from_template(track.streams.subtitles[0])
    subtitles.metadata["title"] = "Tracks"
    subtitles.disposition = Disposition.default
    target.metadata.update({**source.metadata, **OWN_TAG})
    if chapters := source.chapters():
        target.set_chapters(chapters)
    began_s = (source.start_time or 0) / 1e6  # FFmpeg's AV_TIME_BASE
    # Merged by time, so that neither file is read ahead of the other.
    for _, _, packet, stream in heapq.merge(
        _timed(source, streams, 0.0, 0),
        _timed(track, {track.streams.subtitles[0].index: subtitles}, began_s, 1),
        key=lambda each: each[:2],
    ):
        packet.stream = stream
        target.mux(packet)


def _copied(stream: Stream, target: OutputContainer) -> Stream | None:
    """Add a stream like this one; None if Matroska cannot hold it."""
    if stream.type not in ("video", "audio", "subtitle"):
        return None
    try:
        copy = target.add_stream_from_template(stream)
    except (ValueError, OSError):
        return None
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return copy


def _timed(
    container: InputContainer, streams: dict[int, Stream], shift_s: float, order: int
) -> _Packets:
    """Yield (decoding time, order, packet, stream it goes to), the packets `shift_s` later."""
    now_s = 0.0
    for packet in packets_of(container, [container.streams[index] for index in streams]):
        if packet.dts is None and not packet.size:  # PyAV's own mark for the end
            continue
        base = packet.time_base or Fraction(1, 1000)
        if shift_s:
            shift = round(shift_s / base)
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        if packet.dts is not None:
            now_s = float(packet.dts * base)
        yield now_s, order, packet, streams[packet.stream.index]
