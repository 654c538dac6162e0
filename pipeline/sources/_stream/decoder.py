"""Connection to a network camera and decoding of its pictures, on the calling thread."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.core.cpu_count import cores
from pipeline.core.data import Image
from pipeline.core.errors import PipelineError, SourceLostError
from pipeline.core.frame_pool import FramePool
from pipeline.core.media_file import packets_of
from pipeline.core.packet_tap import PacketTap
from pipeline.core.yuv import YuvImage
from pipeline.sources._file.coded_picture import is_unreferenced, may_leave_out
from pipeline.sources._file.packet_choice import Clock, PacketChooser, Step, decode_step
from pipeline.sources._file.picture_size import (
    MAX_MEGAPIXELS,
    decoder_limit,
    too_large,
    was_too_large,
)
from pipeline.sources._file.times import USUAL_FPS, PresentationClock
from pipeline.sources._stream.addresses import demuxer_options, recording_error
from pipeline.sources._stream.arrivals import Arrivals
from pipeline.sources._stream.backlog import Backlog
from pipeline.sources._stream.certificates import Trust
from pipeline.sources._stream.clock import MAX_PACE_S, ArrivalClock, Pacer, StreamClock
from pipeline.sources._stream.hosts import AllowedHosts, is_named_playlist
from pipeline.sources._stream.https import FORMATS, VerifiedFetcher

if TYPE_CHECKING:
    from fractions import Fraction

    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MANY_PIXELS, _MAX_THREADS = 2_100_000, 4
_MAX_KEY_STEP_S = 10.0
"""Assumed maximum between two key frames of a camera."""
# With low delay, decoders of these give pictures as they are decoded: B-frames come too late.
_IN_ORDER_OF_DECODING = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})
# Formats whose timestamps FFmpeg counts at an assumed rate.
_WITHOUT_TIMES = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "image2pipe", "jpeg_pipe"})


def max_step_s(max_fps: float | None, *, keyframes_only: bool) -> float:
    """Return how many seconds apart two wanted pictures may be, 0 if all are wanted."""
    return max(_MAX_KEY_STEP_S * keyframes_only, 2 / max_fps if max_fps else 0.0)


@dataclass(frozen=True, slots=True)
class Connection:
    """Settings of one connection: address, timeouts, TLS; errors begin with `where`."""

    where: str
    address: str
    transport: str
    threads: int
    open_timeout_s: float
    read_timeout_s: float
    trust: Trust
    other_hosts: bool = False
    max_megapixels: float = MAX_MEGAPIXELS
    max_fps: float | None = None
    keyframes_only: bool = False

    @contextmanager
    def open(self, on_refusal: Callable[[PipelineError], None]) -> Iterator[InputContainer]:
        """Yield the open container; raises FFmpegError or OSError, whose text is a secret.

        `on_refusal` is called if it turns out later that no pictures can come. Raises
        SourceLostError if the camera's certificate is refused: it may be renewed.
        """
        scheme = self.address.partition("://")[0].lower()
        if scheme not in ("http", "https") or (self.other_hosts and not self._verifies):
            with self._open() as container:
                yield container
            return
        hosts = AllowedHosts(self.address, any_host=self.other_hosts)
        fetcher = VerifiedFetcher(self.where, hosts, self.trust, self.read_timeout_s, on_refusal)
        with closing(fetcher), self._open_web(fetcher) as container:
            yield container

    def _open_web(self, fetcher: VerifiedFetcher) -> InputContainer:
        """Return the container of an HTTP address; FFmpeg itself opens no playlist."""
        from av.error import ArgumentError, InvalidDataError

        if self._verifies or is_named_playlist(self.address):
            return self._open(fetcher, fetcher.begin())
        try:
            return self._open(formats=FORMATS.removeprefix("hls,"))
        except (ArgumentError, InvalidDataError):  # a format that is not on the list
            if (format_name := fetcher.begin()) != "hls":
                raise
            return self._open(fetcher, format_name)  # a playlist under another name

    @property
    def _verifies(self) -> bool:
        return self.trust.verify and self.address.lower().startswith("https")

    def _open(
        self,
        fetcher: VerifiedFetcher | None = None,
        format_name: str | None = None,
        formats: str | None = None,
    ) -> InputContainer:
        import av

        options = demuxer_options(self.address, self.transport, self.read_timeout_s, self.trust)
        if fetcher is not None:
            options["http_persistent"] = "0"  # that would be a connection of FFmpeg's own
            formats = FORMATS
        if formats is not None:
            options["format_whitelist"] = formats
        options |= decoder_limit(self.max_megapixels)
        began = time.monotonic()
        try:
            return av.open(
                self.address,
                mode="r",
                format=format_name,
                options=options,
                timeout=(self.open_timeout_s, self.read_timeout_s),
                metadata_errors="replace",
                io_open=fetcher,
            )
        except av.FFmpegError as error:
            # FFmpeg calls an RTSP answer that did not come in time invalid data.
            waited_s = time.monotonic() - began
            limit_s = min(self.open_timeout_s, self.read_timeout_s)
            if isinstance(error, av.error.InvalidDataError) and waited_s >= 0.9 * limit_s:
                raise SourceLostError(f"{self.where}: does not answer") from None
            # What FFmpeg says of a certificate it refuses; which, depends on its TLS library.
            if error.errno == errno.EIO or isinstance(error, av.error.UnknownError):
                why = self.trust.problem(self.address, self.open_timeout_s)
                if why is not None:
                    raise SourceLostError(f"{self.where}: {why}") from None
            raise


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, when its packet arrived (monotonic) and its time since open.

    `arrived_at` increases: a picture sent before the ones in front of it (B-frames) arrived with
    the last of them. `unwanted` pictures in front of it were left out on request.
    """

    image: Image | YuvImage
    arrived_at: float
    seconds: float
    unwanted: int = 0


