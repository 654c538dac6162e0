"""Source: a network camera or stream: RTSP, HTTP (MJPEG, HLS), RTMP, MPEG-TS over UDP or TCP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from pipeline.core.data import Frame
from pipeline.core.errors import SourceError, SourceLostError
from pipeline.core.frame_pool import FramePool
from pipeline.core.options import Needs, OptionsModel
from pipeline.core.packet_tap import PacketTap
from pipeline.core.paths import home_path
from pipeline.core.run_info import SourceInfo
from pipeline.core.secret_types import SecretUrl, has_placeholder
from pipeline.sources._file.picture_size import MAX_MEGAPIXELS
from pipeline.sources._stream.addresses import address_problem, name_of
from pipeline.sources._stream.certificates import Trust
from pipeline.sources._stream.decoder import Connection, Picture, max_step_s
from pipeline.sources._stream.reader import StreamReader
from pipeline.sources._stream.recording import MAX_BYTES as RECORDED_BYTES
from pipeline.sources._stream.recording import RecordingReader

log = logging.getLogger("trackline")

_LEAVE_TIMEOUT_S = 0.5


def _begins_with(*schemes: str) -> Callable[[SecretUrl], bool]:
    """Return a validator for addresses of these schemes; placeholders pass."""

    def suits(url: SecretUrl) -> bool:
        scheme = url.reveal().partition("://")[0].lower()
        return scheme in schemes or has_placeholder(scheme)

    return suits


def _checked(url: SecretUrl) -> SecretUrl:
    address = url.reveal()
    if not has_placeholder(address) and (why := address_problem(address)) is not None:
        raise ValueError(why)
    return url


class Options(OptionsModel):
    """One network camera."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(("transport",), "url", _begins_with("rtsp", "rtsps"), "an address of rtsp://"),
        Needs(
            ("verify_tls", "ca_file", "certificate_name"),
            "url",
            # http:// may lead to https://
            _begins_with("http", "https", "rtsps", "rtmps"),
            "an address of https://, rtsps:// or rtmps://",
        ),
        Needs(
            ("other_hosts",),
            "url",
            _begins_with("http", "https"),
            "an address of http:// or https://",
        ),
    )

    url: SecretUrl
    """Address, as in rtsp://user:${CAM_PASSWORD}@10.0.0.5/stream1; the password is never shown."""
    record: SecretUrl | None = None
    """Address (rtsp, rtsps) of the same camera's main stream, from which clips are copied."""
    transport: Literal["tcp", "udp"] = "tcp"
    """RTSP transport; udp loses pictures on a bad network."""
    open_timeout_s: float = Field(5.0, gt=0, le=300)
    """Maximum wait for the connection; its first picture may take as long as any other."""
    read_timeout_s: float = Field(5.0, gt=0, le=300)
    """Maximum wait for a picture, whatever other data arrives, before the camera counts as lost;
    longer if `max_fps` or `keyframes_only` skip pictures."""
    verify_tls: bool = True
    """Require a trusted certificate from rtsps, https and rtmps cameras."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust, the camera's or its authority's; relative to the current
    folder."""
    certificate_name: str | None = Field(None, min_length=1)
    """Host name the certificate must be for; null for the address's host."""
    other_hosts: bool = False
    """Allow an HLS playlist to refer to other servers than its own."""
    max_fps: float | None = Field(None, gt=0, le=1000)
    """Maximum pictures per second to analyse; the others are skipped, and not decoded if possible
    (viewers of the camera's own video get all)."""
    keyframes_only: bool = False
    """Decode and analyse key frames only. They may be 10 s apart; if it is more, `read_timeout_s`
    must be longer."""
    max_megapixels: float = Field(MAX_MEGAPIXELS, gt=0)
    """Maximum size of a picture; a camera that sends larger ones counts as lost."""
    threads: int = Field(0, ge=0, le=64)
    """Decoder threads, for cameras with sliced pictures; 0: one up to 1080p, above that one per
    processor, at most 4."""
    name: str | None = Field(None, min_length=1)
    """Name in results and outputs; null for the address's host."""

    @field_validator("url")
    @classmethod
    def _check_address(cls, url: SecretUrl) -> SecretUrl:
        return _checked(url)

    @field_validator("record")
    @classmethod
    def _check_record(cls, url: SecretUrl | None) -> SecretUrl | None:
        if url is None:
            return None
        if not _begins_with("rtsp", "rtsps")(url):
            raise ValueError("want an address that begins with rtsp:// or rtsps://")
        return _checked(url)

    @field_validator("ca_file", "certificate_name")
    @classmethod
    def _check_verified(cls, value: Path | str | None, info: ValidationInfo) -> Path | str | None:
        if value is not None and info.data.get("verify_tls") is False:
            raise ValueError(
                "cannot be combined with verify_tls: false, which accepts any certificate"
            )
        return value


def build(options: Options) -> StreamSource:
    """Return the source, not yet connected."""
    return StreamSource(options)


