"""The grab thread of one source: open, read, number, put; a lost camera is opened again.

How far ahead files may be decoded: how many at a time, and how many frames of each.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from typing import NamedTuple

from pipeline.core.backoff import Backoff
from pipeline.core.data import Frame
from pipeline.core.errors import (
    PipelineError,
    SourceBrokenError,
    SourceLostError,
    StageError,
    located,
)
from pipeline.core.interfaces import Noting, Source, SourceInfo
from pipeline.core.ring_buffer import RingBuffer
from pipeline.core.worker import Fail, Worker
from pipeline.engine.camera_monitor import CameraMonitor
from pipeline.engine.stats import SourceStats

log = logging.getLogger("trackline")


MIN_READ_AHEAD, CHEAP_BYTES = 4, 2**22
"""Frames of a file that may always be decoded ahead, to ride out a slow one, and how much memory
is not worth saving."""


def most_in(megabytes: int, info: SourceInfo) -> int:
    """Return how many frames fit into that much memory; 2 at least."""
    return max(2, megabytes * 2**20 // _frame_bytes(info))


def most_for(detector_frames: int, info: SourceInfo) -> int:
    """Return how many frames are of use to a detector that is given so many, or are cheap."""
    return max(MIN_READ_AHEAD, detector_frames, CHEAP_BYTES // _frame_bytes(info))


def _frame_bytes(info: SourceInfo) -> int:
    return max(info.width * info.height * 3, 1)


CLOCK_JITTER_S = 1.0
"""A live source's time that goes back by less stands still; by more, its clock was set anew."""


class Grabbed(NamedTuple):
    """A frame on its way to inference, with the milliseconds it took to read."""

    frame: Frame
    read_ms: float


