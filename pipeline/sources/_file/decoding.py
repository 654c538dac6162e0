"""Demuxing and decoding of a video file, with damage logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.core.media_file import packets_of
from pipeline.sources._file.damage import DamageLog
from pipeline.sources._file.packet_choice import PacketChooser, Step, decode_step
from pipeline.sources._file.picture_size import was_too_large
from pipeline.sources._file.times import PresentationClock

if TYPE_CHECKING:
    from av import FFmpegError, Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Recordings in these containers may begin in the middle of a group of pictures: no damage.
_JOINED_MIDWAY = frozenset({"mpegts", "mpeg", "h264", "hevc"})


def pictures_of(
    container: InputContainer,
    stream: VideoStream,
    log: DamageLog,
    max_megapixels: float,
    chooser: PacketChooser | None = None,
) -> Iterator[VideoFrame]:
    """Yield the decoded pictures of the packets, in presentation order; damage goes to `log`.

    With a `chooser`, only the packets that it chooses are decoded.
    """
    from av import FFmpegError

    for packet in _packets(container, stream, log):
        steps = [Step(packet)] if packet is not None else []
        if chooser is not None:
            steps = chooser.finish() if packet is None else chooser.feed(packet)
        for step in steps:
            try:
                pictures = decode_step(stream.codec_context, step)
            except FFmpegError as error:
                _note_error(error, stream, log, max_megapixels, step.packet)
                continue
            yield from _given_away(pictures)
    try:
        yield from _given_away(stream.decode(None))  # pictures still in the decoder
    except FFmpegError as error:
        _note_error(error, stream, log, max_megapixels, None)


def _given_away(pictures: list[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield the pictures, dropping each: none is kept while the next packet is decoded."""
    while pictures:
        yield pictures.pop(0)


def _note_error(
    error: FFmpegError,
    stream: VideoStream,
    log: DamageLog,
    max_megapixels: float,
    packet: Packet[VideoStream] | None,
) -> None:
    if large := was_too_large(error, stream.codec_context, max_megapixels):
        log.too_large += 1
    at_first = log.begins_with_key and log.packets == 1
    if large or at_first or is_damage(stream, log):
        log.bad(log.packets - 1, _seconds(packet, stream))


def timed_pictures(
    pictures: Iterator[VideoFrame],
    start_clock: Callable[[], PresentationClock],
    log: DamageLog,
    stream: VideoStream,
    chooser: PacketChooser | None,
) -> Iterator[tuple[VideoFrame, float, bool]]:
    """Yield (picture, its seconds, whether it is wanted).

    What was left out is recorded in `log`.
    """
    clock, base = None, time_base_of(stream)
    for picture in pictures:
        clock = clock or start_clock()
        if chooser is None:
            yield picture, clock.seconds(picture.pts, picture.dts), True
            del picture
            continue
        before, is_wanted = chooser.match(picture)
        for each in before:
            log.good(clock.seconds(each.pts, each.dts), float(each.duration * base))
        yield picture, clock.seconds(picture.pts, picture.dts), is_wanted
        del picture
    if chooser is not None and clock is not None:
        for each in chooser.rest():
            log.good(clock.seconds(each.pts, each.dts), float(each.duration * base))


def _packets(
    container: InputContainer, stream: VideoStream, log: DamageLog
) -> Iterator[Packet[VideoStream] | None]:
    """Yield the packets, then None.

    FFmpeg marks a packet as damaged if the counters of a transport stream are not continuous.
    Before a key frame that is where files were joined, and the decoder judges; elsewhere something
    is lost. The decoder gets all of them.
    """
    from av import FFmpegError

    try:
        for packet in packets_of(container, [stream]):
            if not packet.size and packet.dts is None:  # PyAV's own mark for the end
                continue
            log.packets += 1
            seconds = _seconds(packet, stream) if packet.is_corrupt else None
            if packet.is_corrupt and container.format.name != "mpegts":
                log.bad(log.packets - 1, seconds)
                continue
            log.note_packet(seconds, corrupt=packet.is_corrupt, keyframe=packet.is_keyframe)
            if packet.size:  # an empty one repeats the picture before it (AVI)
                yield packet
    except FFmpegError as error:
        log.stopped_by = error.strerror or type(error).__name__
    log.resolve_mark()
    yield None


def is_damage(stream: VideoStream, log: DamageLog) -> bool:
    """Return whether an undecodable packet is damage: not if a recording begins midway."""
    return log.frames > 0 or stream.container.format.name not in _JOINED_MIDWAY


def is_key(picture: VideoFrame, log: DamageLog) -> bool:
    """Return whether a file's first picture is a key frame, whose damage is its own."""
    from av.video.frame import PictureType

    return log.begins_with_key and picture.pict_type == PictureType.I


def _seconds(packet: Packet[VideoStream] | None, stream: VideoStream) -> float | None:
    """Return the presentation time of the packet's picture, None if it has none."""
    if packet is None:
        return None
    at = packet.pts if packet.pts is not None else packet.dts
    return None if at is None else float((at - (stream.start_time or 0)) * time_base_of(stream))


def time_base_of(stream: VideoStream) -> Fraction:
    """Return the stream's time unit in seconds, a millisecond if it has none."""
    return stream.time_base or Fraction(1, 1000)
