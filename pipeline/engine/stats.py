"""Counters and latency histograms of a run, and the report made of them.

Which frames of a source were lost, each told once: with the next result after it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.data import Result
from pipeline.engine.latency import LatencyWindow
from pipeline.engine.recent import Recent

MAX_RUNS = 64


class _Run(NamedTuple):
    """Frames `first` to `last`, lost one after the other for one cause."""

    first: int
    last: int
    cause: str


class DropLog:
    """Takes lost frames by index and gives them back as counts by cause; constant memory.

    Not thread-safe: `SourceStats` locks it.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._settled: Counter[str] = Counter()

    def add(self, index: int, cause: str) -> None:
        """Note that frame `index` was lost."""
        last = self._runs[-1] if self._runs else None
        if last is not None and last.cause == cause and last.last + 1 == index:
            self._runs[-1] = last._replace(last=index)
            return
        self._runs.append(_Run(index, index, cause))
        if len(self._runs) > MAX_RUNS:
            # Nothing was delivered for long. No frame on its way is older than the oldest half.
            half = MAX_RUNS // 2
            for run in self._runs[:half]:
                self._settled[run.cause] += run.last - run.first + 1
            del self._runs[:half]

    def before(self, index: int) -> dict[str, int]:
        """Return how many frames before `index` were lost by cause, and forget them."""
        if not self._runs and not self._settled:
            return {}
        told, self._settled = self._settled, Counter()
        later = []
        for run in self._runs:
            if run.first < index:
                told[run.cause] += min(run.last, index - 1) - run.first + 1
            if run.last >= index:
                later.append(run._replace(first=max(run.first, index)))
        self._runs = later
        return dict(told)


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
    "watch",
    "draw",
    "write",
)
WAITING = 0.1
"""Share of a run that must be spent waiting for a stage to call it the slowest: below, the thread
that waits is about as slow itself."""


def _place(stage: str) -> int:
    """Return where a stage stands in the report: on a frame's way, unknown ones last."""
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


class Histogram:
    """Milliseconds in constant memory: buckets 4 % apart, so a percentile is within 2 %."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)
        self.total_ms = 0.0
        self.count = 0

    def add(self, ms: float) -> None:
        """Count one value; anything but 0 to 10 million (negative, NaN, infinite) as the nearer."""
        ms = min(max(0.0, ms), 1e7)
        bucket = int(math.log(ms / _LOWEST_MS, _RATIO)) if ms > _LOWEST_MS else 0
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self.total_ms += ms
        self.count += 1

    def percentile(self, percent: float) -> float:
        """Return the value in ms that `percent` of the values do not exceed; 0 when empty."""
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
    """The books of one source: `grabbed == delivered + sum(dropped)` once the run is over.

    Each frame that is lost is in them at once, and may be asked for by any thread.
    """

    live: bool
    unrelated: bool = False
    """Whether its frames have nothing to do with each other, as `SourceInfo` says."""
    grabbed: int = 0
    delivered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected_boxes: int = 0
    reconnects: int = 0
    broken: str | None = None
    notes: tuple[str, ...] = ()
    epoch: int = 0
    age: Histogram = field(default_factory=Histogram)
    fresh: LatencyWindow = field(default_factory=LatencyWindow)
    recent: Recent = field(default_factory=Recent)
    _losses: DropLog = field(default_factory=DropLog)
    # Re-entrant: a signal handler that stops the run drops what waits, whatever it interrupted.
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def drop(self, cause: str, count: int = 1) -> None:
        """Count frames that were grabbed and will not be delivered."""
        with self._lock:
            self.dropped[cause] += count
        self.recent.add(time.monotonic(), dropped=count)

    def lose(self, index: int, cause: str) -> None:
        """Count frame `index` as dropped; the next result after it will tell."""
        with self._lock:
            self.dropped[cause] += 1
            self._losses.add(index, cause)
        self.recent.add(time.monotonic(), dropped=1)

    def lost_before(self, index: int) -> dict[str, int]:
        """Return by cause what was lost before frame `index` and not told yet."""
        with self._lock:
            return self._losses.before(index)

    def note_age(self, result: Result) -> str | None:
        """Count a delivered result, and how old its picture was; return a warning if one is new."""
        self.age.add(result.age_ms)
        now = time.monotonic()
        self.recent.add(now, delivered=1)
        frame = result.frame
        if not self.live:
            return None
        behind_ms = (frame.captured_at - frame.pts_s) * 1e3
        older = self.fresh.add(now, result.age_ms, behind_ms, frame.epoch)
        return older or self.recent.judge(now)

    @property
    def on_the_way(self) -> int:
        """Return how many frames are neither delivered nor dropped yet."""
        with self._lock:
            return self.grabbed - self.delivered - self.dropped.total()

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
    """What the inference thread had spent its time on at one moment, in seconds since `begin`."""

    elapsed_s: float = 0.0
    starved_s: float = 0.0
    detector_s: float = 0.0
    blocked_s: float = 0.0
    following_s: float = 0.0


class Stats:
    """Everything a run counts. Counters have one writing thread; those with several, a method."""

    def __init__(self, live_by_source: Mapping[str, bool]) -> None:
        self.sources = {name: SourceStats(live) for name, live in live_by_source.items()}
        self.stages: dict[str, Histogram] = {}
        # For how long the inference thread waited, and did nothing else.
        self.starved_s = 0.0  # for frames
        self.detector_s = 0.0  # for a detector that had as many batches as it takes
        self.blocked_s = 0.0  # for the sinks
        self.following_s = 0.0  # it worked on tracks and events
        self._began = time.monotonic()
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
        """Return the books of a source; one that comes back goes on with those it had."""
        if name not in self.sources:
            # A new mapping: others may be going through the old one.
            self.sources = {**self.sources, name: SourceStats(live)}
        return self.sources[name]

    def begin(self) -> None:
        """Start the clock: opening and loading weights is over."""
        self._began = time.monotonic()

    def end(self) -> None:
        """Stop the clock: everything is written."""
        self._ended = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Return the seconds between `begin` and `end`, or until now."""
        return (self._ended or time.monotonic()) - self._began

    @property
    def delivered(self) -> int:
        """Return the results delivered so far, over all sources."""
        return sum(source.delivered for source in self.sources.values())

    def waits(self) -> Waits:
        """Return what the inference thread has spent its time on until now."""
        return Waits(
            self.elapsed_s, self.starved_s, self.detector_s, self.blocked_s, self.following_s
        )

    def limiting_stage(self, since: Waits = Waits()) -> str:  # noqa: B008 - immutable
        """Return which stage set the pace: what the inference thread waited for most.

        Counted from `since` on, by default over the whole run.

        Between stages are queues, so whoever is waited for at all has no time left, whatever else
        took longer. Where next to nothing is waited for, it is the thread itself, with the larger
        part of its own work: "infer", or "track" for what follows objects.
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
        return "track" if spent.following_s > worked_s / 2 else "infer"

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
