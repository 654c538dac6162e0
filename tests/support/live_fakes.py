"""Cameras that run until they are told otherwise, and a run of them in the background."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from support.fakes import RETRY_AT_ONCE, FakeDetector, FakeSink, FakeTracker
from support.threads import PATIENCE_S

from pipeline.core.data import Frame, Result
from pipeline.core.errors import SourceLostError
from pipeline.core.run_info import SourceInfo
from pipeline.engine import Pipeline, RunOptions
from pipeline.engine.camera_monitor import CameraStatus
from pipeline.engine.pipeline import PATIENCE_S as RUN_PATIENCE_S


def until(what: Callable[[], object], why: str = "it never came") -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, why
        time.sleep(0.002)


class Camera:
    """Gives a frame every `every_s` until it is unplugged, hung, or resized, by any thread."""

    live = True

    def __init__(self, name: str, every_s: float = 0.005) -> None:
        self.name = name
        self.every_s = every_s
        self.shape = (8, 12)
        self.plugged = True
        self.hung = False
        self.frozen = False
        self.pts_shift_s = 0.0
        self.given = self.opened = self.closed = 0
        self._index = 0
        self._began = 0.0
        self._next = 0.0

    def open(self) -> SourceInfo:
        self.opened += 1
        if not self.plugged:
            raise SourceLostError(f"source {self.name}: no answer")
        self._index, self._began = 0, time.monotonic()
        self._next = self._began
        return SourceInfo(self.shape[1], self.shape[0])

    def read(self) -> Frame | None:
        while self.hung:
            time.sleep(0.002)
        if not self.plugged:
            raise SourceLostError(f"source {self.name}: gone")
        self._next = max(self._next + self.every_s, time.monotonic() - self.every_s)
        time.sleep(max(0.0, self._next - time.monotonic()))
        image = np.full((*self.shape, 3), 0 if self.frozen else self.given % 251, np.uint8)
        now = time.monotonic()
        pts_s = now - self._began + self.pts_shift_s
        frame = Frame(image, self.name, self._index, pts_s, now)
        self._index += 1
        self.given += 1
        return frame

    def close(self) -> None:
        self.closed += 1


class Live:
    """A run in the background, with what its sink was given; `stop` checks the books."""

    def __init__(self, *cameras: Any, **told: Any) -> None:
        self.detector: Any = told.pop("detector", None) or FakeDetector(batch_size=8)
        self.sink = FakeSink(self._note)
        sinks = {"table": self.sink, **told.pop("sinks", {})}
        new_tracker = told.pop("new_tracker", FakeTracker)
        new_watcher = told.pop("new_watcher", None)
        patience_s = told.pop("patience_s", RUN_PATIENCE_S)
        options = RunOptions(**{**RETRY_AT_ONCE, "wait_for_sources": True, **told})
        self.results: dict[str, list[Result]] = defaultdict(list)
        self.pipeline = Pipeline(
            cameras,
            self.detector,
            new_tracker,
            sinks,
            options=options,
            new_watcher=new_watcher,
            patience_s=patience_s,
        )
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.pipeline.run()
        except BaseException as error:  # noqa: BLE001 - for the test to see
            self.error = error

    def _note(self, result: Result) -> None:
        self.results[result.frame.source].append(result)

    def status(self, name: str) -> CameraStatus:
        return self.pipeline.cameras()[name]

    def count(self, name: str) -> int:
        return len(self.results[name])

    def wait_more(self, name: str, more: int = 3) -> None:
        """Wait until this many more results of the source have come."""
        wanted = self.count(name) + more
        until(lambda: self.count(name) >= wanted or self.error, f"no more frames of {name}")

    def __enter__(self) -> Live:
        self._thread.start()
        until(lambda: self.pipeline.started or self.error)
        return self

    def __exit__(self, *problem: object) -> None:
        self.pipeline.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the run does not end"
        if not any(problem):
            assert self.error is None, self.error
            self.check_books()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def check_books(self) -> None:
        """Every frame is delivered or dropped, and each drop that a result can tell is told."""
        for name, stats in self.pipeline.stats.sources.items():
            dropped = stats.drops()
            assert stats.grabbed == stats.delivered + sum(dropped.values()), (name, dropped)
            assert stats.delivered == self.count(name)
            check_gaps(self.results[name])


def check_gaps(results: Sequence[Result]) -> Counter[str]:
    """Assert that each gap in the indices is what `dropped_before` says; return the sum of it."""
    told: Counter[str] = Counter()
    before = -1
    for result in results:
        assert sum(result.dropped_before.values()) == result.frame.index - before - 1
        told.update(result.dropped_before)
        before = result.frame.index
    return told


@contextmanager
def hanging(camera: Camera) -> Any:
    """Let a camera's reads hang within the block."""
    camera.hung = True
    try:
        yield
    finally:
        camera.hung = False
