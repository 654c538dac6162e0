"""Counters and histograms of a run, by source and stage, and the report made from them."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.data import Result
from pipeline.core.ring_buffer import WAKE_S
from pipeline.engine.drops import DropLog, DropRate
from pipeline.engine.latency import LatencyWindow

_LOWEST_MS = 1e-3
_RATIO = 1.04
_BUCKETS = 520  # 1 microsecond to 700 seconds

STAGES = (
    "decode",
    "preprocess",
    "infer",
    "postprocess",
    "camera",
    "track",
    "embed",
    "watch",
    "draw",
    "write",
)
UNWANTED = "unwanted"
"""Drop cause of frames excluded by options: not a loss."""
HELD_BY_SINKS = 2
"""Frames after the detector of which at least one waits for the sinks."""
WAITING = 0.1
"""Minimum share of a run spent waiting for a stage to call it the slowest: below, the thread that
waits is about as slow itself."""


def _place(stage: str) -> int:
    """Return the position of a stage in the report: in processing order, unknown ones last."""
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


class Histogram:
    """Histogram of milliseconds in constant memory: buckets of 4 %, so percentiles within 2 %."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)
        self.total_ms = 0.0
        self.count = 0

    def add(self, ms: float) -> None:
        """Count one value; values outside 0 to 10 million (or NaN) count as the nearer bound."""
        ms = min(max(0.0, ms), 1e7)
        bucket = int(math.log(ms / _LOWEST_MS, _RATIO)) if ms > _LOWEST_MS else 0
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self.total_ms += ms
        self.count += 1

    def percentile(self, percent: float) -> float:
        """Return the value in ms that `percent` of the values do not exceed; 0 if empty."""
        if not self.count:
            return 0.0
        rank = max(1.0, self.count * percent / 100)
        reached = np.cumsum(self._counts) >= rank
        return float(_LOWEST_MS * _RATIO ** (int(np.argmax(reached)) + 0.5))

    def summary(self) -> dict[str, float]:
        """Return {"median_ms", "p95_ms", "mean_ms"}."""
        mean = self.total_ms / self.count if self.count else 0.0
        return {
            "median_ms": round(self.percentile(50), 3),
            "p95_ms": round(self.percentile(95), 3),
            "mean_ms": round(mean, 3),
        }


