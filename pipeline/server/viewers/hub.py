"""Hub: a sink that keeps only the newest result of each camera, for viewers.

Writing a result takes a few microseconds however many viewers there are: each reads the newest one
when it is ready, so a slow viewer delays neither the pipeline nor other viewers.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Result
from pipeline.core.run_info import RunInfo, unix_time

AGE_BUCKETS_MS = (10, 25, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000, 10000, 30000)
STAGE_BUCKETS_MS = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000)


class Histogram:
    """Counts of milliseconds up to each bound, for a Prometheus histogram; one writing thread."""

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, ms: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, ms)] += 1
        self.total += ms


class LatestResult:
    """The newest result of a camera, as viewers get it; its JSON is made once for all of them."""

    def __init__(self, result: Result) -> None:
        self.result = result
        frame = result.frame
        self.height, self.width = frame.shape[:2]
        self.time = unix_time(frame.captured_at)
        self.key = (frame.captured_at, frame.index)
        """Identifies the frame without holding its memory."""

    def age_ms(self) -> float:
        """Return the age of the picture in milliseconds."""
        return round((time.monotonic() - self.result.frame.captured_at) * 1e3, 1)

    @cached_property
    def tracks(self) -> list[dict[str, object]]:
        """Return the tracks as in `schemas.Track`; boxes with NaN or infinity are left out."""
        tracks = self.result.tracks
        names = self.result.class_names
        usable: NDArray[np.bool_] = np.isfinite(tracks.xyxy).min(axis=1, initial=True)
        rows = zip(
            usable.tolist(),
            tracks.track_id.tolist(),
            tracks.class_id.tolist(),
            np.nan_to_num(tracks.score).round(3).tolist(),
            tracks.xyxy.tolist(),
            np.nan_to_num(tracks.age_s).tolist(),
            tracks.coasting.tolist(),
            strict=True,
        )
        return [
            {
                "id": track_id,
                "class_id": class_id,
                "class_name": names.get(class_id, f"class {class_id}"),
                "score": round(score, 3),
                "xyxy": [round(value, 1) for value in xyxy],
                "age_s": round(age_s, 2),
                "coasting": coasting,
            }
            for fine, track_id, class_id, score, xyxy, age_s, coasting in rows
            if fine
        ]

    @cached_property
    def tracks_json(self) -> str:
        """Return the tracks as a JSON list."""
        return json.dumps(self.tracks, separators=(",", ":"), allow_nan=False)


@dataclass
class CameraHistograms:
    """Histograms of one camera: age of results, and time per stage."""

    ages: Histogram = field(default_factory=lambda: Histogram(AGE_BUCKETS_MS))
    stages: dict[str, Histogram] = field(default_factory=dict)


class Hub:
    """A sink that holds the newest result per camera and notifies its subscribers."""

    own_thread = True
    may_drop = True  # straight from inference: sinks that are busy do not make the page older

    def __init__(self) -> None:
        self._latest: dict[str, LatestResult] = {}
        self.histograms: dict[str, CameraHistograms] = {}
        self._subscribers: tuple[Callable[[], None], ...] = ()
        self._lock = threading.Lock()
        self.last_result_at: float | None = None
        self.closed = False

    def open(self, run: RunInfo) -> None:
        """Do nothing: no part of the run is needed."""
        del run

    def write(self, result: Result) -> None:
        """Replace the camera's newest result and notify the subscribers."""
        name = result.frame.source
        self._latest[name] = LatestResult(result)
        self.last_result_at = now = time.monotonic()
        histograms = self.histograms.get(name)
        if histograms is None:
            histograms = self.histograms[name] = CameraHistograms()
        histograms.ages.add(result.age_ms or (now - result.frame.captured_at) * 1e3)
        for stage, ms in result.stage_ms.items():
            if stage not in histograms.stages:
                histograms.stages[stage] = Histogram(STAGE_BUCKETS_MS)
            histograms.stages[stage].add(ms)
        for notify in self._subscribers:
            notify()

    def close(self) -> None:
        """Notify all viewers that the run has ended."""
        self.closed = True
        for notify in self._subscribers:
            notify()

    def latest(self, camera: str) -> LatestResult | None:
        """Return a camera's newest result, None before its first."""
        return self._latest.get(camera)

    def names(self) -> list[str]:
        """Return the cameras that have had a result."""
        return list(self._latest)

    def forget(self, camera: str) -> None:
        """Remove a camera that left the run, and its last frame."""
        self._latest.pop(camera, None)
        self.histograms.pop(camera, None)

    def subscribe(self, notify: Callable[[], None]) -> Callable[[], None]:
        """Call `notify` on the pipeline's thread at each result; return what unsubscribes it.

        `notify` must return at once and never raise.
        """
        with self._lock:
            self._subscribers = (*self._subscribers, notify)

        def end() -> None:
            with self._lock:
                self._subscribers = tuple(each for each in self._subscribers if each is not notify)

        return end
