"""Reader thread of one camera connection, so that no read outlasts its timeout.

FFmpeg checks its time limits between two socket reads, but not during a name lookup, and cannot be
cancelled from another thread. So the reader's thread may hang; the thread that waits for its
pictures does not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

from pipeline.core.errors import PipelineError, SourceLostError
from pipeline.core.frame_pool import FramePool
from pipeline.core.packet_tap import PacketTap
from pipeline.sources._stream.addresses import connection_error
from pipeline.sources._stream.decoder import Connection, Picture, StreamDecoder


class StreamReader:
    """Thread that connects, decodes and hands over one picture after the other until closed.

    A picture is kept until it is taken, and no further one is read meanwhile. `decoder` is set once
    the connection is open. `on_warning` is called on the reader's thread with a line to log.
    """

    def __init__(
        self,
        connection: Connection,
        pool: FramePool,
        packets: PacketTap,
        on_warning: Callable[[str], None],
    ) -> None:
        self.decoder: StreamDecoder | None = None
        self._connection = connection
        self._pool = pool
        self._packets = packets
        self._on_warning = on_warning
        self._changed = threading.Condition()
        self._picture: Picture | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._was_live = False
        self._thread = threading.Thread(target=self._run, name=connection.where, daemon=True)

    def start(self) -> None:
        """Start connecting."""
        self._thread.start()

    def take(self, timeout_s: float) -> Picture | None:
        """Return the next picture, None if there is none within `timeout_s`.

        Raises what ended the stream: SourceLostError, or SourceError if it can never be read.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._picture is not None or self._error is not None or self._ended,
                max(0.0, timeout_s),
            )
            picture, self._picture = self._picture, None
            self._changed.notify_all()
            if picture is not None:
                return picture
            if self._ended:
                raise SourceLostError(f"{self._connection.where}: was closed")
            if self._error is not None:
                raise _fresh(self._error) if isinstance(self._error, PipelineError) else self._error
            return None

    def end(self) -> None:
        """Ask the thread to end, and wake a waiting `take`; any thread, at any time."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Return whether the thread is over, after waiting for it."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            error: BaseException = self._read()
        except BaseException as unexpected:  # noqa: BLE001  (the outermost frame: `take` raises it)
            error = unexpected
        self._note(error)

    def _note(self, error: BaseException) -> None:
        """Keep the first error, which `take` raises."""
        kept = _fresh(error) if isinstance(error, PipelineError) else error
        with self._changed:
            self._error = self._error or kept
            self._changed.notify_all()

    def _read(self) -> PipelineError:
        """Hand over every picture; return why there are no more."""
        from av import FFmpegError

        where = self._connection.where
        try:
            with self._connection.open(self._note) as container:
                decoder = self.decoder = StreamDecoder(
                    self._connection,
                    container,
                    self._on_warning,
                    self._wait_until,
                    lambda: self._ended,
                )
                with closing(decoder):
                    for picture in decoder.pictures(self._pool, self._packets):
                        self._was_live = True
                        if not self._hand_over(picture):
                            break
                        del picture  # its memory is pooled
        except PipelineError as error:
            return _fresh(error)
        except (FFmpegError, OSError) as error:
            return connection_error(where, error, was_live=self._was_live)
        return SourceLostError(f"{where}: the stream ended")

    def _wait_until(self, due: float) -> None:
        """Return once it is `due`, or the thread has to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, max(0.0, due - time.monotonic()))

    def _hand_over(self, picture: Picture) -> bool:
        """Pass on a picture once the previous one was taken; return whether to continue."""
        with self._changed:
            self._changed.wait_for(lambda: self._picture is None or self._ended)
            if not self._ended:
                self._picture = picture
                self._changed.notify_all()
            return not self._ended


def _fresh(error: PipelineError) -> PipelineError:
    """Return a copy of the error without its traceback.

    That refers to the local variables of every call it passed: the container, the decoder with its
    threads and this very reader, which keeps the error.
    """
    return type(error)(*error.args)