@dataclass
class SourceStats:
    """Counters of one source: `grabbed == delivered + sum(dropped)` once the run is over.

    Each dropped frame is counted at once; any thread may read.
    """

    live: bool
    unrelated: bool = False
    """Whether its frames have nothing to do with each other, as `SourceInfo` says."""
    grabbed: int = 0
    delivered: int = 0
    written: int = 0
    """Frames that all sinks are done with, including those on their own threads."""
    held: int = 0
    """Frames waiting for a later frame that is detected on."""
    dropped: Counter[str] = field(default_factory=Counter)
    rejected_boxes: int = 0
    reconnects: int = 0
    broken: str | None = None
    notes: tuple[str, ...] = ()
    epoch: int = 0
    age: Histogram = field(default_factory=Histogram)
    latency: LatencyWindow = field(default_factory=LatencyWindow)
    drop_rate: DropRate = field(default_factory=DropRate)
    _drop_log: DropLog = field(default_factory=DropLog)
    _changed: threading.Event = field(default_factory=threading.Event)
    _waiting_behind: Sized | None = None
    # Re-entrant: a signal handler that stops the run drops waiting frames, whatever it interrupted.
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def drop(self, cause: str, count: int = 1) -> None:
        """Count frames that were grabbed and will not be delivered."""
        with self._lock:
            self.dropped[cause] += count
        self.drop_rate.add(time.monotonic(), dropped=count)

    def drop_frame(self, index: int, cause: str) -> None:
        """Count frame `index` as dropped, also for the next result's `dropped_before`."""
        with self._lock:
            self.dropped[cause] += 1
            self._drop_log.add(index, cause)
        if cause != UNWANTED:
            self.drop_rate.add(time.monotonic(), dropped=1)

    def dropped_before(self, index: int) -> dict[str, int]:
        """Return by cause how many frames before `index` were dropped and not yet reported."""
        with self._lock:
            return self._drop_log.before(index)

    def add_delivered(self, result: Result) -> str | None:
        """Count a delivered result and its latency; return a warning when it first applies."""
        self.delivered += 1
        self.age.add(result.age_ms)
        now = time.monotonic()
        self.drop_rate.add(now, delivered=1)
        frame = result.frame
        if not self.live:
            return None
        behind_ms = (frame.captured_at - frame.pts_s) * 1e3
        growing = self.latency.add(now, result.age_ms, behind_ms, frame.epoch)
        return growing or self.drop_rate.check(now)

    @property
    def in_flight(self) -> int:
        """Return how many frames are neither delivered nor dropped yet."""
        with self._lock:
            return self.grabbed - self.delivered - self.dropped.total()

    def add_written(self) -> None:
        """Count a frame that all sinks are done with."""
        with self._lock:
            self.written += 1
        self._changed.set()

    def hold(self, count: int) -> None:
        """Count frames that wait for a later one; a negative count ends the wait."""
        with self._lock:
            self.held += count
        self._changed.set()

    @property
    def moving(self) -> int:
        """Return how many frames are between source and sinks, without held ones."""
        with self._lock:
            return self.grabbed - self.dropped.total() - self.written - self.held

    def wait_for_room(self, limit: Callable[[], int], stop: threading.Event, queue: Sized) -> None:
        """Wait while `limit()` frames are on their way, some of which may be in `queue`."""
        try:
            while not stop.is_set():
                self._changed.clear()  # before counting: what ends meanwhile sets it again
                if self.moving < limit():
                    return
                self._waiting_behind = queue
                self._changed.wait(WAKE_S)
        finally:
            self._waiting_behind = None

    @property
    def is_held_up(self) -> bool:
        """Return whether the source waits for frames that are still on their way."""
        queue = self._waiting_behind
        return queue is not None and not len(queue)

    def drops(self) -> dict[str, int]:
        """Return how many frames were dropped so far, by cause."""
        with self._lock:
            return dict(+self.dropped)

    def summary(self) -> dict[str, Any]:
        """Return the counters as plain values for the report."""
        report: dict[str, Any] = {
            "grabbed": self.grabbed,
            "delivered": self.delivered,
            "dropped": sum(self.dropped.values()),
            "dropped_by_cause": dict(+self.dropped),
            "rejected_boxes": self.rejected_boxes,
        }
        if self.live:
            report["reconnects"] = self.reconnects
            report["age"] = {
                f"p{percent}_ms": round(self.age.percentile(percent), 1) for percent in (50, 95, 99)
            }
        if self.broken:
            report["broken"] = self.broken
        if self.notes:
            report["notes"] = list(self.notes)
        return report


class Waits(NamedTuple):
    """Seconds that the inference thread has waited or worked since `begin`, by cause."""

    elapsed_s: float = 0.0
    starved_s: float = 0.0
    detector_s: float = 0.0
    blocked_s: float = 0.0
    tracking_s: float = 0.0


