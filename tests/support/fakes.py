"""Stand-ins for every plug-in, driven by scripts and events: no test of the engine sleeps.

Each fake notices misuse (two threads at once, a write after close) and raises AssertionError,
which the engine turns into a failure of the run.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from support.threads import Latch, OneAtATime

from pipeline.core.data import ClassNames, Detections, Frame, Result, Tracks
from pipeline.core.frame_pool import FramePool
from pipeline.core.run_info import RunInfo, SourceInfo
from pipeline.engine import DetectOptions, Pipeline, RunOptions
from pipeline.engine.pipeline import PATIENCE_S

RETRY_AT_ONCE = {"retry_first_s": 1e-3, "retry_longest_s": 1e-3}

FRAME = "frame"
Step = str | BaseException | Callable[[], object]


def frames(count: int) -> list[Step]:
    return [FRAME] * count


class FakeSource:
    """Plays a script: FRAME gives a frame, an exception is raised, anything callable is called.

    A camera has a script per connection; an exception in place of a script fails the `open`.
    The end of the last script is the orderly end.
    """

    def __init__(
        self, name: str, *connections: Sequence[Step] | BaseException, live: bool = False
    ) -> None:
        self.name = name
        self.live = live
        self.frame_name = name
        self.opened = 0
        self.closed = 0
        self.close_error: Exception | None = None
        self.pool: FramePool | None = None
        self.shape = (4, 6)
        self.connections = list(connections)
        self._unread: Sequence[Step] | None = None
        self._script: list[Step] = []
        self._index = 0
        self._alone = OneAtATime(f"source {name}")

    def open(self) -> SourceInfo:
        with self._alone():
            self.opened += 1
            self._index = 0
            connection = self.connections.pop(0)
            if isinstance(connection, BaseException):
                raise connection
            self._unread = connection
            self._script = list(reversed(connection))
            return SourceInfo(self.shape[1], self.shape[0], frame_count=len(connection))

    def read(self) -> Frame | None:
        with self._alone():
            self._unread = None
            while self._script:
                step = self._script.pop()
                if step == FRAME:
                    return self._frame()
                if isinstance(step, BaseException):
                    raise step
                assert callable(step)
                step()
            return None

    def close(self) -> None:
        with self._alone():
            self.closed += 1
            if self.close_error is not None:
                raise self.close_error
            if self._unread is not None:  # a file that is opened again is the same file
                self.connections.insert(0, self._unread)
                self._unread = None

    def _frame(self) -> Frame:
        height, width = self.shape
        image = (self.pool or FramePool()).take(height, width)
        image[:] = self._index % 251
        index = self._index
        self._index += 1
        return Frame(image, self.frame_name, index, index / 25, time.monotonic())


def camera(name: str, *connections: Sequence[Step] | BaseException) -> FakeSource:
    return FakeSource(name, *connections, live=True)


def boxes(*rows: Sequence[float], score: float = 0.9) -> Detections:
    """Detections with the given xyxy rows."""
    xyxy = np.array(rows, np.float32).reshape(-1, 4)
    n = len(xyxy)
    return Detections(xyxy, np.full(n, score, np.float32), np.zeros(n, np.int32))


class FakeDetector:
    """Finds one box in every frame, or what `on_batch(count so far, frames)` returns instead."""

    def __init__(
        self,
        on_batch: Callable[[int, Sequence[Frame]], list[Detections] | None] | None = None,
        *,
        batch_size: int = 4,
        class_names: ClassNames | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.class_names = {0: "person"} if class_names is None else class_names
        self.open_error: BaseException | None = None
        self.close_error: Exception | None = None
        self.prefer_latency: bool | None = None
        self.batches: list[list[tuple[str, int]]] = []
        self.closed = 0
        self.on_batch = on_batch
        self._alone = OneAtATime("detector")

    def open(self, *, prefer_latency: bool = False) -> ClassNames:
        self.prefer_latency = prefer_latency
        if self.open_error is not None:
            raise self.open_error
        return self.class_names

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        with self._alone():
            assert not self.closed, "detect after close"
            self.batches.append([(frame.source, frame.index) for frame in frames])
            found = self.on_batch(len(self.batches) - 1, frames) if self.on_batch else None
            return [boxes((0, 0, 2, 2)) for _ in frames] if found is None else found

    def close(self) -> None:
        with self._alone():
            self.closed += 1
            if self.close_error is not None:
                raise self.close_error


class FakeOverlapping(FakeDetector):
    """Counts what is in flight; `on_submit` and `on_collect` get the number of the batch."""

    def __init__(
        self,
        in_flight: int,
        *,
        batch_size: int = 1,
        on_submit: Callable[[int], object] | None = None,
        on_collect: Callable[[int], list[Detections] | None] | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size)
        self.in_flight = in_flight
        self.log: list[str] = []
        self.flying: deque[tuple[int, Sequence[Frame]]] = deque()
        self._on_submit = on_submit
        self._on_collect = on_collect

    def submit(self, frames: Sequence[Frame]) -> None:
        with self._alone():
            assert not self.closed, "submit after close"
            assert len(self.flying) < self.in_flight, "more batches than in_flight allows"
            count = len(self.batches)
            self.log.append(f"submit {count}")
            self.batches.append([(frame.source, frame.index) for frame in frames])
            if self._on_submit:
                self._on_submit(count)
            self.flying.append((count, frames))

    def collect(self) -> list[Detections]:
        with self._alone():
            count, batch = self.flying.popleft()
            self.log.append(f"collect {count}")
            found = self._on_collect(count) if self._on_collect else None
            return [boxes((0, 0, 2, 2 + f.index)) for f in batch] if found is None else found

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        raise AssertionError("detect, where submit would have overlapped")


class FakeTracker:
    """Notes what it is given; finds no tracks."""

    def __init__(self, on_update: Callable[[Frame, Detections], None] | None = None) -> None:
        self.seen: list[tuple[str, int, int]] = []
        self.rows: list[np.ndarray[Any, Any]] = []
        self.calls: list[str] = []
        self._on_update = on_update

    def update(self, frame: Frame, detections: Detections) -> Tracks:
        self.seen.append((frame.source, frame.epoch, frame.index))
        self.rows.append(detections.xyxy)
        self.calls.append(f"update {frame.index}")
        if self._on_update:
            self._on_update(frame, detections)
        return Tracks.empty()

    def reset(self) -> None:
        self.calls.append("reset")


class FakeSink:
    """Notes what it is given; `on_write` may wait for a latch, raise or interrupt."""

    def __init__(
        self, on_write: Callable[[Result], object] | None = None, *, heavy: bool = False
    ) -> None:
        self.own_thread = heavy
        self.stop_requested = False
        self.open_error: BaseException | None = None
        self.close_error: BaseException | None = None
        self.run: RunInfo | None = None
        self.written: dict[str, list[int]] = defaultdict(list)
        self.threads: set[str] = set()
        self.closed = 0
        self.was_closed = Latch()
        self.on_write = on_write
        self._alone = OneAtATime("sink")

    def open(self, run: RunInfo) -> None:
        self.run = run
        if self.open_error is not None:
            raise self.open_error

    def write(self, result: Result) -> None:
        with self._alone():
            assert not self.closed, "write after close"
            self.threads.add(threading.current_thread().name)
            if self.on_write:
                self.on_write(result)
            self.written[result.frame.source].append(result.frame.index)

    def close(self) -> None:
        with self._alone():
            self.closed += 1
            self.was_closed.open()
            if self.close_error is not None:
                raise self.close_error


class Setup:
    """A pipeline of fakes with everything a test wants to look at afterwards."""

    def __init__(
        self,
        *sources: FakeSource,
        detector: FakeDetector | None = None,
        sinks: Mapping[str, FakeSink] | None = None,
        on_update: Callable[[Frame, Detections], None] | None = None,
        patience_s: float = PATIENCE_S,
        detect: Mapping[str, DetectOptions] | None = None,
        **options: Any,
    ) -> None:
        self.sources = sources
        self.detector = detector or FakeDetector()
        self.sinks = {"table": FakeSink()} if sinks is None else dict(sinks)
        self.trackers: list[FakeTracker] = []

        def new_tracker() -> FakeTracker:
            self.trackers.append(FakeTracker(on_update))
            return self.trackers[-1]

        self.pipeline = Pipeline(
            sources,
            self.detector,
            new_tracker,
            self.sinks,
            options=RunOptions(**{**RETRY_AT_ONCE, **options}),
            patience_s=patience_s,
            detect=detect,
        )

    def stats(self, source: str) -> Any:
        return self.pipeline.stats.sources[source]

    def check_end(self) -> None:
        """Assert what holds after every run, however it ended."""
        for name, stats in self.pipeline.stats.sources.items():
            dropped = dict(+stats.dropped)
            assert stats.grabbed == stats.delivered + sum(dropped.values()), (name, stats, dropped)
        for name, sink in self.sinks.items():
            assert sink.closed == (1 if sink.run else 0), f"sink {name}: closed {sink.closed} times"
        assert self.detector.closed == 1
        for source in self.sources:
            assert source.closed >= 1, f"source {source.name} was not closed"


def fails(setup: Setup, kind: type[BaseException], message: str) -> BaseException:
    """Run to the failure, check that it is this one and that the end was in order."""
    with pytest.raises(kind, match=message) as caught:
        setup.pipeline.run()
    setup.check_end()
    return caught.value
