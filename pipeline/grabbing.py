"""The grab thread of one source: open, read, number, put; a lost camera is opened again."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from pipeline.data import Frame
from pipeline.errors import (
    PipelineError,
    SourceBrokenError,
    SourceLostError,
    StageError,
    located,
)
from pipeline.interfaces import Source, SourceInfo
from pipeline.ring import RingBuffer
from pipeline.stats import SourceStats, Stats
from pipeline.worker import Fail, Worker

log = logging.getLogger("trackline")


class Grabbed(NamedTuple):
    """A frame on its way to inference, with the milliseconds it took to read."""

    frame: Frame
    read_ms: float


class Backoff:
    """How long to wait before each try: doubled from `first_s` up to `longest_s`."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the seconds to wait now, and wait longer the next time."""
        seconds = min(self._next_s, self._longest_s)
        self._next_s = seconds * 2
        # Jitter: cameras behind one switch must not all come back in the same instant.
        return seconds * random.uniform(0.8, 1.2)

    def reset(self) -> None:
        """Begin at `first_s` again: the last try was a success."""
        self._next_s = self._first_s


class Grabber:
    """Moves one source's frames into its ring until the end, `max_frames` or `stop`.

    A lost camera or a broken file are this class's business and do not stop the other sources;
    anything else goes to `fail`.
    """

    def __init__(
        self,
        source: Source,
        ring: RingBuffer[Grabbed],
        stats: SourceStats,
        max_frames: int | None,
        backoff: Backoff,
    ) -> None:
        self.source = source
        self.ring = ring
        self.info: SourceInfo | None = None
        self.broken: SourceBrokenError | None = None
        self._where = f"source {source.name}"
        self._stats = stats
        self._max_frames = max_frames
        self._backoff = backoff
        self._lost = False
        self._worker: Worker | None = None

    def open(self, ring_megabytes: int) -> None:
        """Open a source that must exist now (a file), on the caller's thread; raises SourceError.

        Its ring is made smaller where that many frames would take more than `ring_megabytes`.
        """
        with located(self._where):
            self.info = self.source.open()
        frame_bytes = max(self.info.width * self.info.height * 3, 1)
        self.ring.capacity = min(self.ring.capacity, max(2, ring_megabytes * 2**20 // frame_bytes))

    def start(self, stop: threading.Event, fail: Fail) -> None:
        """Begin to grab on a thread of its own, which closes the source at its end."""
        name = f"grab {self.source.name}"
        self._worker = Worker(name, lambda: self._grab(stop), self.ring.close)
        self._worker.start(fail)

    def close(self, timeout: float) -> None:
        """Wait for the thread, which closes its source, or close a source that has none.

        A source that hangs for more than `timeout` seconds is left behind.
        """
        if self._worker is None or not self._worker.started:
            with located(self._where):
                self.source.close()
        elif not self._worker.join(timeout):
            log.warning("%s: still hangs; left behind", self._where)

    def _grab(self, stop: threading.Event) -> None:
        with located(self._where), closing(self.source):
            try:
                if self.source.live:
                    self._grab_for_ever(stop)
                else:
                    self._grab_to_end(stop)
            except SourceBrokenError as error:
                self.broken = error
                self._stats.broken = str(error)
            finally:
                self.ring.close()  # before the source, whose `close` may hang

    def _grab_for_ever(self, stop: threading.Event) -> None:
        """Grab from a live source; each loss is followed by back-off, a new try and a new epoch."""
        while not stop.is_set():
            try:
                self.info = self.source.open()
                self._grab_to_end(stop)
                return
            except SourceLostError as error:
                self.source.close()
                self._lost = True
                wait_s = self._backoff.next_s()
                log.warning("%s; next try in %.1f s", error, wait_s)
            stop.wait(wait_s)

    def _grab_to_end(self, stop: threading.Event) -> None:
        """Put frames until the source ends, enough are there or `stop` is set."""
        while not stop.is_set() and self._stats.grabbed != self._max_frames:
            began = time.perf_counter()
            frame = self.source.read()
            # A read may hang for long: what it brings after the end is in nobody's books.
            if frame is None or stop.is_set():
                return
            read_ms = (time.perf_counter() - began) * 1e3
            if self._lost:
                self._note_return()
            frame = self._numbered(frame)
            self._stats.grabbed += 1
            self.ring.put(Grabbed(frame, read_ms))

    def _note_return(self) -> None:
        """Believe in a camera again: at its first frame, for some open and then give none."""
        self._lost = False
        self._backoff.reset()
        if self._stats.grabbed:
            self._stats.reconnects += 1
        log.info("source %s: frames again", self.source.name)

    def _numbered(self, frame: Frame) -> Frame:
        """Return the frame counted over the whole run; its epoch counts the reconnects."""
        if frame.source != self.source.name:
            raise StageError(f"{self._where}: Frame.source: want its name, got '{frame.source}'")
        index, epoch = self._stats.grabbed, self._stats.reconnects
        if frame.index == index and frame.epoch == epoch:
            return frame
        return replace(frame, index=index, epoch=epoch)


class SourceGroup:
    """All sources of a run: opened, started, stopped and closed together."""

    def __init__(self, grabbers: Sequence[Grabber]) -> None:
        self._grabbers = grabbers

    @property
    def rings(self) -> list[RingBuffer[Grabbed]]:
        """Return each source's ring, in order."""
        return [grabber.ring for grabber in self._grabbers]

    @property
    def infos(self) -> dict[str, SourceInfo]:
        """Return what is known of the sources that are open, by name."""
        return {g.source.name: g.info for g in self._grabbers if g.info is not None}

    def open_files(self, ring_megabytes: int) -> None:
        """Open what must exist now; cameras open on their own threads. Raises SourceError."""
        for grabber in self._grabbers:
            if not grabber.source.live:
                grabber.open(ring_megabytes)

    def start(self, stop: threading.Event, fail: Fail) -> None:
        """Begin to grab from all, until their end or `stop`."""
        for grabber in self._grabbers:
            grabber.start(stop, fail)

    def discard(self) -> None:
        """Drop what waits and whatever comes; wakes the grabbers that wait for space."""
        for grabber in self._grabbers:
            grabber.ring.close(discard=True)

    def close(self, patience_s: float, fail: Fail) -> None:
        """Close every source; those that hang are left behind after `patience_s` in all."""
        deadline = time.monotonic() + patience_s
        for grabber in self._grabbers:
            try:
                grabber.close(max(0.0, deadline - time.monotonic()))
            except PipelineError as error:
                fail(error)

    def balance(self, stats: Stats, *, interrupted: bool) -> None:
        """Book what the rings dropped, and what a Ctrl-C between two stages swallowed."""
        for grabber in self._grabbers:
            name = grabber.source.name
            for cause, count in grabber.ring.dropped.items():
                stats.drop(name, cause, count)
            source = stats.sources[name]
            lost = source.grabbed - source.delivered - source.dropped.total()
            if interrupted and lost > 0:
                stats.drop(name, "interrupted", lost)

    def raise_broken(self) -> None:
        """Raise the SourceBrokenError of the first file that broke off, if any did."""
        for grabber in self._grabbers:
            if grabber.broken is not None:
                raise grabber.broken