class StreamDecoder:
    """Decodes the pictures of an open container without delay; skips damaged ones.

    `wait_until(due)` waits on the caller's behalf, `stopped()` says whether to end. `on_warning` is
    called with a line to log when damage, or more pictures than can be decoded, begin.
    """

    def __init__(
        self,
        connection: Connection,
        container: InputContainer,
        on_warning: Callable[[str], None],
        wait_until: Callable[[float], None],
        stopped: Callable[[], bool],
    ) -> None:
        from pipeline.sources._file.picture import picture_stream

        stream = picture_stream(container)
        if stream is None:
            raise SourceLostError(
                f"{connection.where}: there is no video in it that can be decoded"
            )
        if connection.address.startswith("http") and (container.duration or 0) > 0:
            raise recording_error(connection.where)
        self._where, self._max_megapixels = connection.where, connection.max_megapixels
        if (why := too_large(stream.width, stream.height, self._max_megapixels)) is not None:
            raise SourceLostError(f"{self._where}: its pictures: {why}")
        self._choice = connection.max_fps, connection.keyframes_only
        self.damaged = 0
        self.backlog = Backlog()
        codec, extradata = stream.codec.canonical_name, stream.codec_context.extradata or b""
        self._arrivals = Arrivals(codec, extradata)
        self._coded = (codec, extradata) if may_leave_out(codec, extradata) else None
        rate = stream.average_rate or stream.codec_context.framerate
        self.fps = float(rate) if rate and 1 <= rate <= 240 else None
        """Nominal frame rate, None where the camera does not say."""
        self.description = f"{stream.codec_context.name} in {container.format.name.split(',')[0]}"
        """The codec and the format it comes in."""
        ratio = stream.sample_aspect_ratio
        self.sample_aspect = (ratio.numerator, ratio.denominator) if ratio and ratio != 1 else None
        """(width, height) of one pixel, None for square ones."""
        self._opened: tuple[InputContainer, VideoStream] | None = (container, stream)
        self._on_warning = on_warning
        self._wait_until = wait_until
        self._stopped = stopped
        self._seen = False
        self._unwanted = 0
        self._formats = frozenset(container.format.name.split(","))
        _set_up(stream, connection)

    def close(self) -> None:
        """Release container, stream and callbacks; the counts stay.

        A decoder's threads end with the last reference to its stream, and the reader refers to this
        object and its callbacks to the reader: only the garbage collector would find out.
        """
        self._opened = None
        self._on_warning = self._wait_until = _nothing
        self._stopped = _always

    def pictures(self, pool: FramePool, tap: PacketTap) -> Iterator[Picture]:
        """Yield every whole picture, its memory from `pool`; their packets go to `tap`."""
        from pipeline.sources._file.picture import UprightConverter

        if self._opened is None:
            return
        container, stream = self._opened
        began = time.monotonic()
        upright = UprightConverter(pool, may_mirror=False)
        stamps = stream.time_base
        clock = StreamClock(None if self._formats & _WITHOUT_TIMES else stamps)
        max_fps, keyframes_only = self._choice
        pace_s = max(MAX_PACE_S, max_step_s(max_fps, keyframes_only=keyframes_only))
        pacer = Pacer(stamps, pace_s) if self._comes_in_segments else None
        tap.begin(stream.codec_context.name, stream.codec_context.extradata)
        packets = self._packets(container, stream, tap)
        chooser = self._chooser(stream, began)
        arrivals = self._decoded(packets, stream, chooser, counts_backlog=pacer is None)
        for decoded, arrived_at, given_at in arrivals:
            image = upright(decoded)
            pts, is_upright = decoded.pts, not decoded.rotation
            del decoded
            if pacer is not None:
                self._wait_until(pacer.due(pts, time.monotonic()))
                arrived_at = given_at = time.monotonic()
            self._seen = True
            if tap.is_wanted and is_upright:  # a browser would not turn it
                tap.add_picture(_microseconds(pts, stamps), arrived_at)
            unwanted, self._unwanted = self._unwanted, 0
            seconds = clock.seconds(pts, given_at - began)  # those are in order and even
            yield Picture(image, arrived_at, seconds, unwanted)
            del image

    @property
    def _comes_in_segments(self) -> bool:
        return "hls" in self._formats

    def _chooser(self, stream: VideoStream, began: float) -> PacketChooser | None:
        """Return the packet chooser, None if every picture is wanted."""
        max_fps, keyframes_only = self._choice
        if max_fps is None and not keyframes_only:
            return None
        stamps = None if self._formats & _WITHOUT_TIMES else stream.time_base

        def start_clock() -> Clock:
            if self._comes_in_segments and stamps is not None:  # when they arrive says nothing
                return PresentationClock(stamps, None, 1 / (self.fps or USUAL_FPS))
            return ArrivalClock(StreamClock(stamps), began)

        return PacketChooser(stream, start_clock, max_fps, keyframes_only=keyframes_only)

    def _decoded(
        self,
        packets: Iterator[Packet[VideoStream]],
        stream: VideoStream,
        chooser: PacketChooser | None,
        *,
        counts_backlog: bool,
    ) -> Iterator[tuple[VideoFrame, float, float]]:
        """Yield (picture, when its packet arrived, when the newest did) of the wanted pictures."""
        arrivals = self._arrivals
        asked_at = time.monotonic()
        for packet in packets:
            arrived_at = time.monotonic()
            arrivals.add(packet, arrived_at)
            if not counts_backlog or self._in_time(packet, arrived_at - asked_at, arrived_at):
                steps = (Step(packet),) if chooser is None else chooser.feed(packet)
                for step in steps:
                    pictures = self._pictures(stream, step)
                    while pictures:
                        picture = pictures.pop(0)
                        self.backlog.discard(arrivals.discarded(picture))
                        if picture.is_corrupt:
                            self._note_damage()
                        elif self._is_wanted(picture, chooser):
                            yield picture, arrivals.take(picture, arrived_at), arrived_at
                        del picture  # it is not held while the next packet is waited for
            asked_at = time.monotonic()

    def _pictures(self, stream: VideoStream, step: Step) -> list[VideoFrame]:
        """Return the pictures decoded in a step; raises SourceLostError for too large pictures."""
        from av import FFmpegError

        try:
            self._arrivals.begin_decoding(step)
            return decode_step(stream.codec_context, step)
        except FFmpegError as error:
            if was_too_large(error, stream.codec_context, self._max_megapixels):
                limit = f"max_megapixels: {self._max_megapixels:g}"
                raise SourceLostError(
                    f"{self._where}: sends pictures larger than {limit}"
                ) from None
            self._arrivals.end_decoding(step)
            self._note_damage()
            return []

    def _is_wanted(self, picture: VideoFrame, chooser: PacketChooser | None) -> bool:
        """Return whether a picture is wanted and whole; counts unwanted and skipped ones."""
        if chooser is not None:
            before, is_wanted = chooser.match(picture)
            self._unwanted += len(before) + (not is_wanted)
            if not is_wanted:
                return False
        return not self.backlog.hides(picture.pts)

    def _packets(
        self, container: InputContainer, stream: VideoStream, tap: PacketTap
    ) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of the pictures; ends between any two packets on request."""
        # All streams: a camera that sends only sound from now on must not hang here.
        for packet in packets_of(container):
            if self._stopped():
                return
            if packet.stream_index != stream.index or not packet.size:
                continue
            if packet.is_corrupt:
                tap.lose()
                self._note_damage()
                continue
            offer_packet(packet, tap)
            yield packet

    def _in_time(self, packet: Packet[VideoStream], waited_s: float, now: float) -> bool:
        episodes = self.backlog.episodes
        wanted = self.backlog.wants(
            waited_s,
            now,
            keyframe=packet.is_keyframe,
            unreferenced=self._coded is not None and is_unreferenced(*self._coded, packet),
            pts=packet.pts,
        )
        if episodes == 0 and self.backlog.episodes:
            self._on_warning("decoding is slower than the camera; pictures are left out")
        return wanted

    def _note_damage(self) -> None:
        if not self._seen:  # before the first key frame nothing can be decoded
            return
        self.damaged += 1
        if self.damaged == 1:
            self._on_warning("damaged pictures arrive; they are left out")


def _set_up(stream: VideoStream, connection: Connection) -> None:
    from av.codec.context import Flags, ThreadType

    context = stream.codec_context
    # With frame threads each thread delays a picture; slice threads do not.
    context.thread_type = ThreadType.SLICE
    context.thread_count = connection.threads or _threads_for(context.width * context.height)
    context.options = decoder_limit(connection.max_megapixels)
    context.copy_opaque = True  # for Arrivals
    if not (context.has_b_frames and stream.codec.canonical_name in _IN_ORDER_OF_DECODING):
        context.flags |= Flags.low_delay


def _threads_for(pixels: int) -> int:
    """Return how many threads decode a camera: few cameras use slices, and one keeps up."""
    return 1 if pixels <= _MANY_PIXELS else min(cores().threads, _MAX_THREADS)


def offer_packet(packet: Packet[VideoStream], tap: PacketTap) -> None:
    """Give a copy of a packet that has just arrived to `tap`, if it has subscribers."""
    if tap.is_wanted:
        pts_us = _microseconds(packet.pts, packet.time_base)
        tap.add(bytes(packet), pts_us, time.monotonic(), is_key=packet.is_keyframe)


def _microseconds(pts: int | None, time_base: Fraction | None) -> int | None:
    return None if pts is None or time_base is None else round(pts * time_base * 1_000_000)


def _nothing(_: object) -> None:
    """Callback that does nothing."""


def _always() -> bool:
    """Callback that always says to stop."""
    return True