class StreamSource:
    """A connection to a network camera; raises SourceLostError if no picture comes in time.

    A live source's ring buffer never makes it wait, so no picture grows old before it.
    """

    live = True

    def __init__(self, options: Options) -> None:
        address = options.url.reveal()
        for key, url in (("url", options.url), ("record", options.record)):
            if url is not None and has_placeholder(url.reveal()):
                raise SourceError(f"stream: {key}: '{url}' has a placeholder without a value")
        self.name = options.name or name_of(address)
        self.packets = PacketTap()
        self.clip_packets = PacketTap(RECORDED_BYTES) if options.record is not None else None
        self._recording: RecordingReader | None = None
        self._options = options
        ca_file = options.ca_file and home_path(options.ca_file)
        self._trust = Trust(options.verify_tls, ca_file, options.certificate_name)
        self._pool = FramePool()
        self._reader: StreamReader | None = None
        self._first: Picture | None = None
        self._interrupted = threading.Event()
        self._index = 0
        self._left_out_before = 0
        self.unwanted = 0
        """Frames left out so far because of `max_fps` or `keyframes_only`."""

    @property
    def damaged(self) -> int:
        """Return how many packets and pictures of this connection were skipped as damaged."""
        decoder = self._reader.decoder if self._reader else None
        return decoder.damaged if decoder else 0

    @property
    def left_out(self) -> int:
        """Return how many pictures were left undecoded to stay current."""
        decoder = self._reader.decoder if self._reader else None
        return self._left_out_before + (decoder.backlog.left_out if decoder else 0)

    def open(self) -> SourceInfo:
        """Connect and wait for the first picture; raises SourceLostError while there is none.

        Raises SourceError for an address that can never be read as a camera.
        """
        self._leave()
        options = self._options
        if self._reader is not None and not self._reader.join(options.open_timeout_s):
            # One at a time: otherwise a name server that is down would cost a thread for every
            # retry.
            raise SourceLostError(f"{self._where}: the previous connection still hangs")
        if (why := self._trust.problem_with_file()) is not None:
            # Once the run goes on, a file that is just being replaced must not end it.
            kind = SourceError if self._reader is None else SourceLostError
            raise kind(f"{self._where}: {why}")
        connection = self._connection(self._where, options.url)
        self._index = 0
        self._left_out_before = self.left_out
        reader = self._reader = StreamReader(connection, self._pool, self.packets, self._warn)
        if self._interrupted.is_set():  # looked at after the reader is there to be ended
            reader.end()
        reader.start()
        first = self._first = self._first_picture(reader)
        decoder = reader.decoder
        assert decoder is not None
        height, width = first.image.shape[:2]
        self._record()
        return SourceInfo(
            width=width,
            height=height,
            fps=decoder.fps,
            description=decoder.description,
            sample_aspect=decoder.sample_aspect,
        )

    def read(self) -> Frame | None:
        """Return the next picture, never None; raises SourceLostError if none comes in time."""
        picture, self._first = self._first, None
        if picture is None:
            picture = self._next_picture()
        self.unwanted += picture.unwanted
        frame = Frame(picture.image, self.name, self._index, picture.seconds, picture.arrived_at)
        self._index += 1
        return frame

    def interrupt(self) -> None:
        """Make `open` and `read` raise SourceLostError from now on, until `close`; any thread."""
        self._interrupted.set()
        if (reader := self._reader) is not None:
            reader.end()

    def close(self) -> None:
        """Disconnect; safe to call twice and if never opened.

        A connection that hangs is left to its own time limits.
        """
        self._leave()
        self._pool.clear()
        self._interrupted.clear()

    @property
    def _where(self) -> str:
        return f"source {self.name}"

    def _connection(self, where: str, url: SecretUrl) -> Connection:
        options = self._options
        return Connection(
            where=where,
            address=url.reveal(),
            transport=options.transport,
            threads=options.threads,
            open_timeout_s=options.open_timeout_s,
            read_timeout_s=options.read_timeout_s,
            trust=self._trust,
            other_hosts=options.other_hosts,
            max_megapixels=options.max_megapixels,
            max_fps=options.max_fps,
            keyframes_only=options.keyframes_only,
        )

    def _record(self) -> None:
        """Start reading the stream from which clips are cut, if there is one."""
        if self.clip_packets is not None and self._options.record is not None:
            where = f"{self._where}: record"
            connection = self._connection(where, self._options.record)
            self._recording = RecordingReader(connection, self.clip_packets)
            self._recording.start()

    def _leave(self) -> None:
        self._first = None
        if self._recording is not None:
            self._recording.end()
            self._recording.join(_LEAVE_TIMEOUT_S)
            self._recording = None
        if self.clip_packets is not None:
            self.clip_packets.lose()  # of a camera that was removed nothing is kept
        if self._reader is not None:
            self._reader.end()
            self._reader.join(_LEAVE_TIMEOUT_S)

    def _first_picture(self, reader: StreamReader) -> Picture:
        options = self._options
        first = reader.take(options.open_timeout_s)
        if first is None and reader.decoder is not None:
            first = reader.take(options.read_timeout_s)
        if first is None:
            self._leave()
            got = "does not answer" if reader.decoder is None else "gives no picture"
            raise SourceLostError(f"{self._where}: {got}")
        return first

    def _next_picture(self) -> Picture:
        if self._reader is None:
            raise SourceLostError(f"{self._where}: is not open")
        options = self._options
        step_s = max_step_s(options.max_fps, keyframes_only=options.keyframes_only)
        timeout_s = options.read_timeout_s + step_s
        picture = self._reader.take(timeout_s)
        if picture is None:
            self._leave()
            raise SourceLostError(f"{self._where}: no picture for {timeout_s:g} s")
        return picture

    def _warn(self, text: str) -> None:
        log.warning("%s: %s", self._where, text)
