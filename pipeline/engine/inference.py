"""The inference thread: take what is ready, detect, pass on (pipeline.engine.result_builder).

A detector that overlaps (pipeline.core.interfaces.Overlapping) is given the next batch before the
earlier ones are answered, so that it never runs out of work between two. Where no frame waits the
oldest batch is collected at once: what is in flight is never held back for more to come.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.core.data import ClassNames, Detections, Result
from pipeline.core.errors import PipelineError
from pipeline.core.interfaces import Detector, Tracker, Watcher
from pipeline.core.ring_buffer import RingBuffer, take
from pipeline.core.worker import Fail, Worker
from pipeline.engine.detector_runner import DetectorRunner, InFlightBatch
from pipeline.engine.frame_skipper import Every
from pipeline.engine.grabber import Grabbed
from pipeline.engine.result_builder import ResultBuilder
from pipeline.engine.source_tracker import SourceTrackers
from pipeline.engine.stats import Stats
from pipeline.engine.step_lock import StepLock

log = logging.getLogger("trackline")


class Inference:
    """Frames from `rings` to `results`, which it closes at its end; a follower per source.

    `show` is told of each result first, and must not wait. What is detected and followed with
    may be changed by any other thread, between two steps. Live frames older than `max_age_ms`
    when they are taken are dropped as "old". With `detect_every` (pipeline.engine.frame_skipper)
    frames of files wait for the next one that is detected on.
    """

    max_age_ms: float | None = None
    detect_every: Every = 1
    in_order = False

    def __init__(
        self,
        detector: Detector,
        followers: SourceTrackers,
        rings: Sequence[RingBuffer[Grabbed]],
        results: RingBuffer[Result],
        stats: Stats,
        show: Callable[[Result], None] = lambda _: None,
    ) -> None:
        self._engaged = DetectorRunner(detector)
        self._followers = followers
        self._rings = rings
        self._results = results
        self._stats = stats
        # Batches begun and not yet passed on, oldest first.
        self._flying: deque[InFlightBatch] = deque()
        self._turns = StepLock()
        self._passing_on = ResultBuilder(followers, results, stats, show, self._turns)
        self._opened = self._closed = False
        self._worker = Worker("infer", self._infer_all, self._finish)

    def set_unrelated_score(self, score: float) -> None:
        """Set the lowest score on pictures that have nothing to do with each other."""
        self._passing_on.unrelated_score = score

    @property
    def started(self) -> bool:
        """Return whether the thread was started."""
        return self._worker.started

    def open(self, *, prefer_latency: bool) -> ClassNames:
        """Open the detector and return its class names; raises ModelError."""
        self._engaged.open(prefer_latency=prefer_latency)
        self._opened = True
        return self._engaged.class_names

    @property
    def most_at_once(self) -> int:
        """Return how many frames the detector takes in one go, once it is open."""
        return self._engaged.detector.batch_size

    def start(self, fail: Fail) -> None:
        """Begin; `fail` is called from the thread with what went wrong."""
        self._worker.start(fail)

    def close(self, fail: Fail) -> None:
        """Wait for the thread, then close the detector: never while it is still in `detect`."""
        self._results.close(discard=True)
        self._worker.join()
        with self._turns.between():
            self._closed = True
        try:
            self._engaged.close()
        except PipelineError as error:
            fail(error)

    # -- changes, by any other thread -----------------------------------------------------------

    def replace_detector(self, detector: Detector, *, prefer_latency: bool) -> None:
        """Open a detector beside the one in use, then use it from the next batch on.

        Raises ModelError where it does not open, PipelineError where the run is over; the one in
        use stays then.
        """
        fresh = DetectorRunner(detector)
        try:
            if self._opened:
                fresh.open(prefer_latency=prefer_latency)
            with self._turns.between():
                if self._closed:
                    raise PipelineError(f"{fresh.name}: the run is over")
                before, self._engaged = self._engaged, fresh
                before.retired = True
                idle = self._is_idle(before)
        except PipelineError:
            fresh.close_quietly()
            raise
        if idle and self._opened:  # otherwise once its last batch is passed on
            _retire(before)

    def replace_tracker(self, new_tracker: Callable[[], Tracker]) -> None:
        """Follow with other trackers from the next frame on; see `SourceTracker.adopt`."""
        with self._turns.between():
            self._followers.adopt(new_tracker)

    def set_watcher(self, source: str, watcher: Watcher | None) -> None:
        """Watch a source with this from its next frame on; raises ValueError if it is unknown."""
        with self._turns.between():
            follower = self._followers.get(source)
            if follower is None:
                raise ValueError(f"Pipeline.sources: no source '{source}'")
            follower.watcher = watcher

    def follow(self, source: str) -> None:
        """Begin to follow a source, before its first frame."""
        with self._turns.between():
            self._followers.add(source)

    def unfollow(self, source: str) -> None:
        """Follow a source no longer; its frames on the way are dropped as "removed"."""
        with self._turns.between():
            self._followers.remove(source)

    # -- the thread itself ----------------------------------------------------------------------

    def _infer_all(self) -> None:
        while True:
            began = time.perf_counter()
            most = self._engaged.detector.batch_size
            batch = take(self._rings, most, wait=not self._flying, in_order=self.in_order)
            if not self._flying:
                self._stats.starved_s += time.perf_counter() - began
            if batch is None and not self._flying:
                self._passing_on.release_all(self._engaged)
                return
            if batch := self._fresh(batch or []):
                most = self._begin(batch)
                while self._is_due(most):
                    self._pass_on()
            elif self._flying:
                self._pass_on(for_want_of_frames=True)

    def _finish(self) -> None:
        with self._turns.step():
            flights = [*self._flying]
            self._flying.clear()
        for batch in (self._passing_on.take_held(), *(flight.batch for flight in flights)):
            for grabbed in batch:
                self._stats.drop(grabbed.frame.source, "failed")
        for engaged in {flight.by for flight in flights if flight.by.retired}:
            _retire(engaged)
        self._results.close()

    def _begin(self, batch: list[Grabbed]) -> int:
        """Begin with a batch; return how many may now be in flight, and one of them is due."""
        with self._turns.step():
            every = self.detect_every
            wanted = [self._passing_on.wants(grabbed, every) for grabbed in batch]
            flight = InFlightBatch(self._engaged, batch, wanted)
            self._flying.append(flight)
            if flight.frames:
                flight.by.begin(flight.frames)
        return flight.by.most

    def _pass_on(self, *, for_want_of_frames: bool = False) -> None:
        """Detect or collect the oldest batch, follow what is in it and hand it on.

        Where another batch would be begun instead if there were frames, they are what is waited
        for meanwhile, and not the detector.
        """
        flight = self._flying[0]
        began = time.perf_counter()
        frames = flight.frames
        stages: Mapping[str, float] = {}
        found: Iterator[Detections] = iter(())
        if frames:
            with self._turns.step():
                found = iter(flight.by.answer(frames))
            took_s = time.perf_counter() - began
            stages = flight.by.stage_ms(began, len(frames))
            waited_s = flight.by.waited_s(took_s, stages, len(frames))
            if for_want_of_frames:
                self._stats.starved_s += waited_s
            else:
                self._stats.detector_s += waited_s
        for wanted in flight.wanted:
            if wanted:
                self._passing_on.detected(flight.by, flight.batch[0], next(found), stages)
            else:
                self._passing_on.skipped(flight.by, flight.batch[0])
            flight.batch.pop(0)
        with self._turns.step():
            self._flying.popleft()
            if flight.by.retired and self._is_idle(flight.by):
                _retire(flight.by)

    def _is_due(self, most: int) -> bool:
        """Return whether to pass on the oldest batch before another is begun with."""
        if not self._flying:
            return False
        asked = sum(any(flight.wanted) for flight in self._flying)
        return asked >= most or not any(self._flying[0].wanted)

    def _fresh(self, taken: list[Grabbed]) -> list[Grabbed]:
        """Return the frames that are not too old to be of use; the others are counted."""
        if self.max_age_ms is None:
            return taken
        oldest = time.monotonic() - self.max_age_ms / 1e3
        fresh = []
        for grabbed in taken:
            books = self._stats.sources[grabbed.frame.source]
            if books.live and grabbed.frame.captured_at < oldest:
                books.lose(grabbed.frame.index, "old")
            else:
                fresh.append(grabbed)
        return fresh

    def _is_idle(self, engaged: DetectorRunner) -> bool:
        """Return whether none of its batches is in flight; nobody else has the turn."""
        return all(flight.by is not engaged for flight in self._flying)


def _retire(engaged: DetectorRunner) -> None:
    """Close a detector that another has taken the place of; the run goes on if it cannot be."""
    try:
        engaged.close()
    except PipelineError as error:
        log.warning("%s", error)
