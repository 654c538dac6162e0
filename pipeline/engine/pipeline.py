"""A run: a grab thread per source, the inference thread, and the caller's thread for the sinks.

The caller's thread takes results, passes them to the sinks and yields them: a program that iterates
slowly makes the stages before it wait (backpressure), and no result is lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from pipeline.core.data import ClassNames, Result
from pipeline.core.errors import PipelineError
from pipeline.core.fork_check import ForkedError, check_not_forked, is_forked, mark_used
from pipeline.core.interfaces import Detector, Sink, Source, Tracker, Watcher
from pipeline.core.packet_tap import PacketTap
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.engine.camera_monitor import CameraStatus
from pipeline.engine.inference import Inference
from pipeline.engine.options import RunOptions
from pipeline.engine.result_builder import ResultQueue
from pipeline.engine.sink_group import SinkGroup, with_age
from pipeline.engine.source_detection import DetectOptions
from pipeline.engine.source_group import SourceGroup
from pipeline.engine.source_tracker import SourceTrackers
from pipeline.engine.stats import Stats

log = logging.getLogger("trackline")

PATIENCE_S = 5.0
"""Default wait for sources that hang, at the end of a run."""
MAX_RESULTS = 8
"""Maximum number of results waiting for the sinks if a file is among the sources."""


class Pipeline:
    """Runs sources through one detector and a tracker per source to the sinks, once.

    `new_tracker` is called once per source, `new_watcher` with the source's name. `sinks` maps a
    name for messages to a sink; sinks store `metadata` in their files. A file named in `optional`
    that cannot be opened or read to its end is set aside with its reason, and named in the error at
    the end. The end waits for sources that hang, for all of them together at most `patience_s`.
    `unrelated_score` is the lowest score on pictures that have nothing to do with each other: the
    trackers of other sources may ask for lower ones. `detect` holds by name the options of sources
    with detection settings of their own.

    Sources, detector, trackers and watchers may be changed by any thread, before the run and while
    it goes on, but not by a tracker, a watcher or the detector itself.
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
        patience_s: float = PATIENCE_S,
        detect: Mapping[str, DetectOptions] | None = None,
    ) -> None:
        self.stop_reason: str | None = None
        self._metadata = metadata or {}
        self._error: BaseException | None = None
        self._error_lock = threading.Lock()
        self._interrupted = self._stopping = self._used = False
        self._patience_s = patience_s
        self._options = options = options or RunOptions()
        self._stop = threading.Event()
        self._changes = threading.Lock()
        self.stats = Stats({})
        self._sources = SourceGroup(options, self.stats, self._fail, optional)
        self._sinks = SinkGroup(sinks or {}, self.stats, self._fail)
        self._results = ResultQueue(MAX_RESULTS, self.stats, self._sinks.show)
        self._inference = Inference(
            detector,
            SourceTrackers(new_tracker, new_watcher, unrelated_score),
            self._sources.rings,
            self._results,
            self.stats,
            options,
        )
        if not sources and not options.wait_for_sources:
            raise ValueError("Pipeline.sources: want at least one source, got none")
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"Pipeline.sources: names must differ, got {names}")
        for source in sources:
            self.add_source(source, (detect or {}).get(source.name))

    def run(self) -> dict[str, Any]:
        """Process everything and return the report; raises the first error after closing all."""
        deque(self.results(), maxlen=0)
        return self.stats.report()

    @property
    def source_infos(self) -> dict[str, SourceInfo]:
        """Return the properties of the sources that are open, by name."""
        return self._sources.infos

    @property
    def class_names(self) -> ClassNames:
        """Return the detector's class names, {} before it is open."""
        return self._inference.class_names

    @property
    def max_frames(self) -> int | None:
        """Return the frame limit of each source, None without a limit."""
        return self._options.max_frames

    @property
    def files(self) -> tuple[int, int]:
        """Return how many files were started, and how many there are."""
        return self._sources.files

    @property
    def started(self) -> bool:
        """Return whether everything opened and frames began to flow."""
        return self._inference.started

    @property
    def is_stopping(self) -> bool:
        """Return whether the run is ending, or has ended."""
        return self._stop.is_set()

    def cameras(self) -> dict[str, CameraStatus]:
        """Return the state of every source, by name, in order."""
        check_not_forked()
        return self._sources.statuses()

    def live_since(self, source: str) -> float | None:
        """Return since when a source has given frames (monotonic), None where it gives none."""
        return self._sources.live_since(source)

    def packets(self, source: str) -> PacketTap | None:
        """Return the encoded pictures of a camera, None if its source does not offer them."""
        return self._sources.packets(source)

    @property
    def queue_limits(self) -> dict[str, int]:
        """Return how many frames may wait for inference, by source."""
        return {name: ring.capacity for name, ring in self._sources.queues.items()}

    @property
    def result_queue_limit(self) -> int:
        """Return how many results may wait for the sinks."""
        return self._results.capacity

    # -- changes, by any thread, before the run and during it -------------------------------------

    def add_source(self, source: Source, detect: DetectOptions | None = None) -> None:
        """Add a source; one whose name was used before keeps its counters and ids.

        Raises ValueError if the name is taken, SourceError for a file that cannot be opened,
        PipelineError once the run is over. Later failures end this source alone.
        """
        check_not_forked()
        with self._changes:
            if self._stop.is_set() and self.started:
                raise PipelineError(f"source {source.name}: the run is over")
            if source.name in self._sources:
                raise ValueError(f"Pipeline.sources: names must differ, '{source.name}' is there")
            self._inference.add_source(source.name, detect)
            try:
                self._sources.add(source)
            except BaseException:
                self._inference.remove_source(source.name)
                raise
            self._limit_results()

    def remove_source(self, name: str) -> None:
        """Remove a source and its tracker: frames not yet inferred are dropped as "removed".

        Waits for its thread, at most `patience_s`. The run ends with its last source, unless it
        waits for others. Raises ValueError for an unknown name.
        """
        check_not_forked()
        with self._changes:
            grabber = self._sources.remove(name)
            self._inference.remove_source(name)
            self._limit_results()
        grabber.close(self._patience_s)

    def set_detect(self, source: str, detect: DetectOptions | None) -> None:
        """Use other detection options for a source from its next frame on."""
        check_not_forked()
        with self._changes:
            self._inference.set_detect(source, detect)

    def retry_now(self, source: str) -> None:
        """Retry a lost camera at once instead of when its wait is over.

        A camera that is not lost is unaffected. Raises ValueError for an unknown name.
        """
        check_not_forked()
        self._sources.retry_now(source)

    def replace_detector(self, detector: Detector) -> None:
        """Use another detector from the next batch on; the old one is closed.

        It is opened first, while the old one continues. Raises ModelError if that fails, and
        PipelineError once the run is over; the old one stays then.
        """
        check_not_forked()
        self._inference.replace_detector(detector, prefer_latency=self._is_lone_camera)
        self._limit_frames()

    def replace_tracker(self, new_tracker: Callable[[], Tracker]) -> None:
        """Use other trackers from the next frame on; ids are never reused.

        Tracks continue if the new tracker is of the same kind and can load the old one's state.
        Raises ModelError if one cannot be opened; the old ones stay then.
        """
        check_not_forked()
        with self._changes:
            self._inference.replace_tracker(new_tracker)

    def set_watcher(self, source: str, watcher: Watcher | None) -> None:
        """Use a source's watcher from its next frame on; raises ValueError if it is unknown."""
        check_not_forked()
        self._inference.set_watcher(source, watcher)

    # -- the run itself ---------------------------------------------------------------------------

    def stop(self, reason: str | None = None) -> None:
        """End the run in order, from any thread: everything inferred still reaches the sinks.

        The first `reason` is kept in `stop_reason`, for the report. Raises ForkedError in a process
        forked in the meantime, as everything else here does: it would wait for ever.
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
        """Yield each result once the sinks have it; closes everything however it ends.

        A caller that may break off wraps it in `contextlib.closing`, so that the run ends in order
        at that point and not when the last reference to the generator is dropped.

        Raises the first error of any stage after delivering everything inferred before it, and
        SourceBrokenError at the end if a file broke off or was set aside: everything else was
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
        """Open sources, detector and sinks; first those that are likely to find user mistakes."""
        mark_used()
        self._sources.open_files()
        shapes = [(info.height, info.width) for info in self.source_infos.values()]
        shapes = [shape for shape in shapes if min(shape) > 0]  # plug-ins may not know theirs
        class_names = self._inference.open(prefer_latency=self._is_lone_camera, shapes=shapes)
        self._limit_frames()
        only_files = self._sources.only_files
        self._sinks.open(
            RunInfo(
                output=self._options.output,
                class_names=class_names,
                sources=self.source_infos,
                utc_at_monotonic_zero=time.time() - time.monotonic(),
                metadata=self._metadata,
                only_files=only_files,
                camera_states=self._camera_states,
                recordings=lambda: self._sources.recordings,
                clip_packets=self._sources.clip_packets,
            )
        )
        self.stats.begin()
        self._sources.start()
        self._inference.start(self._fail, only_files=only_files)

    @property
    def _is_lone_camera(self) -> bool:
        return self._sources.all_live and len(self._sources) == 1

    def _limit_frames(self) -> None:
        """Bound the frames of files by what the detector takes that is in use now."""
        with self._changes:  # of two that were put in at the same time, the one that stayed
            if (load := self._inference.detector_load) is not None:
                self._sources.limit(*load)

    def _limit_results(self) -> None:
        """Limit queued results for cameras, which must not grow old: at most one batch may wait."""
        cameras = max(1, len(self._sources))
        self._results.capacity = cameras if self._sources.all_live else MAX_RESULTS

    def _camera_states(self) -> dict[str, tuple[str, float]]:
        """Return state and since when (Unix seconds) of each live source."""
        return {n: (one.state, one.since) for n, one in self.cameras().items() if one.live}

    def _delivered(self) -> Iterator[Result]:
        """Yield each result of inference, once the sinks have it; raises what a sink raises."""
        while (batch := self._results.take()) is not None:
            while batch:  # no picture is kept here while waiting for the next result
                yield self._deliver(with_age(batch.pop(0)))
                check_not_forked()

    def _deliver(self, result: Result) -> Result:
        """Pass the result to the sinks, count and return it; raises what a sink raises."""
        check_not_forked()
        name = result.frame.source
        self.stats.add_stages(result.stage_ms)
        try:
            go_on = self._sinks.write(result)
        except PipelineError:
            self.stats.drop(name, "failed")
            raise
        if warning := self.stats.sources[name].add_delivered(result):
            log.warning("source %s: %s", name, warning)
        for ended in self._sources.finished():
            self._sinks.source_ended(ended)
        if not go_on:
            self.stop()
        return result

    def _deliver_rest(self) -> None:
        """Pass the sinks what was inferred before the caller broke off."""
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
        """Keep the first error and make every stage end; any thread."""
        with self._error_lock:
            if self._error is None:
                self._error = error
        self.stop()

    def _shut_down(self) -> None:
        """Close everything, balance the counters, then raise the first error if there was one."""
        try:
            with ExitStack() as steps:
                # Last in, first out. Each is called even if Ctrl-C interrupts the one before it.
                steps.callback(self._inference.close, self._fail)
                steps.callback(self._sources.close, self._patience_s)
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
        log.error("%s", self._error)  # Ctrl-C came first, so the caller gets it

    def _end_inference(self) -> None:
        """Wait for the thread; results it still passes on after a failure are dropped."""
        if not self.started:
            return
        cause = "failed" if self._error else "interrupted"
        while (batch := self._results.take()) is not None:
            for result in batch:
                self.stats.drop(result.frame.source, cause)
