"""Second connection to a camera, for the stream its clips are cut from: read, never decoded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.core.backoff import Backoff
from pipeline.core.errors import PipelineError, SourceLostError
from pipeline.core.media_file import packets_of
from pipeline.core.packet_tap import PacketTap
from pipeline.sources._stream.addresses import connection_error
from pipeline.sources._stream.decoder import Connection, offer_packet

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.video.stream import VideoStream

log = logging.getLogger("trackline")

MAX_BYTES = 64 * 2**20
"""Limit per camera: 15 seconds of 30 Mbit/s."""
_RETRY_FIRST_S, _RETRY_LONGEST_S = 1.0, 30.0
_LOOK_S = 0.5


def _log(refusal: PipelineError) -> None:
    """Log why a part of a stream is refused; RTSP has no parts."""
    log.debug("%s", refusal)


class RecordingReader:
    """Thread that keeps a stream's packets in its tap while that has subscribers.

    A lost connection is retried with back-off, for ever: meanwhile clips are made from the camera's
    other stream, and the run continues.
    """

    def __init__(self, connection: Connection, tap: PacketTap) -> None:
        self._connection = connection
        self._tap = tap
        self._ended = threading.Event()
        self._backoff = Backoff(_RETRY_FIRST_S, _RETRY_LONGEST_S)
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name=connection.where, daemon=True)

    def start(self) -> None:
        """Start; without subscribers nothing is connected."""
        self._thread.start()

    def end(self) -> None:
        """Ask the thread to end, which takes at most the connection's time limits."""
        self._ended.set()

    def join(self, timeout_s: float) -> bool:
        """Return whether the thread is over, after waiting for it."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ended.is_set():
            if not self._tap.is_wanted:
                self._ended.wait(_LOOK_S)
                continue
            problem = self._read()
            if self._ended.is_set() or not self._tap.is_wanted:
                continue
            level = logging.DEBUG if problem == self._problem else logging.WARNING
            self._problem = problem
            log.log(level, "%s; clips are made of the analysed stream", problem)
            self._ended.wait(self._backoff.next_s())

    def _read(self) -> str:
        """Read until the stream or the interest in it ends; return why it did."""
        from av import FFmpegError

        where = self._connection.where
        was_live = False
        try:
            with self._connection.open(_log) as container:
                streams = [one for one in container.streams.video if one.codec_context is not None]
                if not streams:
                    return f"{where}: there is no video in it"
                for packet in self._packets(container, streams[0]):
                    if not was_live:
                        was_live = True
                        self._came()
                    offer_packet(packet, self._tap)
        except PipelineError as error:
            return str(error)
        except (FFmpegError, OSError) as error:
            return str(connection_error(where, error, was_live=was_live))
        return str(SourceLostError(f"{where}: the stream ended"))

    def _packets(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[Packet[VideoStream]]:
        """Yield the stream's intact packets while there are subscribers."""
        if self._ended.is_set():  # another reader may have begun with the tap by now
            return
        self._tap.begin(stream.codec_context.name, stream.codec_context.extradata)
        for packet in packets_of(container):
            if self._ended.is_set() or not self._tap.is_wanted:
                return
            if packet.stream_index != stream.index or not packet.size:
                continue
            if packet.is_corrupt:
                self._tap.lose()
            else:
                yield packet

    def _came(self) -> None:
        self._backoff.reset()
        if self._problem:
            log.info("%s: packets again", self._connection.where)
        self._problem = ""
