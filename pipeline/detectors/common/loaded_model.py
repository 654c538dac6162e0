"""Loaded model: a detector loaded once and shared by many runs, also concurrently."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pipeline.core.data import ClassNames, Detection, Detections, Frame, Image
from pipeline.core.errors import ModelError
from pipeline.core.fork_check import check_not_forked
from pipeline.core.interfaces import Detector, Overlapping, Timed


class LoadedModel:
    """Detector whose weights stay loaded; pass it to `track` or `detect` as `model`.

    It is thread-safe: a lock admits one batch at a time, and each run gets the results of its own
    pictures. It is released by `close`, at the end of a `with` block, or when the last reference is
    dropped. A run that uses it after `close` raises ModelError.
    `class_names` maps class ids to names, `options` are those it was loaded with.
    """

    def __init__(
        self, detector: Detector, options: Mapping[str, Any], *, prefer_latency: bool = False
    ) -> None:
        self.options = options
        self.class_names: ClassNames = detector.open(prefer_latency=prefer_latency)
        self._detector: Detector | None = detector
        self._overlapping = detector if isinstance(detector, Overlapping) else None
        self._lock = threading.Lock()
        self._under_way: deque[SharedDetector] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the weights; safe to call twice."""
        check_not_forked()
        with self._lock:
            detector, self._detector, self._overlapping = self._detector, None, None
            if detector is not None:
                self._fail(ModelError("model: closed while a run was using it"))
                detector.close()

    def detector(self, conf: float | None = None, *, best_only: bool = False) -> SharedDetector:
        """Return a detector for one run, with boxes of a score above `conf`, if given.

        With `best_only` it returns only the best object of each picture. Closing it keeps the
        weights loaded.
        """
        check_not_forked()
        return SharedDetector(self, conf, best_only=best_only)

    def find(self, pictures: Sequence[Image], conf: float | None = None) -> list[Detections]:
        """Return the detections of each picture BGR u8[H,W,3]; pictures may differ in size.

        Their score is above `conf`, by default that the model was loaded with.
        """
        run = self.detector(conf)
        frames = [Frame(image, "picture", n, 0.0, 0.0) for n, image in enumerate(pictures)]
        batches = range(0, len(frames), max(run.batch_size, 1))
        try:
            for first in batches:
                run.submit(frames[first : first + run.batch_size])
            return [each for _ in batches for each in run.collect()]
        finally:
            run.close()

    def named(self, found: Detections) -> list[Detection]:
        """Return the boxes one by one, with the names of their classes."""
        rows = zip(found.xyxy.tolist(), found.score.tolist(), found.class_id.tolist(), strict=True)
        return [
            Detection(tuple(xyxy), score, number, self.class_names.get(number, str(number)))
            for xyxy, score, number in rows
        ]

    def open_detector(self) -> Detector:
        """Return the underlying detector; raises ModelError after `close`."""
        if self._detector is None:
            raise ModelError("model: closed; load it again")
        return self._detector

    def submit(self, run: SharedDetector, frames: Sequence[Frame]) -> None:
        """Submit a batch of a run; waits while the detector is full with others."""
        check_not_forked()
        with self._lock:
            detector = self.open_detector()
            overlapping = self._overlapping
            if overlapping is None:
                run.answers.append((detector.detect(frames), _stage_ms(detector)))
                return
            while len(self._under_way) >= max(overlapping.in_flight, 1):
                self._collect_oldest(overlapping)
            try:
                overlapping.submit(frames)
            except Exception as error:
                self._fail(error)  # the detector has forgotten what was under way
                raise
            self._under_way.append(run)

    def collect(self, run: SharedDetector) -> tuple[list[Detections], Mapping[str, float]]:
        """Return a run's oldest batch and its stage times; raises the error of that batch."""
        check_not_forked()
        with self._lock:
            while not run.answers:
                if run not in self._under_way or self._overlapping is None:
                    raise ModelError("detector: collect before submit")
                self._collect_oldest(self._overlapping)
            answer = run.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def drop(self, run: SharedDetector) -> None:
        """Wait for what a run submitted and did not collect, and discard it."""
        check_not_forked()
        with self._lock:
            while run in self._under_way and self._overlapping is not None:
                self._collect_oldest(self._overlapping)
            run.answers.clear()

    def _collect_oldest(self, detector: Overlapping) -> None:
        """Pass the oldest result, or its error, to the run it belongs to."""
        try:
            found = detector.collect()
        except Exception as error:  # noqa: BLE001  (raised by the runs that it concerns)
            self._fail(error)
            return
        self._under_way.popleft().answers.append((found, _stage_ms(detector)))

    def _fail(self, error: Exception) -> None:
        """Fail everything in flight with an error."""
        while self._under_way:
            self._under_way.popleft().answers.append(error)


Answer = tuple[list[Detections], Mapping[str, float]] | Exception


class SharedDetector:
    """An Overlapping detector for one run, on weights that others may use at the same time."""

    def __init__(
        self, model: LoadedModel, conf: float | None = None, *, best_only: bool = False
    ) -> None:
        detector = model.open_detector()
        self._conf = conf
        self._best_only = best_only
        self._model = model
        self.answers: deque[Answer] = deque()
        self.batch_size = detector.batch_size
        self.in_flight = max(detector.in_flight, 1) if isinstance(detector, Overlapping) else 1
        self.stage_ms: Mapping[str, float] = {}

    def open(self, *, prefer_latency: bool = False) -> ClassNames:
        """Return the class names; the weights are loaded already."""
        del prefer_latency
        self._model.open_detector()
        return self._model.class_names

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return one Detections per frame, in the same order."""
        self.submit(frames)
        return self.collect()

    def submit(self, frames: Sequence[Frame]) -> None:
        """Submit a batch; waits while the detector is full with others."""
        self._model.submit(self, frames)

    def collect(self) -> list[Detections]:
        """Return the results of this run's oldest batch."""
        found, self.stage_ms = self._model.collect(self)
        if self._conf is not None:
            found = [each[each.score > self._conf] for each in found]
        return [each.best() for each in found] if self._best_only else found

    def close(self) -> None:
        """Discard what this run has in flight; the weights stay loaded."""
        self._model.drop(self)


def _stage_ms(detector: Detector) -> Mapping[str, float]:
    return dict(detector.stage_ms or {}) if isinstance(detector, Timed) else {}
