"""One connection to a camera, read on a thread of its own so that nobody waits longer than asked.

FFmpeg heeds its time limits between two reads of a socket, but not while it looks up a name, and
cannot be called off from another thread. So the reader's thread may hang; who waits for its
pictures does not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from pipeline.data import Image
from pipeline.errors import PipelineError, SourceError, SourceLostError
from pipeline.pool import FramePool
from pipeline.sources._addresses import demuxer_options, failure
from pipeline.sources._stream_clock import Pacer, StreamClock

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.video.stream import VideoStream

_BY_SEGMENT = frozenset({"hls", "dash"})
# Their time stamps are counted by FFmpeg at a rate it made up.
_WITHOUT_TIMES = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v", "image2pipe", "jpeg_pipe"})


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to connect to and how long to wait; `where` is what errors begin with."""

    where: str
    address: str
    transport: str
    threads: int
    open_timeout_s: float
    read_timeout_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, when its packet arrived (monotonic) and its time since open."""

    image: Image
    arrived_at: float
    seconds: float


class StreamReader:
    """Connects, decodes and hands over picture after picture until it is told to end.

    A picture is kept until it is taken, and no further one is read meanwhile. `fps` and
    `description` are known once the first picture is there. `on_damage` is called once, with the
    first packet or picture that has to be left out; `damaged` counts them.
    """

    def __init__(
        self, connection: Connection, pool: FramePool, on_damage: Callable[[], None]
    ) -> None:
        self.fps: float | None = None
        self.description = ""
        self.sample_aspect: Fraction | None = None
        self.damaged = 0
        self.connected = threading.Event()
        self._connection = connection
        self._pool = pool
        self._on_damage = on_damage
        self._changed = threading.Condition()
        self._picture: Picture | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._seen = False
        self._thread = threading.Thread(target=self._run, name=connection.where, daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def take(self, timeout_s: float) -> Picture | None:
        """Return the next picture, None where there is none within `timeout_s`.

        Raises what ended the stream: SourceLostError, or SourceError where it never can be read.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._changed.wait_for(
                lambda: self._picture is not None or self._error is not None or self._ended,
                timeout=max(0.0, deadline - time.monotonic()),
            )
            picture, self._picture = self._picture, None
            self._changed.notify_all()
            if picture is None and self._error is not None:
                raise self._error
            if picture is None and self._ended:
                raise SourceLostError(f"{self._connection.where}: was closed")
            return picture

    def end(self) -> None:
        """Ask the thread to end, and wake who waits in `take`; any thread, at any time."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Return whether the thread is over, after waiting for it."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            error: BaseException = self._read()
        except BaseException as unexpected:  # noqa: BLE001  (the thread's outermost frame: `take` raises it)
            error = unexpected
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _read(self) -> PipelineError:
        """Hand over every picture; return why there are no more."""
        from av import FFmpegError

        where = self._connection.where
        try:
            with self._open() as container:
                began = time.monotonic()
                stream = self._stream(container)
                self.connected.set()
                for picture in self._pictures(container, stream, began):
                    if not self._hand_over(picture):
                        break
                    del picture  # its memory is pooled
        except PipelineError as error:
            return error
        except (FFmpegError, OSError) as error:
            return failure(where, error, was_live=self._seen)
        return SourceLostError(f"{where}: the stream ended")

    def _open(self) -> InputContainer:
        import av

        connection = self._connection
        return av.open(
            connection.address,
            mode="r",
            options=demuxer_options(
                connection.address, connection.transport, connection.read_timeout_s
            ),
            timeout=(connection.open_timeout_s, connection.read_timeout_s),
            metadata_errors="replace",
        )

    def _stream(self, container: InputContainer) -> VideoStream:
        """Return the stream of pictures, set to decode without delay, having described it."""
        from av.codec.context import Flags, ThreadType

        from pipeline.sources._pictures import picture_stream

        where = self._connection.where
        stream = picture_stream(container)
        if stream is None:
            raise SourceLostError(f"{where}: there is no video in it that can be decoded")
        if self._connection.address.startswith("http") and (container.duration or 0) > 0:
            raise SourceError(
                f"{where}: is a recording, not a camera: download it and give the file"
            )
        context = stream.codec_context
        # Threads with a picture each hold as many pictures back; those that share one do not.
        context.thread_type = ThreadType.SLICE
        context.thread_count = self._connection.threads
        context.flags |= Flags.low_delay
        rate = stream.average_rate or context.framerate
        self.fps = float(rate) if rate and 1 <= rate <= 240 else None
        self.description = f"{context.name} in {container.format.name.split(',')[0]}"
        self.sample_aspect = stream.sample_aspect_ratio
        return stream

    def _pictures(
        self, container: InputContainer, stream: VideoStream, began: float
    ) -> Iterator[Picture]:
        """Yield every whole picture; what is damaged is counted and left out."""
        from av import FFmpegError
        from av.video.reformatter import VideoReformatter

        from pipeline.sources._pictures import upright_bgr

        reformatter = VideoReformatter()
        formats = frozenset(container.format.name.split(","))
        clock = StreamClock(None if formats & _WITHOUT_TIMES else stream.time_base)
        pacer = Pacer(stream.time_base) if formats & _BY_SEGMENT else None
        for packet in self._packets(container, stream):
            arrived_at = time.monotonic()
            try:
                decoded = stream.decode(packet)
            except FFmpegError:
                self._note_damage()
                continue
            for picture in decoded:
                if picture.is_corrupt:
                    self._note_damage()
                    continue
                image = upright_bgr(picture, reformatter, self._pool)
                if pacer is not None:
                    arrived_at = self._wait_until(pacer.due(picture.pts, time.monotonic()))
                seconds = clock.seconds(picture.pts, arrived_at - began)
                del picture
                self._seen = True
                yield Picture(image, arrived_at, seconds)
                del image

    def _packets(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of `stream`; ends between any two packets when told to."""
        # All streams: a camera that sends nothing but sound any more must not hang here.
        for packet in container.demux():
            if self._ended:
                return
            if packet.stream_index != stream.index or not packet.size:
                continue
            if packet.is_corrupt:
                self._note_damage()
            else:
                yield packet  # type: ignore[misc]

    def _wait_until(self, due: float) -> float:
        """Return the time once it is `due`, or the thread has to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, max(0.0, due - time.monotonic()))
        return time.monotonic()

    def _note_damage(self) -> None:
        if not self._seen:  # who joins midway cannot decode what comes before a key frame
            return
        self.damaged += 1
        if self.damaged == 1:
            self._on_damage()

    def _hand_over(self, picture: Picture) -> bool:
        """Return whether somebody will want more, once there is room for this one."""
        with self._changed:
            self._changed.wait_for(lambda: self._picture is None or self._ended)
            if not self._ended:
                self._picture = picture
                self._changed.notify_all()
            return not self._ended
