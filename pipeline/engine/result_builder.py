"""Builds results from detections: interpolates skipped frames, tracks, passes results on.

Frames of a file that are not detected on are held here until the next one that is, so that boxes
can be interpolated between the two; those of a camera are passed on at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.core.data import Detections, Result, Tracks
from pipeline.core.ring_buffer import RingBuffer
from pipeline.engine.detector_runner import DetectorRunner
from pipeline.engine.frame_skipper import Every, FrameSkipper
from pipeline.engine.grabber import Grabbed
from pipeline.engine.source_detection import SourceDetection
from pipeline.engine.source_tracker import SourceTrackers, TrackedFrame
from pipeline.engine.stats import Stats
from pipeline.engine.step_lock import StepLock

QUEUE_BYTES = 2**25
"""Pictures that may wait in front of the sinks, and again in front of one that is slow: two in 4K,
more than the queues have places for at 1080p."""


def results_behind(result: Result) -> int:
    """Return how many results may wait before this one, by the size of its picture."""
    return max(1, QUEUE_BYTES // result.frame.nbytes) - 1


class ResultQueue(RingBuffer[Result]):
    """Queue of results to the sinks; `show` gets each first, for viewers, and must not wait."""

    def __init__(
        self, capacity: int, stats: Stats, show: Callable[[Result], None] = lambda _: None
    ) -> None:
        super().__init__(capacity)
        self._stats = stats
        self._show = show

    def hand_on(self, result: Result) -> None:
        """Show the result and put it; the time spent waiting for the sinks is counted."""
        self._show(result)
        # On a busy machine `put` takes a while even without waiting: other threads wake up.
        behind = results_behind(result)
        is_full = len(self) >= min(self.capacity, behind + 1)
        began = time.perf_counter()
        self.put(result, behind=behind)
        if is_full:
            self._stats.blocked_s += time.perf_counter() - began


class ResultBuilder:
    """Turns grabbed frames and their detections into results; used by the inference thread only."""

    def __init__(
        self,
        trackers: SourceTrackers,
        results: ResultQueue,
        stats: Stats,
        lock: StepLock,
        detect_every: Every = 1,
        detection: SourceDetection | None = None,
    ) -> None:
        self._trackers = trackers
        self._results = results
        self._stats = stats
        self._lock = lock
        self._detect_every = detect_every
        self._detection = detection or SourceDetection()
        self._skippers: dict[str, FrameSkipper] = {}
        self._held: dict[str, list[Grabbed]] = {}

    def wants(self, grabbed: Grabbed) -> bool:
        """Return whether to detect on a frame, which is the source's next one."""
        name = grabbed.frame.source
        max_fps = self._detection.fps(name)
        if self._stats.sources[name].unrelated:
            return True
        if name not in self._skippers:
            if self._detect_every == 1 and max_fps is None:
                return True
            self._skippers[name] = FrameSkipper(self._detect_every)
        return self._skippers[name].wants(grabbed.frame, max_fps)

    def add_detected(
        self,
        runner: DetectorRunner,
        grabbed: Grabbed,
        found: Detections,
        stage_ms: Mapping[str, float],
    ) -> None:
        """Pass on a detected frame, preceded by the frames held for it."""
        frame = grabbed.frame
        stats = self._stats.sources[frame.source]
        usable = runner.usable(found, stats)
        found = self._detection.kept(frame.source, usable, runner.class_names)
        if stats.unrelated:
            found = found[found.score >= np.float32(self._trackers.unrelated_score)]
        if skipper := self._skippers.get(frame.source):
            skipper.learn(frame, found)
            self._release(runner, self._held.get(frame.source, []))
        self._hand_on(runner, grabbed, found, stage_ms)

    def add_skipped(self, runner: DetectorRunner, grabbed: Grabbed) -> None:
        """Pass on a camera's skipped frame; hold a file's one."""
        name = grabbed.frame.source
        if self._stats.sources[name].live:
            self._hand_on(runner, grabbed, self._interpolated(grabbed), {})
        else:
            self._held.setdefault(name, []).append(grabbed)
            self._stats.sources[name].hold(1)

    def release_all(self, runner: DetectorRunner) -> None:
        """Pass on the held frames, because no further detection will come."""
        for held in self._held.values():
            self._release(runner, held)

    def take_held(self) -> list[Grabbed]:
        """Remove and return the held frames, which will not be tracked."""
        held = [grabbed for each in self._held.values() for grabbed in each]
        self._held.clear()
        return held

    def _release(self, runner: DetectorRunner, held: list[Grabbed]) -> None:
        while held:
            self._hand_on(runner, held[0], self._interpolated(held[0]), {})
            self._stats.sources[held[0].frame.source].hold(-1)
            held.pop(0)  # only now: a frame that fails before this must still be counted

    def _interpolated(self, grabbed: Grabbed) -> Detections:
        skipper = self._skippers.get(grabbed.frame.source)
        return skipper.at(grabbed.frame) if skipper else Detections.empty()

    def _hand_on(
        self,
        runner: DetectorRunner,
        grabbed: Grabbed,
        found: Detections,
        stage_ms: Mapping[str, float],
    ) -> None:
        """Track the objects of a frame and pass on its result, unless its source was removed."""
        result = self._build(runner, grabbed, found, stage_ms)
        if result is not None:
            self._results.hand_on(result)

    def _build(
        self,
        runner: DetectorRunner,
        grabbed: Grabbed,
        found: Detections,
        stage_ms: Mapping[str, float],
    ) -> Result | None:
        """Return a frame's result; None, counted as a drop, if its source was removed."""
        frame, read_ms = grabbed
        stats = self._stats.sources[frame.source]
        with self._lock.step():
            tracker = self._trackers.get(frame.source)
            if tracker is None:
                stats.drop_frame(frame.index, "removed")
                return None
            if stats.unrelated:
                tracked = TrackedFrame(Tracks.untracked(found), (), {})
            else:
                tracked = tracker.update(frame, found, runner.class_names)
        self._stats.tracking_s += sum(tracked.stage_ms.values()) / 1e3
        return Result(
            frame,
            found,
            tracked.tracks,
            runner.class_names,
            {"decode": read_ms, **stage_ms, **tracked.stage_ms},
            tracked.events,
            stats.dropped_before(frame.index),
        )