class Stats:
    """Counters of a whole run. Each has one writing thread, or a method that locks."""

    def __init__(
        self, live_by_source: Mapping[str, bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self.sources = {name: SourceStats(live) for name, live in live_by_source.items()}
        self.stages: dict[str, Histogram] = {}
        # Time that the inference thread waited idly.
        self.starved_s = 0.0  # for frames
        self.detector_s = 0.0  # for a detector that had as many batches as it takes
        self.blocked_s = 0.0  # for the sinks
        self.tracking_s = 0.0  # it updated tracks and events
        self._began = self._clock()
        self._ended: float | None = None
        self._lock = threading.Lock()

    def add_stages(self, stage_ms: Mapping[str, float]) -> None:
        """Count one frame's milliseconds in each of the named stages."""
        with self._lock:
            for name, ms in stage_ms.items():
                histogram = self.stages.get(name)
                if histogram is None:
                    histogram = self.stages[name] = Histogram()
                histogram.add(ms)

    def drop(self, source: str, cause: str, count: int = 1) -> None:
        """Count frames of `source` that were grabbed and will not be delivered."""
        self.sources[source].drop(cause, count)

    def add_source(self, name: str, *, live: bool) -> SourceStats:
        """Return the counters of a source; one that returns continues its earlier ones."""
        if name not in self.sources:
            # A new mapping: others may be going through the old one.
            self.sources = {**self.sources, name: SourceStats(live)}
        return self.sources[name]

    def begin(self) -> None:
        """Start the clock: opening and loading weights is over."""
        self._began = self._clock()

    def end(self) -> None:
        """Stop the clock: everything is written."""
        self._ended = self._clock()

    @property
    def elapsed_s(self) -> float:
        """Return the seconds between `begin` and `end`, or until now."""
        return (self._ended or self._clock()) - self._began

    @property
    def delivered(self) -> int:
        """Return the number of results delivered so far, over all sources."""
        return sum(source.delivered for source in self.sources.values())

    @property
    def done(self) -> int:
        """Return the number of finished frames: delivered, or excluded by options."""
        return self.delivered + sum(one.dropped[UNWANTED] for one in self.sources.values())

    @property
    def held_up(self) -> int:
        """Return how many frames are on their way in files whose reading waits for them."""
        return sum(one.moving for one in self.sources.values() if one.is_held_up)

    def add_starved(self, seconds: float, held_up: int, in_flight: int) -> None:
        """Attribute a wait for frames to the stage that keeps them from coming.

        `held_up` is its value when the wait began: 0 while frames are being decoded, else the
        detector has most of them (`in_flight`) or the sinks do.
        """
        if not held_up:
            self.starved_s += seconds
        elif in_flight and held_up - in_flight < HELD_BY_SINKS:
            self.detector_s += seconds
        else:
            self.blocked_s += seconds

    def waits(self) -> Waits:
        """Return how the inference thread has spent its time until now."""
        return Waits(
            self.elapsed_s, self.starved_s, self.detector_s, self.blocked_s, self.tracking_s
        )

    def limiting_stage(self, since: Waits = Waits()) -> str:  # noqa: B008 - immutable
        """Return the bottleneck: the stage the inference thread waited for most since `since`.

        Between stages are queues, so a stage that is waited for at all has no time left, whatever
        else took longer. If next to nothing is waited for, it is the thread itself, with the larger
        part of its own work: "infer", or "track".
        """
        spent = Waits(*(now - then for now, then in zip(self.waits(), since, strict=True)))
        waited_s, what = max(
            (spent.starved_s, "frames"), (spent.detector_s, "infer"), (spent.blocked_s, "sinks")
        )
        if waited_s >= WAITING * spent.elapsed_s:
            if what != "frames":
                return what
            return "camera" if all(s.live for s in self.sources.values()) else "decode"
        worked_s = spent.elapsed_s - spent.starved_s - spent.detector_s - spent.blocked_s
        return "track" if spent.tracking_s > worked_s / 2 else "infer"

    def report(self) -> dict[str, Any]:
        """Return the run's figures as plain values, ready for JSON."""
        elapsed = max(self.elapsed_s, 1e-9)
        with self._lock:
            known = sorted(self.stages, key=_place)
            stages = {name: self.stages[name].summary() for name in known}
        return {
            "frames": self.delivered,
            "elapsed_s": round(elapsed, 3),
            "fps": round(self.delivered / elapsed, 2),
            "limited_by": self.limiting_stage(),
            "inference_waited": {
                "for_frames": round(self.starved_s / elapsed, 3),
                "for_detector": round(self.detector_s / elapsed, 3),
                "for_sinks": round(self.blocked_s / elapsed, 3),
            },
            "sources": {name: source.summary() for name, source in self.sources.items()},
            "stages": stages,
        }
