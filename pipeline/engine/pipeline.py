"""The threads of a run: one that grabs per source, one that infers, and the caller's own.

The caller's thread takes results, hands them to the sinks and yields them, so a program that
iterates sets the pace and nothing is lost on the way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from pipeline.core.data import Result
from pipeline.core.errors import PipelineError
from pipeline.core.fork_check import ForkedError, check_not_forked, is_forked, mark_used
from pipeline.core.interfaces import (
    Detector,
    RunInfo,
    Sink,
    Source,
    SourceInfo,
    Tracker,
    Watcher,
)
from pipeline.engine.options import RunOptions
from pipeline.engine.sink_group import aged
from pipeline.engine.stages import Stages

log = logging.getLogger("trackline")


class Pipeline(Stages):
    """Sources to sinks through one detector and a tracker per source; runs once.

    `new_tracker` is called once per source, `new_watcher` with the source's name. `sinks` maps a
    name for messages to a sink; sinks note `metadata` in their files. How it may be changed while
    it runs, see `Stages`. A file named in `optional` that cannot be opened or read on is set aside
    with its reason, and told of at the end. `unrelated_score` is the lowest score on pictures that
    have nothing to do with each other: the trackers of other sources may ask for lower ones.
    """

    def __init__(  # noqa: PLR0913 - what a run consists of
        self,
        sources: Sequence[Source],
        detector: Detector,
        new_tracker: Callable[[], Tracker],
        sinks: Mapping[str, Sink] | None = None,
        *,
        options: RunOptions | None = None,
        metadata: Mapping[str, Any] | None = None,
        new_watcher: Callable[[str], Watcher | None] | None = None,
        optional: Collection[str] = (),
        unrelated_score: float = 0.0,
    ) -> None:
        self.stop_reason: str | None = None
        self._metadata = metadata or {}
        self._error: BaseException | None = None
        self._error_lock = threading.Lock()
        self._interrupted = self._stopping = self._used = False
        super().__init__(detector, new_tracker, sinks or {}, options or RunOptions(), new_watcher)
        self._sources.optional = frozenset(optional)
        self._inference.set_unrelated_score(unrelated_score)
        if not sources and not self._options.wait_for_sources:
            raise ValueError("Pipeline.sources: want at least one source, got none")
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"Pipeline.sources: names must differ, got {names}")
        for source in sources:
            self.add_source(source)

    def run(self) -> dict[str, Any]:
        """Process everything and return the report; raises the first error after closing all."""
        for _ in self.results():
            pass
        return self.stats.report()

    def stop(self, reason: str | None = None) -> None:
        """End the run in order, from any thread: what was inferred still reaches the sinks.

        The first `reason` is kept in `stop_reason`, for the report. Raises ForkedError in a process
        that was forked off meanwhile, as everything else here does: it would wait for ever.
        """
        check_not_forked()
        self.stop_reason = self.stop_reason or reason
        if self._stopping:
            return  # a signal handler may call this in the middle of this very call
        self._stopping = True
        try:
            self._stop.set()
            self._sources.halt()
        finally:
            self._stopping = False

    def results(self) -> Generator[Result, None, None]:
        """Yield each result once the sinks have it; closes everything on any way out.

        A caller that may break off wraps it in `contextlib.closing`, and the end is in order then
        and there, not when the last reference to the generator goes.

        Raises the first error of any stage once what was inferred before it is delivered, and
        SourceBrokenError at the end where a file broke off or was set aside: all else was
        processed.
        """
        if self._used:
            raise ValueError("Pipeline: a pipeline runs once; build another one")
        self._used = True
        try:
            self._start()
            yield from self._delivered()
        except ForkedError:
            raise
        except PipelineError as error:
            self._fail(error)  # opening or a sink; raised by `_shut_down`
        except (GeneratorExit, KeyboardInterrupt, SystemExit) as way_out:
            if is_forked():
                raise
            self._interrupted = not isinstance(way_out, GeneratorExit)
            self._deliver_rest()
            raise
        finally:
            if not is_forked():  # else it is the parent that does it
                self._shut_down()
        self._sources.raise_unread()

    def _start(self) -> None:
        """Open sources, detector and sinks in the order of who finds the user's mistakes first."""
        mark_used()
        self._sources.open_files()
        class_names = self._inference.open(prefer_latency=self._lone_camera)
        self._sources.limit_rings(self._inference.most_at_once * 2)
        self._sinks.open(
            RunInfo(
                output=self._options.output,
                class_names=class_names,
                sources=self.source_infos,
                utc_at_monotonic_zero=time.time() - time.monotonic(),
                metadata=self._metadata,
                only_files=self._sources.only_files,
                camera_states=self._camera_states,
                recordings=self._recordings,
            )
        )
        self.stats.begin()
        self._inference.in_order = self._in_order and self._sources.only_files
        self._sources.start()
        self._inference.start(self._fail)

    def _recordings(self) -> Mapping[str, SourceInfo]:
        """Return what is known of each file opened so far."""
        return self._sources.recordings

    def _camera_states(self) -> dict[str, tuple[str, float]]:
        """Return state and since when (Unix seconds) of each live source."""
        return {n: (one.state, one.since) for n, one in self.cameras().items() if one.live}

    def _delivered(self) -> Iterator[Result]:
        """Yield what inference passed on, once the sinks have it; raises what a sink raises."""
        while (batch := self._results.take()) is not None:
            for result in batch:
                yield self._deliver(aged(result))
                check_not_forked()

    def _deliver(self, result: Result) -> Result:
        """Hand the result to the sinks, book it and return it; raises what a sink raises."""
        check_not_forked()
        name = result.frame.source
        self.stats.add_stages(result.stage_ms)
        try:
            go_on = self._sinks.write(result)
        except PipelineError:
            self.stats.drop(name, "failed")
            raise
        source = self.stats.sources[name]
        source.delivered += 1
        if warning := source.note_age(result):
            log.warning("source %s: %s", name, warning)
        for ended in self._sources.finished():
            self._sinks.source_ended(ended)
        if not go_on:
            self.stop()
        return result

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
                steps.callback(self._sources.close, self.patience_s)
                steps.callback(self.stats.end)
                steps.callback(self._sinks.close)
                steps.callback(self._end_inference)
                self.stop()
        except BaseException:
            self._interrupted = True
            raise
        finally:
            self._sources.balance(interrupted=self._interrupted)
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
