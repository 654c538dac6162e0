"""A detector in use: what it is called, what it finds, and how many batches it takes at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np

from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import ClassNames, Detections, Frame
from pipeline.core.errors import PipelineError, StageError, located
from pipeline.core.interfaces import Detector, Overlapping
from pipeline.engine.grabber import Grabbed
from pipeline.engine.stats import SourceStats


class DetectorRunner:
    """A detector with the class names it gave; every error says which detector it was."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.name = f"detector {type(detector).__name__}"
        self.class_names: ClassNames = {}
        self.retired = False
        self._overlaps = hasattr(detector, "submit")

    @property
    def most(self) -> int:
        """Return how many batches it may be given before the first is answered."""
        return max(cast(Overlapping, self.detector).in_flight, 1) if self._overlaps else 1

    def open(self, *, prefer_latency: bool) -> None:
        """Open the detector; raises ModelError."""
        with located(self.name):
            self.class_names = self.detector.open(prefer_latency=prefer_latency)

    def close(self) -> None:
        """Close the detector; raises PipelineError."""
        with located(self.name):
            self.detector.close()

    def close_quietly(self) -> None:
        """Close what never came into use; what was wrong with it is known already."""
        with suppress(PipelineError):
            self.close()

    def begin(self, frames: Sequence[Frame]) -> None:
        """Begin with a batch, if the detector can begin with one before it is to answer."""
        if self._overlaps:
            with located(self.name):
                cast(Overlapping, self.detector).submit(frames)

    def answer(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return what is found in the oldest batch, which is `frames`; raises StageError."""
        with located(self.name):
            if self._overlaps:
                found = cast(Overlapping, self.detector).collect()
            else:
                found = self.detector.detect(frames)
            if len(found) != len(frames):
                raise StageError(f"{self.name}: want {len(frames)} results, got {len(found)}")
        return found

    def stage_ms(self, began: float, frames: int) -> Mapping[str, float]:
        """Return how the answer that `began` then divides, per frame."""
        told: Mapping[str, float] | None = getattr(self.detector, "stage_ms", None)
        return told or {"infer": (time.perf_counter() - began) * 1e3 / frames}

    def waited_s(self, took_s: float, told: Mapping[str, float], frames: int) -> float:
        """Return for how long an answer that took `took_s` was waited for, doing nothing else.

        A detector that takes one batch at a time is not waited for: it works on the caller's time.
        """
        return min(took_s, told.get("infer", 0.0) * frames / 1e3) if self.most > 1 else 0.0

    def usable(self, detections: Detections, books: SourceStats) -> Detections:
        """Return the detections without NaN, infinite and zero-area boxes, which are counted."""
        with located(self.name):
            usable = usable_xyxy(detections.xyxy) & np.isfinite(detections.score)
        if usable.all():
            return detections
        books.rejected_boxes += int(np.count_nonzero(~usable))
        return detections[usable]


@dataclass
class InFlightBatch:
    """A batch on its way through a detector. A frame leaves it once it is passed on."""

    by: DetectorRunner
    batch: list[Grabbed]
    wanted: list[bool]
    """Which frames are detected on; the others get boxes that stand in for it."""

    @property
    def frames(self) -> list[Frame]:
        """Return the pictures that are detected on, while all of the batch is there."""
        both = zip(self.batch, self.wanted, strict=True)
        return [grabbed.frame for grabbed, wanted in both if wanted]
