"""Results to sinks: light ones at once, heavy ones on a thread of their own behind a ring.

Viewers, which may miss results, get theirs before all others and hold nobody up.

A queue for those who want what is new and may miss the rest: one waiting result per source.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, cast

from pipeline.core.data import Result
from pipeline.core.errors import PipelineError, StageError, located
from pipeline.core.interfaces import RunInfo, Sink
from pipeline.core.ring_buffer import WAKE_S, RingBuffer
from pipeline.core.worker import Fail, Worker
from pipeline.engine.stats import Stats

MAX_EVENTS = 256


class NewestPerSource:
    """`put` never waits: a result replaces the one of its source that still waits.

    Nothing that happened is missed: the newer one carries the events of the one it replaces (the
    last 256), and counts it and all that it counted in `dropped_before`, under "replaced".
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Result] = {}
        self._closed = False
        self._ready = threading.Condition()

    def put(self, result: Result) -> bool:
        """Store a result; return False once the queue is closed."""
        source = result.frame.source
        with self._ready:
            if self._closed:
                return False
            older = self._waiting.get(source)
            if older is not None:
                result = _instead_of(older, result)
            self._waiting[source] = result  # in its source's old place: it waited as long
            self._ready.notify()
            return True

    def take(self) -> Result | None:
        """Return the result whose source has waited longest; None at the end."""
        with self._ready:
            while not self._waiting:
                if self._closed:
                    return None
                self._ready.wait(WAKE_S)
            return self._waiting.pop(next(iter(self._waiting)))

    def close(self, *, discard: bool = False) -> None:
        """Refuse further results; what waits is drained, or dropped with `discard`."""
        with self._ready:
            self._closed = True
            if discard:
                self._waiting.clear()
            self._ready.notify_all()


def _instead_of(older: Result, newer: Result) -> Result:
    """Return the newer result with what nobody has been told of from the older one."""
    lost = Counter(older.dropped_before)
    lost.update(newer.dropped_before)
    lost["replaced"] += 1
    events = (*older.events, *newer.events)[-MAX_EVENTS:]
    return replace(newer, events=events, dropped_before=dict(lost))


QUEUED_RESULTS = 4  # per heavy sink: enough to ride out a slow frame, few enough to hold memory


class _WriteClock:
    """Adds up what every sink spent on one result and books the sum once the last is done."""

    def __init__(self, stats: Stats, sinks: int) -> None:
        self._stats = stats
        self._open = sinks
        self._total: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, stage_ms: Mapping[str, float]) -> None:
        with self._lock:
            for stage, ms in stage_ms.items():
                self._total[stage] += ms  # type: ignore[assignment]
            self._open -= 1
            if self._open == 0:
                self._stats.add_stages(self._total)


Queue = RingBuffer[tuple[Result, _WriteClock] | str]
"""Results in order, and the names of sources that ended."""


def aged(result: Result) -> Result:
    """Return the result as it is handed to a sink now: it says how old its picture is."""
    return replace(result, age_ms=(time.monotonic() - result.frame.captured_at) * 1e3)


class SinkGroup:
    """All sinks of a run: opened together, each written in order, each closed exactly once.

    A sink with a true attribute `may_drop` is a viewer: it is written to on a thread of its own,
    straight from inference, and misses what is replaced by something newer while it is busy.
    """

    def __init__(self, sinks: Mapping[str, Sink], stats: Stats, fail: Fail) -> None:
        self._sinks = sinks
        self._stats = stats
        self._fail = fail
        self._opened: list[str] = []
        self._queues: dict[str, Queue] = {}
        self._viewers: dict[str, NewestPerSource] = {}
        self._workers: dict[str, Worker] = {}

    def open(self, run: RunInfo) -> None:
        """Open every sink and start the heavy ones' threads; raises OutputError."""
        for name, sink in self._sinks.items():
            self._opened.append(name)
            with located(f"sink {name}"):
                sink.open(run)
        for name, sink in self._sinks.items():
            if getattr(sink, "may_drop", False):
                newest = self._viewers[name] = NewestPerSource()
                self._start(name, partial(self._show_newest, name, newest), newest)
            elif sink.own_thread:
                queue: Queue = RingBuffer(QUEUED_RESULTS)
                self._queues[name] = queue
                self._start(name, partial(self._write_queued, name, queue), queue)

    def _start(self, name: str, work: Callable[[], None], queue: Queue | NewestPerSource) -> None:
        worker = Worker(f"sink {name}", work, partial(queue.close, discard=True))
        self._workers[name] = worker
        worker.start(self._fail)

    def show(self, result: Result) -> None:
        """Hand one result to the viewers, without waiting; any thread, always the same."""
        for newest in self._viewers.values():
            newest.put(result)

    def write(self, result: Result) -> bool:
        """Hand one result to all but the viewers; return False once a sink asks for the end.

        Raises PipelineError where a sink fails, or failed since the last result.
        """
        clock = _WriteClock(self._stats, len(self._sinks) - len(self._viewers))
        for name, queue in self._queues.items():
            if not queue.put((result, clock)):
                raise StageError(f"sink {name}: failed before")  # `fail` knows with what
        for name in self._sinks:
            if name not in self._workers:
                self._write_one(name, result, clock)
        return not any(getattr(sink, "stop_requested", False) for sink in self._sinks.values())

    def source_ended(self, source: str) -> None:
        """Tell the sinks that want to know that the source's last result was handed to them."""
        for name, sink in self._sinks.items():
            if name in self._viewers or not hasattr(sink, "source_ended"):
                continue
            if name in self._queues:
                self._queues[name].put(source)  # a failed one refuses it, which is known
            else:
                self._tell_ended(name, source)

    def _tell_ended(self, name: str, source: str) -> None:
        with located(f"sink {name}"):
            cast(Any, self._sinks[name]).source_ended(source)

    def close(self) -> None:
        """Finish every sink, with all it was handed. Errors go to `fail`.

        Ctrl-C meanwhile drops what heavy sinks have queued, but each is still closed.
        """
        opened, self._opened = self._opened, []
        with ExitStack() as steps:  # last in, first out; all are taken whatever happens in one
            for name in reversed(opened):
                steps.callback(self._close_one, name)
            for newest in self._viewers.values():
                newest.close()
            for queue in self._queues.values():
                queue.close()
            for worker in self._workers.values():
                worker.join()

    def _close_one(self, name: str) -> None:
        if name in self._workers:
            queue = self._queues[name] if name in self._queues else self._viewers[name]
            queue.close(discard=True)
            self._workers[name].join()  # never close what a thread is still writing to
        try:
            with located(f"sink {name}"):
                self._sinks[name].close()
        except PipelineError as error:
            self._fail(error)

    def _write_queued(self, name: str, queue: Queue) -> None:
        """Write what arrives in `queue`, on this sink's own thread."""
        while (batch := queue.take()) is not None:
            for item in batch:
                if isinstance(item, str):
                    self._tell_ended(name, item)
                else:
                    self._write_one(name, *item)

    def _show_newest(self, name: str, newest: NewestPerSource) -> None:
        """Show what is newest, on this sink's own thread; its time is nobody's but its own."""
        while (result := newest.take()) is not None:
            with located(f"sink {name}"):
                self._sinks[name].write(aged(result))

    def _write_one(self, name: str, result: Result, clock: _WriteClock) -> None:
        sink = self._sinks[name]
        began = time.perf_counter()
        with located(f"sink {name}"):
            sink.write(result)
        spent = (time.perf_counter() - began) * 1e3
        clock.add(getattr(sink, "stage_ms", None) or {"write": spent})
