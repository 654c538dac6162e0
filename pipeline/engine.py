"""The threads of a run: one that grabs per source, one that infers, and the caller's own.

The caller's thread takes results, hands them to the sinks and yields them, so a program that
iterates sets the pace and nothing is lost on the way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.data import Result
from pipeline.delivery import SinkGroup
from pipeline.errors import PipelineError
from pipeline.grabbing import Backoff, Grabbed, Grabber, SourceGroup
from pipeline.inferring import Inference
from pipeline.interfaces import Detector, RunInfo, Sink, Source, SourceInfo, Tracker
from pipeline.options import OptionsModel
from pipeline.ring import Ready, RingBuffer
from pipeline.stats import Stats

log = logging.getLogger("trackline")

LIVE_RING_FRAMES = 2
RESULT_RING = 8


class RunOptions(OptionsModel):
    """What to process and how far the stages may run apart."""

    output: Path = Path("out")
    """Folder the sinks write to; made when it is missing."""
    max_frames: int | None = Field(None, ge=1)
    """Stop each source after this many frames; null for all of them."""
    ring_frames: int = Field(16, ge=1, le=1024)
    """Frames a file may be decoded ahead; fewer where `ring_megabytes` says so."""
    ring_megabytes: int = Field(64, ge=1)
    """Memory one source's decoded frames may wait in."""
    retry_first_s: float = Field(0.5, gt=0, le=3600)
    """Seconds until a lost camera is tried again; doubled with each try in vain."""
    retry_longest_s: float = Field(30.0, gt=0, le=3600)
    """The most seconds between two tries."""