class Grabber:
    """Moves one source's frames into its ring until the end, `max_frames` or `halt`.

    A lost camera or a broken file are this class's business and do not stop the other sources, nor
    does any failure of a file that is `optional`; anything else goes to `fail`, unless the grabber
    is `alone`: then it is logged, noted by the supervisor, and a live source is tried again.
    """

    def __init__(
        self,
        source: Source,
        ring: RingBuffer[Grabbed],
        stats: SourceStats,
        max_frames: int | None,
        backoff: Backoff,
        supervisor: CameraMonitor,
    ) -> None:
        self.source = source
        self.ring = ring
        self.stats = stats
        self.supervisor = supervisor
        self.info: SourceInfo | None = None
        self.broken: SourceBrokenError | None = None
        self.alone = False
        self.optional = False
        self.parked = False
        self.stop = threading.Event()
        self._where = f"source {source.name}"
        self._max_frames = max_frames
        self._backoff = backoff
        self._lost = False
        self._left_out = 0
        self._last_pts_s: float | None = None
        self._worker: Worker | None = None
        if stats.grabbed:
            stats.epoch += 1  # the name was there before; its frames are counted on

    def open(self, ring_megabytes: int) -> bool:
        """Open a source that must exist now (a file), on the caller's thread; raises SourceError.

        Its ring is made smaller where that many frames would take more than `ring_megabytes`.
        Return False for an optional one that cannot be opened, which is set aside.
        """
        try:
            with located(self._where):
                self.info = replace(self.source.open(), recorded=True)
        except PipelineError as error:
            if not self.optional:
                raise
            self._set_aside(error)
            self.ring.close()
            with suppress(PipelineError), located(self._where):
                self.source.close()
            return False
        self.stats.unrelated = self.info.unrelated
        self.ring.capacity = min(self.ring.capacity, most_in(ring_megabytes, self.info))
        return True

    def _set_aside(self, error: PipelineError) -> None:
        """Note why nothing more is read of this file; the run goes on with the others."""
        # Without its traceback, which refers to the decoder and its pictures.
        self.broken = SourceBrokenError(*error.args)
        self.stats.broken = str(error)
        self.supervisor.ended(str(error))
        log.warning("%s; set aside", " ".join(str(error).split()))

    def park(self) -> None:
        """Close what `open` has opened, until the grabber starts; raises PipelineError."""
        with located(self._where):
            self.source.close()
        self.parked = True

    def start(self, fail: Fail, at_end: Callable[[], None] = lambda: None) -> None:
        """Begin to grab on a thread of its own, which closes the source at its end."""

        def end() -> None:
            self.ring.close()
            at_end()

        self._worker = Worker(f"grab {self.source.name}", self._grab, end)
        self._worker.start(lambda error: self._failed(error, fail))

    def halt(self, cause: str = "stopped") -> None:
        """Grab no more, and drop what waits; any thread. Ends a wait where the source can."""
        self.stop.set()
        if (interrupt := getattr(self.source, "interrupt", None)) is not None:
            interrupt()
        self.ring.close(discard=True, cause=cause)

    def close(self, timeout: float) -> None:
        """Wait for the thread, which closes its source, or close a source that has none.

        A source that hangs for more than `timeout` seconds is left behind.
        """
        if self._worker is None or not self._worker.started:
            with located(self._where):
                self.source.close()
        elif not self._worker.join(timeout):
            log.warning("%s: still hangs; left behind", self._where)
        self.supervisor.ended()

    def _failed(self, error: BaseException, fail: Fail) -> None:
        self.supervisor.ended(str(error))
        if self.alone and isinstance(error, PipelineError):
            log.error("%s", error)
        else:
            fail(error)

    def _grab(self) -> None:
        with located(self._where), closing(self.source):
            try:
                if self.source.live:
                    self._grab_for_ever()
                else:
                    self._grab_file()
                self.supervisor.ended()
            except SourceBrokenError as error:
                # Without its traceback, which refers to the decoder and its pictures.
                self.broken = SourceBrokenError(*error.args)
                self.stats.broken = str(error)
                self.supervisor.ended(str(error))
            finally:
                if isinstance(self.source, Noting):
                    self.stats.notes = tuple(self.source.notes)
                self.ring.close()  # before the source, whose `close` may hang

    def _grab_file(self) -> None:
        """Grab a file to its end; an optional one that fails in whatever way is set aside."""
        try:
            with located(self._where):
                if self.parked and not self.stop.is_set():
                    self.source.open()
                self._grab_to_end()
        except SourceBrokenError:
            raise
        except PipelineError as error:
            if not self.optional:
                raise
            self._set_aside(error)

    def _grab_for_ever(self) -> None:
        """Grab from a live source; each loss is followed by back-off, a new try and a new epoch."""
        said = ""
        while not self.stop.is_set():
            try:
                with located(self._where):
                    self.info = self.source.open()
                    self._last_pts_s = None
                    self._grab_to_end()
                return
            except PipelineError as error:
                if not (isinstance(error, SourceLostError) or self.alone):
                    raise
                if self.stop.is_set():  # it was called off, or nobody cares any more
                    return
                self._lost = True
                wait_s = self._backoff.next_s()
                self.supervisor.lost(str(error), wait_s)
                # A camera that is off for days is not worth a line every half minute.
                level = logging.DEBUG if str(error) == said else logging.WARNING
                said = str(error)
                log.log(level, "%s; next try in %.1f s", error, wait_s)
            self._close_lost()
            self.stop.wait(wait_s)

    def _close_lost(self) -> None:
        try:
            with located(self._where):
                self.source.close()
        except PipelineError as error:
            if not self.alone:
                raise
            log.warning("%s", error)

    def _grab_to_end(self) -> None:
        """Put frames until the source ends, enough are there or it is to halt."""
        while not (self.stop.is_set() or self._has_enough()):
            began = time.perf_counter()
            frame = self.source.read()
            # A read may hang for long: what it brings after the end is in nobody's books.
            if frame is None or self.stop.is_set():
                return
            read_ms = (time.perf_counter() - began) * 1e3
            if self._lost:
                self._note_return()
            self._count_left_out()
            frame = self._numbered(frame)
            frozen = self.supervisor.saw(frame)
            self.stats.grabbed += 1
            self.ring.put(Grabbed(frame, read_ms))
            if frozen:
                raise SourceLostError(f"{self._where}: the same picture again and again")

    def _has_enough(self) -> bool:
        return self._max_frames is not None and self.stats.grabbed >= self._max_frames

    def _count_left_out(self) -> None:
        """Book as grabbed and dropped what the source did not decode, to stay current."""
        left_out: int = getattr(self.source, "left_out", 0)
        for _ in range(left_out - self._left_out):
            self.stats.lose(self.stats.grabbed, "undecoded")
            self.stats.grabbed += 1
        self._left_out = left_out

    def _note_return(self) -> None:
        """Believe in a camera again: at its first frame, for some open and then give none."""
        self._lost = False
        self._backoff.reset()
        if self.stats.grabbed:
            self.stats.reconnects += 1
            self.stats.epoch += 1
        log.info("%s: frames again", self._where)

    def _numbered(self, frame: Frame) -> Frame:
        """Return the frame counted over the whole run; its epoch grows with each reconnect.

        A live source's time never goes back within an epoch: one that jumps back begins another.
        """
        if frame.source != self.source.name:
            raise StageError(f"{self._where}: Frame.source: want its name, got '{frame.source}'")
        pts_s = self._forward(frame.pts_s) if self.source.live else frame.pts_s
        index, epoch = self.stats.grabbed, self.stats.epoch
        if (frame.index, frame.epoch, frame.pts_s) == (index, epoch, pts_s):
            return frame
        return replace(frame, index=index, epoch=epoch, pts_s=pts_s)

    def _forward(self, pts_s: float) -> float:
        """Return the time of the next frame, not before the last one's in its epoch."""
        last = self._last_pts_s
        if not math.isfinite(pts_s):
            pts_s = last or 0.0
        elif last is not None and pts_s < last:
            if last - pts_s > CLOCK_JITTER_S:
                self.stats.epoch += 1
                log.warning("%s: its clock went back by %.1f s", self._where, last - pts_s)
            else:
                pts_s = last
        self._last_pts_s = pts_s
        return pts_s
