"""A detector in use, with its class names, and the batches in flight through it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import ClassNames, Detections, Frame
from pipeline.core.errors import PipelineError, StageError, located
from pipeline.core.interfaces import Detector, ExpectsShapes, Overlapping, SizedBySource, Timed
from pipeline.engine.grabber import Grabbed
from pipeline.engine.stats import SourceStats


class DetectorRunner:
    """Runs one detector, overlapping batches where it can; every error names the detector."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.name = f"detector {type(detector).__name__}"
        self.class_names: ClassNames = {}
        self._is_retired = False
        self._overlapping: Overlapping | None = None
        self._timed: Timed | None = None

    @property
    def max_in_flight(self) -> int:
        """Return how many batches may be in flight before the oldest is collected."""
        return 1 if self._overlapping is None else max(self._overlapping.in_flight, 1)

    @property
    def is_retired(self) -> bool:
        """Return whether another detector has replaced it."""
        return self._is_retired

    def retire(self) -> None:
        """Mark it as replaced: it is closed once its last batch is collected."""
        self._is_retired = True

    def open(self, *, prefer_latency: bool, shapes: Sequence[tuple[int, int]] = ()) -> None:
        """Open the detector; `shapes` are the (height, width) to expect. Raises ModelError."""
        with located(self.name):
            if isinstance(self.detector, ExpectsShapes):
                self.detector.expect(shapes)
            self.class_names = self.detector.open(prefer_latency=prefer_latency)
            # Looked up once: `isinstance` of a Protocol is slow.
            self._overlapping = self.detector if isinstance(self.detector, Overlapping) else None
            self._timed = self.detector if isinstance(self.detector, Timed) else None

    def close(self) -> None:
        """Close the detector; raises PipelineError."""
        with located(self.name):
            self.detector.close()

    def close_quietly(self) -> None:
        """Close a detector that was never used and whose failure is already known."""
        with suppress(PipelineError):
            self.close()

    def set_sizes(self, sizes: Mapping[str, int]) -> None:
        """Set the longest side of the network's input for single sources, if it can differ."""
        if isinstance(self.detector, SizedBySource):
            with located(self.name):
                self.detector.set_sizes(sizes)

    def submit(self, frames: Sequence[Frame]) -> None:
        """Start a batch if the detector overlaps batches; otherwise `collect` detects."""
        if self._overlapping is not None:
            with located(self.name):
                self._overlapping.submit(frames)

    def collect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the detections of the oldest batch, which is `frames`; raises StageError."""
        with located(self.name):
            if self._overlapping is not None:
                found = self._overlapping.collect()
            else:
                found = self.detector.detect(frames)
            if len(found) != len(frames):
                raise StageError(f"{self.name}: want {len(frames)} results, got {len(found)}")
        return found

    def stage_ms(self, began: float, frames: int) -> Mapping[str, float]:
        """Return the stage times per frame of the batch whose collection `began` then."""
        reported = None if self._timed is None else self._timed.stage_ms
        return reported or {"infer": (time.perf_counter() - began) * 1e3 / frames}

    def waited_s(self, took_s: float, stage_ms: Mapping[str, float], frames: int) -> float:
        """Return how much of `took_s` the caller waited idly for the detector.

        Zero for a detector without overlap: it works on the caller's thread.
        """
        if self.max_in_flight == 1:
            return 0.0
        return min(took_s, stage_ms.get("infer", 0.0) * frames / 1e3)

    def usable(self, detections: Detections, stats: SourceStats) -> Detections:
        """Return the detections without NaN, infinite and zero-area boxes, which are counted."""
        with located(self.name):
            usable = usable_xyxy(detections.xyxy) & np.isfinite(detections.score)
        if usable.all():
            return detections
        stats.rejected_boxes += int(np.count_nonzero(~usable))
        return detections[usable]


@dataclass
class InFlightBatch:
    """A batch in flight through a detector. A frame leaves it once it is passed on."""

    runner: DetectorRunner
    batch: list[Grabbed]
    wanted: list[bool]
    """Which frames are detected on; the others get interpolated boxes."""

    @property
    def frames(self) -> list[Frame]:
        """Return the frames that are detected on, while all of the batch is there."""
        both = zip(self.batch, self.wanted, strict=True)
        return [grabbed.frame for grabbed, wanted in both if wanted]
