"""The inference thread: take what is ready, detect, track per source, pass on.

A detector that overlaps (pipeline.interfaces.Overlapping) is given the next batch before the
earlier ones are answered, so that it never runs out of work between two. Where no frame waits the
oldest batch is collected at once: what is in flight is never held back for more to come.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from pipeline.boxes import usable_xyxy
from pipeline.data import ClassNames, Detections, Result
from pipeline.errors import PipelineError, StageError, located
from pipeline.grabbing import Grabbed
from pipeline.interfaces import Detector, Overlapping, Tracker
from pipeline.ring import RingBuffer, take
from pipeline.stats import Stats
from pipeline.worker import Fail, Worker


class Inference:
    """Frames from `rings` to `results`, which it closes at its end; a tracker per source."""

    def __init__(
        self,
        detector: Detector,
        trackers: Mapping[str, Tracker],
        rings: Sequence[RingBuffer[Grabbed]],
        results: RingBuffer[Result],
        stats: Stats,
    ) -> None:
        self._detector = detector
        self._detector_name = f"detector {type(detector).__name__}"
        self._trackers = trackers
        self._epochs = dict.fromkeys(trackers, 0)
        self._rings = rings
        self._results = results
        self._stats = stats
        self._class_names: ClassNames = {}
        # Batches begun and not yet passed on, oldest first. A frame leaves its batch once it is.
        self._flying: deque[list[Grabbed]] = deque()
        self._worker = Worker("infer", self._infer_all, self._finish)

    @property
    def started(self) -> bool:
        """Return whether the thread was started."""
        return self._worker.started

    def open(self, *, prefer_latency: bool) -> ClassNames:
        """Open the detector and return its class names; raises ModelError."""
        with located(self._detector_name):
            self._class_names = self._detector.open(prefer_latency=prefer_latency)
        return self._class_names

    def start(self, fail: Fail) -> None:
        """Begin; `fail` is called from the thread with what went wrong."""
        self._worker.start(fail)

    def close(self, fail: Fail) -> None:
        """Wait for the thread, then close the detector: never while it is still in `detect`."""
        self._results.close(discard=True)
        self._worker.join()
        try:
            with located(self._detector_name):
                self._detector.close()
        except PipelineError as error:
            fail(error)

    def _infer_all(self) -> None:
        detector = self._detector
        overlaps = hasattr(detector, "submit")
        most = max(cast(Overlapping, detector).in_flight, 1) if overlaps else 1
        while True:
            began = time.perf_counter()
            batch = take(self._rings, detector.batch_size, wait=not self._flying)
            if not self._flying:
                self._stats.starved_s += time.perf_counter() - began
            if batch:
                self._flying.append(batch)
                began = time.perf_counter()
                if overlaps:
                    self._submit(batch)
                    if len(self._flying) < most:
                        continue
            elif not self._flying:
                return
            self._collect() if overlaps else self._detect(began)

    def _finish(self) -> None:
        for batch in self._flying:
            for grabbed in batch:
                self._stats.drop(grabbed.frame.source, "failed")
        self._flying.clear()
        self._results.close()

    def _submit(self, batch: list[Grabbed]) -> None:
        with located(self._detector_name):
            cast(Overlapping, self._detector).submit([grabbed.frame for grabbed in batch])

    def _collect(self) -> None:
        """Pass on the oldest batch in flight."""
        began = time.perf_counter()
        with located(self._detector_name):
            found = cast(Overlapping, self._detector).collect()
        self._pass_on(found, began)

    def _detect(self, began: float) -> None:
        with located(self._detector_name):
            found = self._detector.detect([grabbed.frame for grabbed in self._flying[0]])
        self._pass_on(found, began)

    def _pass_on(self, found: Sequence[Detections], began: float) -> None:
        """Track and hand on the oldest batch, whose detections are `found`."""
        batch = self._flying[0]
        with located(self._detector_name):
            if len(found) != len(batch):
                raise StageError(
                    f"{self._detector_name}: want {len(batch)} results, got {len(found)}"
                )
        infer_ms = (time.perf_counter() - began) * 1e3 / len(batch)
        stages = getattr(self._detector, "stage_ms", None) or {"infer": infer_ms}
        for detections in found:
            result = self._track(batch[0], detections, stages)
            began = time.perf_counter()
            self._results.put(result)
            self._stats.blocked_s += time.perf_counter() - began
            batch.pop(0)
        self._flying.popleft()

    def _track(
        self, grabbed: Grabbed, detections: Detections, stages: Mapping[str, float]
    ) -> Result:
        frame = grabbed.frame
        detections = self._usable(frame.source, detections)
        tracker = self._trackers[frame.source]
        began = time.perf_counter()
        with located(f"tracker of {frame.source}"):
            if frame.epoch != self._epochs[frame.source]:
                self._epochs[frame.source] = frame.epoch
                tracker.reset()
            tracks = tracker.update(frame, detections)
        track_ms = (time.perf_counter() - began) * 1e3
        tracking = getattr(tracker, "stage_ms", None) or {"track": track_ms}
        stage_ms = {"decode": grabbed.read_ms, **stages, **tracking}
        return Result(frame, detections, tracks, self._class_names, stage_ms)

    def _usable(self, source: str, detections: Detections) -> Detections:
        """Return the detections without NaN, infinite and zero-area boxes, which are counted."""
        with located(self._detector_name):
            usable = usable_xyxy(detections.xyxy) & np.isfinite(detections.score)
        if usable.all():
            return detections
        self._stats.sources[source].rejected_boxes += int(np.count_nonzero(~usable))
        return detections[usable]
