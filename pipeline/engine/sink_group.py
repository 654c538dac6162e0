"""Passes results to sinks: light ones directly, heavy ones on their own thread behind a queue.

Viewers, which may miss results, get the newest per source, before all others and without
backpressure.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from pipeline.core.data import Result
from pipeline.core.errors import PipelineError, StageError, located
from pipeline.core.interfaces import MayDrop, PerSource, RequestsStop, Sink, Timed
from pipeline.core.ring_buffer import WAKE_S, RingBuffer
from pipeline.core.run_info import RunInfo
from pipeline.core.worker import Fail, Worker
from pipeline.engine.result_builder import results_behind
from pipeline.engine.stats import Stats

MAX_EVENTS = 256


class NewestPerSource:
    """A viewer's queue of one result per source: a newer one replaces the one still waiting.

    `put` never waits. No event is missed: the newer result carries the events of the one it
    replaces (the last 256), and counts it and all its drops in `dropped_before`, as "replaced".
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
                result = _merged(older, result)
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
        """Refuse further results; waiting ones are drained, or dropped with `discard`."""
        with self._ready:
            self._closed = True
            if discard:
                self._waiting.clear()
            self._ready.notify_all()


def _merged(older: Result, newer: Result) -> Result:
    """Return the newer result with the events and drops of the older one added."""
    dropped = Counter(older.dropped_before)
    dropped.update(newer.dropped_before)
    dropped["replaced"] += 1
    events = (*older.events, *newer.events)[-MAX_EVENTS:]
    return replace(newer, events=events, dropped_before=dict(dropped))


QUEUED_RESULTS = 4  # per heavy sink: enough to ride out a slow frame, few enough to hold memory


class _WriteTimes:
    """Sums the times of all sinks for one result; after the last one records sum and frame."""

    def __init__(self, stats: Stats, source: str, sinks: int) -> None:
        self._stats = stats
        self._source = source
        self._pending = sinks
        self._total: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, stage_ms: Mapping[str, float]) -> None:
        with self._lock:
            for stage, ms in stage_ms.items():
                self._total[stage] += ms  # type: ignore[assignment]
            self._pending -= 1
            if self._pending == 0:
                self._stats.add_stages(self._total)
                self._stats.sources[self._source].add_written()


Queue = RingBuffer[tuple[Result, _WriteTimes] | str]
"""Results in order, and the names of sources that ended."""


def with_age(result: Result) -> Result:
    """Return the result with `age_ms`, the age of its frame now."""
    return replace(result, age_ms=(time.monotonic() - result.frame.captured_at) * 1e3)


class SinkGroup:
    """All sinks of a run: opened together, each written in order, each closed exactly once.

    A viewer (`MayDrop`) is written to on a thread of its own, straight from inference, and misses
    results that are replaced by newer ones while it is busy.
    """

    def __init__(self, sinks: Mapping[str, Sink], stats: Stats, fail: Fail) -> None:
        self._sinks = sinks
        self._stats = stats
        self._fail = fail
        self._opened: list[str] = []
        self._queues: dict[str, Queue] = {}
        self._viewers: dict[str, NewestPerSource] = {}
        self._workers: dict[str, Worker] = {}
        # Looked up once: `isinstance` of a Protocol is slow.
        self._stoppers: list[RequestsStop] = []
        self._timed: dict[str, Timed] = {}
        self._per_source: dict[str, PerSource] = {}

    @property
    def queues(self) -> Mapping[str, Queue]:
        """Return the queues of heavy sinks, by name."""
        return self._queues

    def open(self, run: RunInfo) -> None:
        """Open every sink and start the heavy ones' threads; raises OutputError."""
        for name, sink in self._sinks.items():
            self._opened.append(name)
            with located(f"sink {name}"):
                sink.open(run)
        for name, sink in self._sinks.items():
            self._look_up(name, sink)
            if isinstance(sink, MayDrop) and sink.may_drop:
                newest = self._viewers[name] = NewestPerSource()
                self._start(name, partial(self._show_newest, name, newest), newest)
            elif sink.own_thread:
                queue: Queue = RingBuffer(QUEUED_RESULTS)
                self._queues[name] = queue
                self._start(name, partial(self._write_queued, name, queue), queue)

    def _look_up(self, name: str, sink: Sink) -> None:
        """Look up which optional Protocols a sink has, now that it is open."""
        if isinstance(sink, RequestsStop):
            self._stoppers.append(sink)
        if isinstance(sink, Timed):
            self._timed[name] = sink
        if isinstance(sink, PerSource):
            self._per_source[name] = sink

    def _start(self, name: str, work: Callable[[], None], queue: Queue | NewestPerSource) -> None:
        worker = Worker(f"sink {name}", work, partial(queue.close, discard=True))
        self._workers[name] = worker
        worker.start(self._fail)

    def show(self, result: Result) -> None:
        """Pass one result to the viewers, without waiting; always from the same thread."""
        for newest in self._viewers.values():
            newest.put(result)

    def write(self, result: Result) -> bool:
        """Pass one result to all sinks but viewers; return False once a sink requests the end.

        Raises PipelineError if a sink fails, or failed since the last result.
        """
        source, sinks = result.frame.source, len(self._sinks) - len(self._viewers)
        if not sinks:
            self._stats.sources[source].add_written()
        times = _WriteTimes(self._stats, source, sinks)
        for name, queue in self._queues.items():
            if not queue.put((result, times), behind=results_behind(result)):
                raise StageError(f"sink {name}: failed before")  # `fail` knows with what
        for name in self._sinks:
            if name not in self._workers:
                self._write_one(name, result, times)
        return not any(sink.stop_requested for sink in self._stoppers)

    def source_ended(self, source: str) -> None:
        """Let the sinks finish a source's file, after its last result."""
        for name in self._per_source:
            if name in self._queues:
                self._queues[name].put(source)  # a failed sink refuses it, which is known
            elif name not in self._viewers:
                self._finish_source(name, source)

    def _finish_source(self, name: str, source: str) -> None:
        with located(f"sink {name}"):
            self._per_source[name].source_ended(source)

    def close(self) -> None:
        """Finish every sink with everything it was given. Errors go to `fail`.

        A Ctrl-C meanwhile drops what heavy sinks have queued, but each is still closed.
        """
        opened, self._opened = self._opened, []
        with ExitStack() as steps:  # last in, first out; all are called whatever happens in one
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
        """Write the results of `queue`, on this sink's own thread."""
        while (batch := queue.take()) is not None:
            while batch:
                if isinstance(item := batch.pop(0), str):
                    self._finish_source(name, item)
                else:
                    self._write_one(name, *item)
                del item  # its picture is not kept while waiting for the next one

    def _show_newest(self, name: str, newest: NewestPerSource) -> None:
        """Write the newest results, on this viewer's own thread; its time is not counted."""
        while (result := newest.take()) is not None:
            with located(f"sink {name}"):
                self._sinks[name].write(with_age(result))
            del result

    def _write_one(self, name: str, result: Result, times: _WriteTimes) -> None:
        sink = self._sinks[name]
        began = time.perf_counter()
        with located(f"sink {name}"):
            sink.write(result)
        timed = self._timed.get(name)
        spent = (time.perf_counter() - began) * 1e3
        times.add((timed.stage_ms if timed else None) or {"write": spent})
