"""Grab thread of one source: opens, reads and numbers frames; reconnects a lost camera."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
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
from pipeline.core.interfaces import (
    CountsUndecoded,
    CountsUnwanted,
    HasNotes,
    Interruptible,
    Source,
)
from pipeline.core.ring_buffer import RingBuffer
from pipeline.core.run_info import SourceInfo
from pipeline.core.worker import Fail, Worker
from pipeline.engine.camera_monitor import CameraMonitor
from pipeline.engine.read_ahead import (
    bytes_of_frame,
    frames_in_memory,
    max_moving,
    useful_read_ahead,
)
from pipeline.engine.stats import UNWANTED, SourceStats

log = logging.getLogger("trackline")

CLOCK_JITTER_S = 1.0
"""A live source's time that goes back by less is held; by more, its clock was reset."""


class Grabbed(NamedTuple):
    """A frame on its way to inference, with the milliseconds it took to read."""

    frame: Frame
    read_ms: float


@dataclass(frozen=True, slots=True)
class GrabRules:
    """How one source is grabbed: frame limit, retries, and which failures end the run.

    A lost camera is retried after `retry_first_s`, doubled each time up to `retry_longest_s`. A
    file that is `optional` is set aside if it fails. Any failure of an `isolated` source is logged
    instead of ending the run, and a live one is reconnected whatever the failure.
    """

    retry_first_s: float
    retry_longest_s: float
    max_frames: int | None = None
    optional: bool = False
    isolated: bool = False


