"""Writer thread of the store: steps in order, retried while the database is unavailable."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from pipeline.core.backoff import Backoff
from pipeline.core.errors import PipelineError, StoreError, StoreRefusedError, WriteError
from pipeline.core.worker import Fail, Worker

log = logging.getLogger("trackline")

MAX_WAITING = 10_000
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
BUSY_TIMEOUT_S = 1.0
"""Seconds that `close` waits for a step in progress."""
CLOSE_TIMEOUT_S = 0.5
FILES_TIMEOUT_S = 30.0
"""Seconds that a run over files waits for a database: enough for a server to restart."""
Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """Status of the store writer: events in memory, failing since when and why, events lost.

    Times are Unix seconds; `problem` is "" and `since` None while the database accepts events.
    """

    waiting: int = 0
    since: float | None = None
    problem: str = ""
    lost: int = 0
    lost_at: float | None = None


@dataclass(frozen=True, slots=True)
class ClipLosses:
    """Number of clips that could not be written; time (Unix seconds) and reason of the newest."""

    lost: int = 0
    lost_at: float | None = None
    problem: str = ""


class StoreWriter:
    """Queue of steps that write to the store, run in order on a thread.

    A step must be safe to repeat. While the database is unavailable, or its disk is full, up to
    10,000 steps wait in memory; beyond that `enqueue` drops and counts new ones. With `give_up_s`
    it waits instead, and the run fails with a WriteError once a step has failed for that long:
    a live camera must keep running, but a file can be read again. `on_done` is called after each
    step.
    """

    def __init__(
        self, on_done: Step, give_up_s: float | None = None, max_waiting: int = MAX_WAITING
    ) -> None:
        self._on_done = on_done
        self._max_waiting = max_waiting
        self._give_up_s = give_up_s
        self._steps: deque[tuple[Step, int]] = deque()
        self._changed = threading.Condition()
        self._now = StoreStatus()
        self._stop_at: float | None = None
        self._is_full_logged = False
        self._ended = False
        self._worker = Worker("events: keep", self._work, self._end)

    @property
    def status(self) -> StoreStatus:
        """Return the status; never waits for the database."""
        with self._changed:
            return replace(self._now, waiting=sum(events for _, events in self._steps))

    def start(self, fail: Fail) -> None:
        """Start the thread."""
        self._worker.start(fail)

    def enqueue(self, step: Step, events: int = 0) -> bool:
        """Enqueue a step that stores this many events; return False if it is dropped."""
        with self._changed:
            while self._give_up_s is not None and self._is_full() and not self._ended:
                self._changed.wait(1.0)
            if not self._is_full() and not self._ended:
                self._steps.append((step, events))
                self._changed.notify_all()
                return True
            is_logged, self._is_full_logged = self._is_full_logged or self._ended, True
            self._lose(events)
        if not is_logged:
            log.warning("events: the database is away for too long, new events are lost")
        return False

    def close(self, timeout_s: float) -> None:
        """Finish the pending steps, within `timeout_s` if the database is unavailable."""
        with self._changed:
            self._stop_at = time.monotonic() + timeout_s
            self._changed.notify_all()
        if not self._worker.join(timeout_s + BUSY_TIMEOUT_S):
            # The database does not answer at all. The step that waits for it may still succeed;
            # `_end` counts it as lost when it has failed.
            self._give_up(1)
            log.error("events: the database does not answer; what it was given last may be lost")

    def _work(self) -> None:
        backoff, began = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S), 0.0
        while (next_ := self._next()) is not None:
            step, events = next_
            try:
                step()
            except StoreRefusedError as error:
                log.error("events: %s; one change is lost", error)
                with self._changed:
                    self._lose(events)
            except StoreError as error:
                if not self._now.problem:
                    began = time.monotonic()
                    log.warning("events: %s; trying again", error)
                with self._changed:
                    since = self._now.since or time.time()
                    self._now = replace(self._now, since=since, problem=str(error))
                if self._give_up_s is not None and time.monotonic() - began >= self._give_up_s:
                    raise WriteError(str(error)) from error
                if not self._wait(backoff.next_s()):
                    return
                continue
            backoff.reset()
            with self._changed:
                if self._now.problem:
                    log.info("events: the database takes events again")
                    self._now = replace(self._now, since=None, problem="")
                self._steps.popleft()
                self._changed.notify_all()
            self._on_done()

    def _next(self) -> tuple[Step, int] | None:
        """Return the oldest step, which stays in the queue until it is done; None at the end."""
        with self._changed:
            while not self._steps:
                if self._stop_at is not None:
                    return None
                self._changed.wait(1.0)
            return self._steps[0]

    def _wait(self, pause_s: float) -> bool:
        """Wait before the next try; return False if there is no time left for one."""
        until = time.monotonic() + pause_s
        with self._changed:
            while (now := time.monotonic()) < until:
                if self._stop_at is not None and now >= self._stop_at:
                    return False
                ends = until if self._stop_at is None else min(until, self._stop_at)
                self._changed.wait(max(0.0, ends - now))
            return True

    def _end(self) -> None:
        """Accept nothing more, and give up unfinished steps: the thread has ended."""
        self._give_up(0)

    def _give_up(self, but: int) -> None:
        """Accept nothing more, and give up all but this many of the oldest steps."""
        with self._changed:
            self._ended = True
            given_up = [self._steps.pop()[1] for _ in range(len(self._steps) - but)]
            if given_up:
                self._lose(sum(given_up))
                log.error("events: %d changes could not be kept", len(given_up))
            self._changed.notify_all()

    # -- the lock is held -------------------------------------------------------------------------

    def _is_full(self) -> bool:
        return len(self._steps) >= self._max_waiting

    def _lose(self, events: int) -> None:
        if events:
            self._now = replace(self._now, lost=self._now.lost + events, lost_at=time.time())


class PeriodicTask:
    """Runs a step every `every_s` seconds on a thread; a PipelineError is logged, not raised."""

    def __init__(self, name: str, step: Step, every_s: float) -> None:
        self._step = step
        self._every_s = every_s
        self._stop = threading.Event()
        self._worker = Worker(name, self._work, lambda: None)

    def start(self, fail: Fail) -> None:
        """Start the thread, with the first round at once."""
        self._worker.start(fail)

    def close(self, timeout_s: float) -> None:
        """Stop after the round in progress; wait for it up to `timeout_s`."""
        self._stop.set()
        self._worker.join(timeout_s)

    def _work(self) -> None:
        last = ""
        while not self._stop.is_set():
            try:
                self._step()
                last = ""
            except PipelineError as error:
                if str(error) != last:
                    log.warning("events: %s", error)
                last = str(error)
            self._stop.wait(self._every_s)
