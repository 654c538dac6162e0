"""Results to sinks: light ones at once, heavy ones on a thread of their own behind a ring."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from pipeline.data import Result
from pipeline.errors import PipelineError, StageError
from pipeline.interfaces import RunInfo, Sink
from pipeline.ring import RingBuffer
from pipeline.stats import Stats

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


class SinkGroup:
    """All sinks of a run: opened together, each written in order, each closed exactly once."""

    def __init__(
        self, sinks: Mapping[str, Sink], stats: Stats, fail: Callable[[BaseException], None]
    ) -> None:
        self._sinks = sinks
        self._stats = stats
        self._fail = fail
        self._opened: list[str] = []
        self._rings: dict[str, RingBuffer[tuple[Result, _WriteClock]]] = {}
        self._threads: list[threading.Thread] = []

    def open(self, run: RunInfo) -> None:
        """Open every sink and start the heavy ones' threads; raises OutputError."""
        for name, sink in self._sinks.items():
            self._opened.append(name)
            sink.open(run)
        for name, sink in self._sinks.items():
            if sink.own_thread:
                ring: RingBuffer[tuple[Result, _WriteClock]] = RingBuffer(QUEUED_RESULTS)
                self._rings[name] = ring
                thread = threading.Thread(target=self._work, args=(name, ring), name=f"sink {name}")
                thread.daemon = True  # a second Ctrl-C must not wait for an encoder
                self._threads.append(thread)
                thread.start()

    def write(self, result: Result) -> bool:
        """Hand one result to every sink; return False once a sink asks for the end of the run."""
        clock = _WriteClock(self._stats, len(self._sinks))
        for ring in self._rings.values():
            ring.put((result, clock))
        go_on = True
        for name, sink in self._sinks.items():
            if name not in self._rings:
                self._write_one(name, result, clock)
                go_on = go_on and not getattr(sink, "stop_requested", False)
        return go_on

    def close(self, *, discard: bool) -> None:
        """Finish every sink; `discard` drops what heavy sinks have queued. Errors go to `fail`."""
        for ring in self._rings.values():
            ring.close(discard=discard)
        for thread in self._threads:
            thread.join()
        for name in self._opened:
            try:
                self._sinks[name].close()
            except Exception as error:  # noqa: BLE001 - the other sinks must still be closed
                self._fail(_named(name, error))
        self._opened.clear()

    def _work(self, name: str, ring: RingBuffer[tuple[Result, _WriteClock]]) -> None:
        """Write what arrives in `ring`, on this sink's own thread."""
        try:
            while (batch := ring.take()) is not None:
                for result, clock in batch:
                    self._write_one(name, result, clock)
        except PipelineError as error:
            self._fail(error)
        finally:
            ring.close(discard=True)

    def _write_one(self, name: str, result: Result, clock: _WriteClock) -> None:
        sink = self._sinks[name]
        began = time.perf_counter()
        try:
            sink.write(result)
        except PipelineError:
            raise
        except Exception as error:
            raise _named(name, error) from error
        spent = (time.perf_counter() - began) * 1e3
        clock.add(getattr(sink, "stage_ms", None) or {"write": spent})


def _named(name: str, error: Exception) -> PipelineError:
    """Return the error as one that says which sink it came from."""
    if isinstance(error, PipelineError):
        return error
    problem = StageError(f"sink {name}: {type(error).__name__}: {error}")
    problem.__cause__ = error
    return problem