class Grabber:
    """Moves one source's frames into its ring until the end, `max_frames` or `halt`.

    A lost camera is reconnected and a broken file is recorded: neither ends the run. Any other
    failure goes to `fail`, unless `rules` say otherwise. `wake` ends the waits between two retries.
    """

    def __init__(
        self,
        source: Source,
        ring: RingBuffer[Grabbed],
        stats: SourceStats,
        monitor: CameraMonitor,
        rules: GrabRules,
        wake: threading.Event | None = None,
    ) -> None:
        self.source = source
        self.ring = ring
        self.stats = stats
        self.monitor = monitor
        self.info: SourceInfo | None = None
        self.broken: SourceBrokenError | None = None
        self.parked = False
        self._isolated = rules.isolated
        self._optional = rules.optional
        self._stop = threading.Event()
        self._wake = wake or threading.Event()
        self._where = f"source {source.name}"
        self._max_frames = rules.max_frames
        self._backoff = Backoff(rules.retry_first_s, rules.retry_longest_s)
        self._lost = False
        self._ring_bytes: int | None = None
        self._read_ahead = ring.capacity
        self._detector: tuple[int, int] | None = None
        self._frame_bytes = 0
        self._undecoded = self._unwanted = 0
        self._counts_undecoded: CountsUndecoded | None = None
        self._counts_unwanted: CountsUnwanted | None = None
        self._last_pts_s: float | None = None
        self._worker: Worker | None = None
        if stats.grabbed:
            stats.epoch += 1  # the name existed before: numbering continues

    def open(self, ring_megabytes: int) -> bool:
        """Open a source that must exist now (a file), on the caller's thread; raises SourceError.

        Its ring is made smaller if that many frames would take more than `ring_megabytes`. Return
        False for an optional source that cannot be opened, which is set aside.
        """
        try:
            with located(self._where):
                self.info = replace(self.source.open(), recorded=True)
        except PipelineError as error:
            if not self._optional:
                raise
            self._set_aside(error)
            self.ring.close()
            with suppress(PipelineError), located(self._where):
                self.source.close()
            return False
        self.stats.unrelated = self.info.unrelated
        self._ring_bytes = ring_megabytes * 2**20
        self._read_ahead = min(self._read_ahead, frames_in_memory(ring_megabytes, self.info))
        self.ring.capacity = self._read_ahead
        return True

    def limit(self, batch_size: int, in_flight: int) -> None:
        """Hold no more large frames of a file than a detector with this batch size can use.

        No effect on a live source or one that is not open.
        """
        if self.source.live or self.info is None:
            return
        self._detector = batch_size, in_flight
        self.ring.capacity = min(self._read_ahead, useful_read_ahead(batch_size * 2, self.info))

    def _set_aside(self, error: PipelineError) -> None:
        """Set this file aside, with the reason; the run continues with the others."""
        self._note_broken(error)
        log.warning("%s; set aside", " ".join(str(error).split()))

    def _note_broken(self, error: PipelineError) -> None:
        # Without its traceback, which refers to the decoder and its pictures.
        self.broken = SourceBrokenError(*error.args)
        self.stats.broken = str(error)
        self.monitor.set_ended(str(error))

    def park(self) -> None:
        """Close what `open` has opened, until the grabber starts; raises PipelineError."""
        with located(self._where):
            self.source.close()
        self.parked = True

    def start(self, fail: Fail, at_end: Callable[[], None] = lambda: None) -> None:
        """Start grabbing on a separate thread, which closes the source at its end."""

        def end() -> None:
            self.ring.close()
            at_end()

        self._worker = Worker(f"grab {self.source.name}", self._grab, end)
        self._worker.start(lambda error: self._failed(error, fail))

    def isolate(self) -> None:
        """From now on no failure of this source ends the run."""
        self._isolated = True

    def halt(self, cause: str = "stopped") -> None:
        """Stop grabbing, and drop waiting frames; any thread.

        Interrupts a wait if the source can.
        """
        self._stop.set()
        self._wake.set()
        if isinstance(self.source, Interruptible):
            self.source.interrupt()
        self.ring.close(discard=True, cause=cause)

    def retry_now(self) -> None:
        """Retry a lost camera at once, and restart with short waits; any thread."""
        self._backoff.reset()
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Wait for the thread, which closes its source, or close a source without a thread.

        A source that hangs for more than `timeout` seconds is abandoned.
        """
        if self._worker is None or not self._worker.started:
            with located(self._where):
                self.source.close()
        elif not self._worker.join(timeout):
            log.warning("%s: still hangs; left behind", self._where)
        self.monitor.set_ended()

    def _failed(self, error: BaseException, fail: Fail) -> None:
        self.monitor.set_ended(str(error))
        if self._isolated and isinstance(error, PipelineError):
            log.error("%s", error)
        else:
            fail(error)

    def _grab(self) -> None:
        with located(self._where), closing(self.source):
            try:
                if self.source.live:
                    self._grab_live()
                else:
                    self._grab_file()
                self.monitor.set_ended()
            except SourceBrokenError as error:
                self._note_broken(error)
            finally:
                if isinstance(self.source, HasNotes):
                    self.stats.notes = tuple(self.source.notes)
                self.ring.close()  # before the source, whose `close` may hang

    def _grab_file(self) -> None:
        """Grab a file to its end; an optional one that fails in any way is set aside."""
        try:
            with located(self._where):
                if self.parked and not self._stop.is_set():
                    self.source.open()
                self._grab_to_end()
        except SourceBrokenError:
            self._count_left_out()
            raise
        except PipelineError as error:
            if not self._optional:
                raise
            self._set_aside(error)

    def _grab_live(self) -> None:
        """Grab from a live source; each loss is followed by back-off, a retry and a new epoch."""
        last_error = ""
        while not self._stop.is_set():
            try:
                with located(self._where):
                    self.info = self.source.open()
                    self._last_pts_s = None
                    self._grab_to_end()
                return
            except PipelineError as error:
                if not (isinstance(error, SourceLostError) or self._isolated):
                    raise
                if self._stop.is_set():  # the wait was interrupted, or the failure matters no more
                    return
                self._lost = True
                wait_s = self._backoff.next_s()
                self._wake.clear()  # before anybody sees it lost and requests a retry
                self.monitor.set_lost(str(error), wait_s)
                # A camera that is off for days is not worth a log line every half minute.
                level = logging.DEBUG if str(error) == last_error else logging.WARNING
                last_error = str(error)
                log.log(level, "%s; next try in %.1f s", error, wait_s)
            self._close_lost()
            if not self._stop.is_set():  # `halt` sets it before it wakes
                self._wake.wait(wait_s)
                self.monitor.set_trying()

    def _close_lost(self) -> None:
        try:
            with located(self._where):
                self.source.close()
        except PipelineError as error:
            if not self._isolated:
                raise
            log.warning("%s", error)

    def _grab_to_end(self) -> None:
        """Put frames until the source ends, `max_frames` are reached or it is halted."""
        source = self.source  # looked up once: `isinstance` of a Protocol is slow
        self._counts_undecoded = source if isinstance(source, CountsUndecoded) else None
        self._counts_unwanted = source if isinstance(source, CountsUnwanted) else None
        while not (self._stop.is_set() or self._has_enough()):
            if self._detector is not None and self._frame_bytes:
                self.stats.wait_for_room(self._max_moving, self._stop, self.ring)
            began = time.perf_counter()
            frame = self.source.read()
            if self._stop.is_set():  # a read may hang for long: what it gives now is not counted
                return
            read_ms = (time.perf_counter() - began) * 1e3
            if self._lost and frame is not None:
                self._count_reconnect()
            self._count_left_out()
            if frame is None or self._has_enough():
                return
            frame = self._numbered(frame)
            self._frame_bytes = frame.nbytes
            frozen = self.monitor.add_frame(frame, is_chosen=self._unwanted > 0)
            self.stats.grabbed += 1
            self.ring.put(Grabbed(frame, read_ms), behind=self._behind(frame))
            del frame  # a camera's picture is not kept while waiting for the next one
            if frozen:
                raise SourceLostError(f"{self._where}: the same picture again and again")

    def _max_moving(self) -> int:
        return max_moving(self._frame_bytes, *(self._detector or (1, 1)))

    def _behind(self, frame: Frame) -> int | None:
        """Return how many frames may wait before one that is larger than a file's first.

        Pictures differ in size: the ring was dimensioned for frames as small as the first.
        """
        if self._ring_bytes is None or self.info is None:
            return None
        size = frame.nbytes
        return None if size <= bytes_of_frame(self.info) else max(0, self._ring_bytes // size - 1)

    def _has_enough(self) -> bool:
        return self._max_frames is not None and self.stats.grabbed >= self._max_frames

    def _count_left_out(self) -> None:
        """Count frames that the source left out as grabbed and dropped."""
        if self._counts_undecoded is not None:
            undecoded = self._counts_undecoded.left_out
            self._drop(undecoded - self._undecoded, "undecoded")
            self._undecoded = undecoded
        if self._counts_unwanted is not None:
            unwanted = self._counts_unwanted.unwanted
            self._drop(unwanted - self._unwanted, UNWANTED)
            self._unwanted = unwanted

    def _drop(self, frames: int, cause: str) -> None:
        for _ in range(frames):
            if not self._has_enough():
                self.stats.drop_frame(self.stats.grabbed, cause)
                self.stats.grabbed += 1

    def _count_reconnect(self) -> None:
        """Count a reconnect, at its first frame: some cameras open and then send none."""
        self._lost = False
        self._backoff.reset()
        if self.stats.grabbed:
            self.stats.reconnects += 1
            self.stats.epoch += 1
        log.info("%s: frames again", self._where)

    def _numbered(self, frame: Frame) -> Frame:
        """Return the frame numbered over the whole run; its epoch grows with each reconnect.

        A live source's time never goes back within an epoch: one that jumps back begins another.
        """
        if frame.source != self.source.name:
            raise StageError(f"{self._where}: Frame.source: want its name, got '{frame.source}'")
        pts_s = self._monotonic(frame.pts_s) if self.source.live else frame.pts_s
        index, epoch = self.stats.grabbed, self.stats.epoch
        if (frame.index, frame.epoch, frame.pts_s) == (index, epoch, pts_s):
            return frame
        return frame.moved(index=index, epoch=epoch, pts_s=pts_s)

    def _monotonic(self, pts_s: float) -> float:
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
