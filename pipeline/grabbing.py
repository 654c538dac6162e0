"""The grab thread of one source: open, read, number, put; a lost camera is opened again."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from pipeline.data import Frame
from pipeline.errors import PipelineError, SourceBrokenError, SourceLostError, StageError
from pipeline.interfaces import Source, SourceInfo
from pipeline.ring import RingBuffer
from pipeline.stats import SourceStats

log = logging.getLogger("trackline")

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0


class Grabbed(NamedTuple):
    """A frame on its way to inference, with the milliseconds it took to read."""

    frame: Frame
    read_ms: float


class Grabber:
    """Moves one source's frames into its ring until the end, `max_frames` or `stop`.

    `fail` is called from the thread with anything but a lost camera or a broken file: those two
    are this class's business and do not stop the other sources.
    """

    def __init__(
        self, source: Source, ring: RingBuffer[Grabbed], stats: SourceStats, max_frames: int | None
    ) -> None:
        self.source = source
        self.ring = ring
        self.info: SourceInfo | None = None
        self.broken: SourceBrokenError | None = None
        self._stats = stats
        self._max_frames = max_frames
        self._epoch = 0
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Open a source that must exist now (files), on the caller's thread; raises SourceError."""
        self.info = self.source.open()

    def start(self, stop: threading.Event, fail: Callable[[BaseException], None]) -> None:
        """Begin to grab on a thread of its own."""
        name = f"grab {self.source.name}"
        self._thread = threading.Thread(target=self._run, args=(stop, fail), name=name, daemon=True)
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for the thread; return False if it still hangs in the source after `timeout` s."""
        if self._thread is None:
            self.source.close()
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, stop: threading.Event, fail: Callable[[BaseException], None]) -> None:
        try:
            if self.source.live:
                self._grab_for_ever(stop)
            else:
                self._grab_to_end(stop)
        except SourceBrokenError as error:
            self.broken = error
            self._stats.broken = str(error)
            log.error("%s", error)
        except PipelineError as error:
            fail(error)
        except BaseException as error:  # noqa: BLE001 - the thread's outermost frame forwards
            problem = StageError(f"source {self.source.name}: {type(error).__name__}: {error}")
            problem.__cause__ = error
            fail(problem)
        finally:
            self.source.close()
            self.ring.close()

    def _grab_for_ever(self, stop: threading.Event) -> None:
        """Grab from a live source; each loss is followed by back-off, a new try and a new epoch."""
        delay, lost = FIRST_RETRY_S, False
        while not stop.is_set():
            before = self._stats.grabbed
            try:
                self.info = self.source.open()
                if lost:
                    self._stats.reconnects += 1
                    log.info("source %s: back again", self.source.name)
                self._grab_to_end(stop)
                return
            except SourceLostError as error:
                self.source.close()
                if self._stats.grabbed > before:
                    delay = FIRST_RETRY_S
                    self._epoch += 1
                lost = lost or self._stats.grabbed > 0
                log.warning("%s; next try in %.1f s", error, delay)
            # Jitter: cameras behind one switch must not all come back in the same instant.
            stop.wait(delay * random.uniform(0.8, 1.2))
            delay = min(delay * 2, LONGEST_RETRY_S)

    def _grab_to_end(self, stop: threading.Event) -> None:
        """Put frames until the source ends, enough are there or `stop` is set."""
        while not stop.is_set() and self._stats.grabbed != self._max_frames:
            began = time.perf_counter()
            frame = self.source.read()
            if frame is None:
                return
            read_ms = (time.perf_counter() - began) * 1e3
            index = self._stats.grabbed
            if frame.index != index or frame.epoch != self._epoch:
                frame = replace(frame, index=index, epoch=self._epoch)
            self._stats.grabbed += 1
            self.ring.put(Grabbed(frame, read_ms))
