"""The threads of a run: one that grabs per source, one that infers, and the caller's own.

The caller's thread takes results, hands them to the sinks and yields them, so a program that
iterates sets the pace and nothing is lost on the way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from pipeline.boxes import usable_xyxy
from pipeline.data import ClassNames, Detections, Result
from pipeline.delivery import SinkGroup
from pipeline.errors import PipelineError, StageError
from pipeline.grabbing import Grabbed, Grabber
from pipeline.interfaces import Detector, RunInfo, Sink, Source, SourceInfo, Tracker
from pipeline.options import OptionsModel
from pipeline.ring import Ready, RingBuffer, take
from pipeline.stats import Stats

log = logging.getLogger("trackline")

LIVE_RING_FRAMES = 2
RESULT_RING = 8
HANGING_SOURCE_S = 5.0


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


class Pipeline:
    """Sources to sinks through one detector and a tracker per source; runs once.

    `new_tracker` is called once per source. `sinks` maps a name for messages to a sink.
    `metadata` is handed to the sinks, which note it in their files.
    """

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
        options = options or RunOptions()
        self.stats = Stats({source.name: source.live for source in sources})
        self._options = options
        self._detector = detector
        self._trackers = {name: new_tracker() for name in names}
        self._epochs = dict.fromkeys(names, 0)
        self._class_names: ClassNames = {}
        self._metadata = metadata or {}
        ready = Ready()
        self._grabbers = [self._new_grabber(source, ready) for source in sources]
        self._results: RingBuffer[Result] = RingBuffer(RESULT_RING)
        self._sinks = SinkGroup(sinks or {}, self.stats, self._fail)
        self._stop = threading.Event()
        self._infer_thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._error_lock = threading.Lock()
        self._used = False

    @property
    def source_infos(self) -> dict[str, SourceInfo]:
        """Return what is known of the sources that are open."""
        return {g.source.name: g.info for g in self._grabbers if g.info is not None}

    @property
    def max_frames(self) -> int | None:
        """Return the most frames any source will give, None for all it has."""
        return self._options.max_frames

    @property
    def started(self) -> bool:
        """Return whether everything opened and frames began to flow."""
        return self._infer_thread is not None

    def run(self) -> dict[str, Any]:
        """Process everything and return the report; raises the first error after closing all."""
        for _ in self.results():
            pass
        return self.stats.report()

    def stop(self) -> None:
        """End the run in order, from any thread: what was inferred still reaches the sinks."""
        self._stop.set()
        for grabber in self._grabbers:
            grabber.ring.close(discard=True)

    def results(self) -> Iterator[Result]:
        """Yield each result once the sinks have it; closes everything on any way out.

        Raises the first error of any stage, and SourceBrokenError at the end where a file broke
        off: everything before the break was processed.
        """
        if self._used:
            raise ValueError("Pipeline: a pipeline runs once; build another one")
        self._used = True
        try:
            self._start()
            while self._error is None and (batch := self._results.take()) is not None:
                for result in batch:
                    self._deliver(result)
                    yield result
        except PipelineError as error:
            self._fail(error)
            raise
        finally:
            self._shut_down()
        for grabber in self._grabbers:
            if grabber.broken is not None:
                raise grabber.broken

    # -- starting ---------------------------------------------------------------------------

    def _new_grabber(self, source: Source, ready: Ready) -> Grabber:
        capacity = LIVE_RING_FRAMES if source.live else self._options.ring_frames
        ring: RingBuffer[Grabbed] = RingBuffer(
            capacity, "drop_oldest" if source.live else "block", ready
        )
        return Grabber(source, ring, self.stats.sources[source.name], self._options.max_frames)

    def _start(self) -> None:
        """Open sources, detector and sinks in the order of who finds the user's mistakes first."""
        for grabber in self._grabbers:
            if not grabber.source.live:
                grabber.open()
                grabber.ring.capacity = self._ring_frames(grabber.info)
        lone_camera = len(self._grabbers) == 1 and self._grabbers[0].source.live
        self._class_names = self._detector.open(prefer_latency=lone_camera)
        self._sinks.open(
            RunInfo(
                output=self._options.output,
                class_names=self._class_names,
                sources=self.source_infos,
                utc_at_monotonic_zero=time.time() - time.monotonic(),
                metadata=self._metadata,
            )
        )
        self.stats.begin()
        for grabber in self._grabbers:
            grabber.start(self._stop, self._fail)
        self._infer_thread = threading.Thread(target=self._infer, name="infer", daemon=True)
        self._infer_thread.start()

    def _ring_frames(self, info: SourceInfo | None) -> int:
        """Return how many frames of this size may wait: a 4K file must not take gigabytes."""
        frame_bytes = info.width * info.height * 3 if info else 1
        affordable = self._options.ring_megabytes * 2**20 // max(frame_bytes, 1)
        return max(2, min(self._options.ring_frames, affordable))

    # -- the inference thread ---------------------------------------------------------------

    def _infer(self) -> None:
        rings = [grabber.ring for grabber in self._grabbers]
        batch: list[Grabbed] = []
        try:
            while True:
                began = time.perf_counter()
                taken = take(rings, self._detector.batch_size)
                self.stats.starved_s += time.perf_counter() - began
                if taken is None:
                    return
                batch = taken
                self._infer_batch(batch)
        except PipelineError as error:
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 - the thread's outermost frame forwards
            problem = StageError(f"inference: {type(error).__name__}: {error}")
            problem.__cause__ = error
            self._fail(problem)
        finally:
            for grabbed in batch:
                self.stats.sources[grabbed.frame.source].dropped["failed"] += 1
            self._results.close()

    def _infer_batch(self, batch: list[Grabbed]) -> None:
        """Detect, track and pass on; removes from `batch` what has been passed on."""
        began = time.perf_counter()
        found = self._detector.detect([grabbed.frame for grabbed in batch])
        if len(found) != len(batch):
            kind = type(self._detector).__name__
            raise StageError(f"{kind}.detect: want {len(batch)} results, got {len(found)}")
        infer_ms = (time.perf_counter() - began) * 1e3 / len(batch)
        stages = getattr(self._detector, "stage_ms", None) or {"infer": infer_ms}
        for detections in found:
            result = self._track(batch[0], detections, stages)
            began = time.perf_counter()
            self._results.put(result)
            self.stats.blocked_s += time.perf_counter() - began
            batch.pop(0)

    def _track(
        self, grabbed: Grabbed, detections: Detections, stages: Mapping[str, float]
    ) -> Result:
        frame = grabbed.frame
        usable = usable_xyxy(detections.xyxy) & np.isfinite(detections.score)
        if not usable.all():
            rejected = int(len(usable) - usable.sum())
            self.stats.sources[frame.source].rejected_boxes += rejected
            detections = detections[usable]
        tracker = self._trackers[frame.source]
        began = time.perf_counter()
        if frame.epoch != self._epochs[frame.source]:
            self._epochs[frame.source] = frame.epoch
            tracker.reset()
        tracks = tracker.update(frame, detections)
        track_ms = (time.perf_counter() - began) * 1e3
        stage_ms = {"decode": grabbed.read_ms, **stages, "track": track_ms}
        return Result(frame, detections, tracks, self._class_names, stage_ms)

    # -- the caller's thread ----------------------------------------------------------------

    def _deliver(self, result: Result) -> None:
        source = self.stats.sources[result.frame.source]
        self.stats.add_stages(result.stage_ms)
        try:
            go_on = self._sinks.write(result)
        except PipelineError:
            source.dropped["failed"] += 1
            raise
        source.delivered += 1
        source.age.add((time.monotonic() - result.frame.captured_at) * 1e3)
        if not go_on:
            self.stop()

    def _fail(self, error: BaseException) -> None:
        """Keep the first error and make every stage come to its end; any thread."""
        with self._error_lock:
            self._error = self._error or error
        self.stop()

    def _shut_down(self) -> None:
        """Drain, join, close, balance the books, and raise the first error if there was one."""
        self.stop()
        self._drain()
        for grabber in self._grabbers:
            if not grabber.join(HANGING_SOURCE_S):
                log.warning("source %s: still hangs in a read; left behind", grabber.source.name)
            grabber.ring.close(discard=True)
            self.stats.sources[grabber.source.name].dropped.update(grabber.ring.dropped)
        self.stats.end()
        self._sinks.close(discard=self._error is not None)
        self._detector.close()
        if self._error is not None:
            raise self._error

    def _drain(self) -> None:
        """Deliver what was inferred before the stop, or count it as dropped after a failure."""
        if self._infer_thread is None:
            return
        while (batch := self._results.take()) is not None:
            for result in batch:
                if self._error is not None:
                    self.stats.sources[result.frame.source].dropped["failed"] += 1
                    continue
                try:
                    self._deliver(result)
                except PipelineError as error:
                    self._fail(error)
        self._infer_thread.join()
