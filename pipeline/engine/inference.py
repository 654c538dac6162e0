"""Inference thread: takes ready frames in batches, detects, builds results and passes them on.

An overlapping detector (pipeline.core.interfaces.Overlapping) is given the next batch before the
earlier ones are collected, so that it never runs idle between two. If no frame is waiting, the
oldest batch is collected at once: a batch in flight is never held back for more to come.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.core.data import ClassNames, Detections
from pipeline.core.errors import PipelineError
from pipeline.core.interfaces import Detector, NeedsOpening, Tracker, Watcher
from pipeline.core.ring_buffer import RingGroup
from pipeline.core.worker import Fail, Worker
from pipeline.engine.detector_runner import DetectorRunner, InFlightBatch
from pipeline.engine.grabber import Grabbed
from pipeline.engine.options import RunOptions
from pipeline.engine.result_builder import ResultBuilder, ResultQueue
from pipeline.engine.source_detection import DetectOptions, SourceDetection
from pipeline.engine.source_tracker import SourceTrackers
from pipeline.engine.stats import Stats
from pipeline.engine.step_lock import StepLock

log = logging.getLogger("trackline")


class Inference:
    """Moves frames from `rings` through detector and trackers to `results`, closed at its end.

    Detector, trackers and watchers may be replaced by any other thread, between two steps. The
    options used are `max_age_ms`, beyond which live frames are dropped as "old", `detect_every` and
    `in_order`.
    """

    def __init__(
        self,
        detector: Detector,
        trackers: SourceTrackers,
        rings: RingGroup[Grabbed],
        results: ResultQueue,
        stats: Stats,
        options: RunOptions,
    ) -> None:
        self._runner = DetectorRunner(detector)
        self._trackers = trackers
        self._rings = rings
        self._results = results
        self._stats = stats
        self._max_age_ms = options.max_age_ms
        self._in_order = options.in_order
        self._in_flight: deque[InFlightBatch] = deque()  # oldest first
        self._lock = StepLock()
        self._detection = SourceDetection()
        self._builder = ResultBuilder(
            trackers, results, stats, self._lock, options.detect_every, self._detection
        )
        self._opened = self._closed = False
        self._worker = Worker("infer", self._infer_all, self._finish)

    @property
    def started(self) -> bool:
        """Return whether the thread was started."""
        return self._worker.started

    def open(self, *, prefer_latency: bool, shapes: Sequence[tuple[int, int]] = ()) -> ClassNames:
        """Open detector and trackers; return the class names; raises ModelError and ConfigError.

        `shapes` are the (height, width) of the sources known so far.
        """
        # If sources have their own input sizes, the shapes of their pictures are not enough.
        shapes = () if self._detection.sizes else shapes
        self._runner.open(prefer_latency=prefer_latency, shapes=shapes)
        self._opened = True
        with self._lock.exclusive():
            self._use(self._runner)
            self._trackers.open()
        return self._runner.class_names

    @property
    def class_names(self) -> ClassNames:
        """Return the detector's class names, none before it is open."""
        return self._runner.class_names

    def _use(self, runner: DetectorRunner) -> None:
        """Make a detector and the sources' own options known to each other; the lock is held."""
        self._detection.use(runner.class_names)
        runner.set_sizes(self._detection.sizes)

    @property
    def batch_size(self) -> int:
        """Return how many frames the detector takes in one batch, once it is open."""
        return self._runner.detector.batch_size

    @property
    def detector_load(self) -> tuple[int, int] | None:
        """Return the detector's batch size and batches in flight, None before it is open."""
        return (self.batch_size, self._runner.max_in_flight) if self._opened else None

    def start(self, fail: Fail, *, only_files: bool) -> None:
        """Start the thread, which reports to `fail`; live sources are never in order."""
        self._in_order = self._in_order and only_files
        self._worker.start(fail)

    def close(self, fail: Fail) -> None:
        """Wait for the thread, then close detector and trackers: never while they are in use."""
        self._results.close(discard=True)
        self._worker.join()
        with self._lock.exclusive():
            self._closed = True
        for close in (self._runner.close, self._trackers.close):
            try:
                close()
            except PipelineError as error:
                fail(error)

    # -- changes, by any other thread -----------------------------------------------------------

    def replace_detector(self, detector: Detector, *, prefer_latency: bool) -> None:
        """Open a detector beside the current one, then use it from the next batch on.

        Raises ModelError if it does not open, PipelineError if the run is over; the current one
        stays then.
        """
        fresh = DetectorRunner(detector)
        try:
            if self._opened:
                fresh.open(prefer_latency=prefer_latency)
            with self._lock.exclusive():
                if self._closed:
                    raise PipelineError(f"{fresh.name}: the run is over")
                if self._opened:
                    self._use(fresh)
                before, self._runner = self._runner, fresh
                before.retire()
                idle = self._is_idle(before)
        except PipelineError:
            fresh.close_quietly()
            raise
        if idle and self._opened:  # otherwise once its last batch is collected
            _close_replaced(before)

    def replace_tracker(self, new_tracker: Callable[[], Tracker]) -> None:
        """Use other trackers from the next frame on; see `SourceTracker.replace_tracker`.

        Raises ModelError if they cannot be opened.
        """
        # Shared resources, such as a network, are loaded before the cameras have to wait for them.
        loaded = new_tracker()
        try:
            if self._opened and isinstance(loaded, NeedsOpening):
                loaded.open()
            with self._lock.exclusive():
                self._trackers.replace_tracker(new_tracker)
        finally:
            if isinstance(loaded, NeedsOpening):
                loaded.close()

    def set_watcher(self, source: str, watcher: Watcher | None) -> None:
        """Use a source's watcher from its next frame on; raises ValueError if it is unknown."""
        with self._lock.exclusive():
            tracker = self._trackers.get(source)
            if tracker is None:
                raise ValueError(f"Pipeline.sources: no source '{source}'")
            tracker.set_watcher(watcher)

    def add_source(self, source: str, detect: DetectOptions | None = None) -> None:
        """Make a source's tracker, before its first frame."""
        with self._lock.exclusive():
            self._set_detect(source, detect)
            self._trackers.add(source)

    def remove_source(self, source: str) -> None:
        """Remove a source's tracker; its frames in flight are dropped as "removed"."""
        with self._lock.exclusive():
            self._trackers.remove(source)
            self._set_detect(source, None)

    def set_detect(self, source: str, detect: DetectOptions | None) -> None:
        """Use other detection options for a source from its next frame on."""
        with self._lock.exclusive():
            self._set_detect(source, detect)

    def _set_detect(self, source: str, detect: DetectOptions | None) -> None:
        before = self._detection.sizes
        self._detection.set(source, detect)
        if self._opened and self._detection.sizes != before:
            self._runner.set_sizes(self._detection.sizes)

    # -- the thread itself ----------------------------------------------------------------------

    def _infer_all(self) -> None:
        while True:
            began = time.perf_counter()
            held_up = 0 if self._in_flight else self._stats.held_up
            limit = self.batch_size
            batch = self._rings.take(limit, wait=not self._in_flight, in_order=self._in_order)
            if not self._in_flight:
                self._stats.add_starved(time.perf_counter() - began, held_up, 0)
            if batch is None and not self._in_flight:
                self._builder.release_all(self._runner)
                return
            if batch := self._drop_old(batch or []):
                max_in_flight = self._submit(batch)
                while self._is_due(max_in_flight):
                    self._collect()
            elif self._in_flight:
                self._collect(is_starved=True)

    def _finish(self) -> None:
        with self._lock.step():
            in_flight = [*self._in_flight]
            self._in_flight.clear()
        for batch in (self._builder.take_held(), *(each.batch for each in in_flight)):
            for grabbed in batch:
                self._stats.drop(grabbed.frame.source, "failed")
        for runner in {each.runner for each in in_flight if each.runner.is_retired}:
            _close_replaced(runner)
        self._results.close()

    def _submit(self, batch: list[Grabbed]) -> int:
        """Submit a batch; return how many may be in flight before the oldest must be collected."""
        with self._lock.step():
            wanted = [self._builder.wants(grabbed) for grabbed in batch]
            new = InFlightBatch(self._runner, batch, wanted)
            self._in_flight.append(new)
            if new.frames:
                new.runner.submit(new.frames)
        return new.runner.max_in_flight

    def _collect(self, *, is_starved: bool = False) -> None:
        """Collect the oldest batch and pass on its results.

        The wait counts as waiting for the detector, or with `is_starved` as waiting for frames: had
        some come, another batch would have been submitted instead.
        """
        oldest = self._in_flight[0]
        held_up = self._stats.held_up if is_starved else 0
        began = time.perf_counter()
        frames = oldest.frames
        stages: Mapping[str, float] = {}
        found: Iterator[Detections] = iter(())
        if frames:
            with self._lock.step():
                found = iter(oldest.runner.collect(frames))
            took_s = time.perf_counter() - began
            stages = oldest.runner.stage_ms(began, len(frames))
            waited_s = oldest.runner.waited_s(took_s, stages, len(frames))
            if is_starved:
                in_flight = sum(len(each.batch) for each in self._in_flight)
                self._stats.add_starved(waited_s, held_up, in_flight)
            else:
                self._stats.detector_s += waited_s
        for wanted in oldest.wanted:
            if wanted:
                self._builder.add_detected(oldest.runner, oldest.batch[0], next(found), stages)
            else:
                self._builder.add_skipped(oldest.runner, oldest.batch[0])
            oldest.batch.pop(0)
        with self._lock.step():
            self._in_flight.popleft()
            if oldest.runner.is_retired and self._is_idle(oldest.runner):
                _close_replaced(oldest.runner)

    def _is_due(self, max_in_flight: int) -> bool:
        """Return whether to collect the oldest batch before submitting another."""
        if not self._in_flight:
            return False
        submitted = sum(any(each.wanted) for each in self._in_flight)
        return submitted >= max_in_flight or not any(self._in_flight[0].wanted)

    def _drop_old(self, taken: list[Grabbed]) -> list[Grabbed]:
        """Drop live frames older than `max_age_ms`; return the others."""
        if self._max_age_ms is None:
            return taken
        oldest = time.monotonic() - self._max_age_ms / 1e3
        fresh = []
        for grabbed in taken:
            stats = self._stats.sources[grabbed.frame.source]
            if stats.live and grabbed.frame.captured_at < oldest:
                stats.drop_frame(grabbed.frame.index, "old")
            else:
                fresh.append(grabbed)
        return fresh

    def _is_idle(self, runner: DetectorRunner) -> bool:
        """Return whether none of its batches is in flight; the lock is held."""
        return all(each.runner is not runner for each in self._in_flight)


def _close_replaced(runner: DetectorRunner) -> None:
    """Close a detector that was replaced; the run continues if that fails."""
    try:
        runner.close()
    except PipelineError as error:
        log.warning("%s", error)