class Pipeline:
    """Sources to sinks through one detector and a tracker per source; runs once.

    `new_tracker` is called once per source. `sinks` maps a name for messages to a sink; sinks
    note `metadata` in their files.
    """

    patience_s = 5.0
    """How long the end of the run waits for sources that hang, all of them together."""

    def __init__(
        self,
        sources: Sequence[Source],
        detector: Detector,
        new_tracker: Callable[[], Tracker],
        sinks: Mapping[str, Sink] | None = None,
        *,
        options: RunOptions | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if not sources:
            raise ValueError("Pipeline.sources: want at least one source, got none")
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"Pipeline.sources: names must differ, got {names}")
        self.stats = Stats({source.name: source.live for source in sources})
        self._options = options or RunOptions()
        self._metadata = metadata or {}
        ready = Ready()
        self._sources = SourceGroup([self._new_grabber(each, ready) for each in sources])
        # Results of cameras must not grow old in a queue: one batch may wait, no more.
        all_live = all(source.live for source in sources)
        self._lone_camera = all_live and len(sources) == 1
        self._results: RingBuffer[Result] = RingBuffer(len(sources) if all_live else RESULT_RING)
        trackers = {name: new_tracker() for name in names}
        self._inference = Inference(
            detector, trackers, self._sources.rings, self._results, self.stats
        )
        self._sinks = SinkGroup(sinks or {}, self.stats, self._fail)
        self._stop = threading.Event()
        self.stop_reason: str | None = None
        self._error: BaseException | None = None
        self._error_lock = threading.Lock()
        self._interrupted = self._stopping = self._used = False

    @property
    def source_infos(self) -> dict[str, SourceInfo]:
        """Return what is known of the sources that are open."""
        return self._sources.infos

    @property
    def max_frames(self) -> int | None:
        """Return the most frames any source will give, None for all it has."""
        return self._options.max_frames

    @property
    def started(self) -> bool:
        """Return whether everything opened and frames began to flow."""
        return self._inference.started

    def run(self) -> dict[str, Any]:
        """Process everything and return the report; raises the first error after closing all."""
        for _ in self.results():
            pass
        return self.stats.report()

    def stop(self, reason: str | None = None) -> None:
        """End the run in order, from any thread: what was inferred still reaches the sinks.

        The first `reason` is kept in `stop_reason`, for the report.
        """
        self.stop_reason = self.stop_reason or reason
        if self._stopping:
            return  # a signal handler may call this in the middle of this very call
        self._stopping = True
        try:
            self._stop.set()
            self._sources.discard()
        finally:
            self._stopping = False

    def results(self) -> Generator[Result, None, None]:
        """Yield each result once the sinks have it; closes everything on any way out.

        A caller that may break off wraps it in `contextlib.closing`, and the end is in order then
        and there, not when the last reference to the generator goes.

        Raises the first error of any stage once what was inferred before it is delivered, and
        SourceBrokenError at the end where a file broke off: everything before the break was
        processed.
        """
        if self._used:
            raise ValueError("Pipeline: a pipeline runs once; build another one")
        self._used = True
        try:
            self._start()
            yield from self._delivered()
        except PipelineError as error:
            self._fail(error)  # opening or a sink; raised by `_shut_down`
        except (GeneratorExit, KeyboardInterrupt, SystemExit) as way_out:
            self._interrupted = not isinstance(way_out, GeneratorExit)
            self._deliver_rest()
            raise
        finally:
            self._shut_down()
        self._sources.raise_broken()

    def _new_grabber(self, source: Source, ready: Ready) -> Grabber:
        options = self._options
        ring: RingBuffer[Grabbed] = RingBuffer(options.ring_frames, "block", ready)
        if source.live:
            ring = RingBuffer(LIVE_RING_FRAMES, "drop_oldest", ready)
        backoff = Backoff(options.retry_first_s, options.retry_longest_s)
        return Grabber(source, ring, self.stats.sources[source.name], options.max_frames, backoff)

    def _start(self) -> None:
        """Open sources, detector and sinks in the order of who finds the user's mistakes first."""
        self._sources.open_files(self._options.ring_megabytes)
        class_names = self._inference.open(prefer_latency=self._lone_camera)
        self._sinks.open(
            RunInfo(
                output=self._options.output,
                class_names=class_names,
                sources=self.source_infos,
                utc_at_monotonic_zero=time.time() - time.monotonic(),
                metadata=self._metadata,
            )
        )
        self.stats.begin()
        self._sources.start(self._stop, self._fail)
        self._inference.start(self._fail)

    def _delivered(self) -> Iterator[Result]:
        """Yield what inference passed on, once the sinks have it; raises what a sink raises."""
        while (batch := self._results.take()) is not None:
            for result in batch:
                self._deliver(result)
                yield result

    def _deliver(self, result: Result) -> None:
        name = result.frame.source
        self.stats.add_stages(result.stage_ms)
        try:
            go_on = self._sinks.write(result)
        except PipelineError:
            self.stats.drop(name, "failed")
            raise
        source = self.stats.sources[name]
        source.delivered += 1
        source.age.add((time.monotonic() - result.frame.captured_at) * 1e3)
        if not go_on:
            self.stop()

    def _deliver_rest(self) -> None:
        """Give the sinks what was inferred before the caller broke off."""
        self.stop()
        try:
            for _ in self._delivered() if self.started else ():
                pass
        except PipelineError as error:
            self._fail(error)
        except BaseException:
            self._interrupted = True
            raise

    def _fail(self, error: BaseException) -> None:
        """Keep the first error and make every stage come to its end; any thread."""
        with self._error_lock:
            if self._error is None:
                self._error = error
        self.stop()

    def _shut_down(self) -> None:
        """Close everything, balance the books, then raise the first error if there was one."""
        try:
            with ExitStack() as steps:
                # Last in, first out. Each is taken even when Ctrl-C strikes in one before it.
                steps.callback(self._inference.close, self._fail)
                steps.callback(self._sources.close, self.patience_s, self._fail)
                steps.callback(self.stats.end)
                steps.callback(self._sinks.close)
                steps.callback(self._end_inference)
                self.stop()
        except BaseException:
            self._interrupted = True
            raise
        finally:
            self._sources.balance(self.stats, interrupted=self._interrupted)
        if self._error is None:
            return
        if not self._interrupted:
            raise self._error
        log.error("%s", self._error)  # Ctrl-C came first and is what the caller gets

    def _end_inference(self) -> None:
        """Wait for the thread; what it still passes on after a failure is not delivered."""
        if not self.started:
            return
        cause = "failed" if self._error else "interrupted"
        while (batch := self._results.take()) is not None:
            for result in batch:
                self.stats.drop(result.frame.source, cause)
