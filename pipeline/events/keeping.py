"""The one thread that writes: events and clips in order, tried again while the database is away."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from pipeline.errors import PipelineError, StoreError, StoreRefusedError
from pipeline.worker import Fail, Worker

log = logging.getLogger("trackline")

MOST_WAITING = 10_000
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
BUSY_PATIENCE_S = 1.0
"""How long the end waits for a step that is under way."""
Step = Callable[[], object]


class Keeper:
    """Takes steps that write to the store and does them in order, without making anybody wait.

    A step must be safe to repeat. While the database is away steps wait in memory, at most 10,000;
    what comes then is lost, counted and logged. `on_done` is called after each step.
    """

    def __init__(self, on_done: Step) -> None:
        self.lost = 0
        self._on_done = on_done
        self._steps: deque[Step] = deque()
        self._changed = threading.Condition()
        self._stop_at: float | None = None
        self._worker = Worker("events: keep", self._work, self._drop_rest)

    def start(self, fail: Fail) -> None:
        """Begin on a thread."""
        self._worker.start(fail)

    def do(self, step: Step) -> bool:
        """Have `step` done soon; return False (and count it as lost) where too many wait."""
        with self._changed:
            if len(self._steps) < MOST_WAITING:
                self._steps.append(step)
                self._changed.notify_all()
                return True
            self.lost += 1
            first = self.lost == 1
        if first:
            log.warning("events: the database is away for too long, new events are lost")
        return False

    def close(self, patience_s: float) -> None:
        """Do what waits, for at most `patience_s` where the database is away."""
        with self._changed:
            self._stop_at = time.monotonic() + patience_s
            self._changed.notify_all()
        if not self._worker.join(patience_s + BUSY_PATIENCE_S):
            self._drop_rest()  # the database does not even answer that it is away

    def _work(self) -> None:
        pause_s = FIRST_PAUSE_S
        while (step := self._next()) is not None:
            try:
                step()
            except StoreRefusedError as error:
                log.error("events: %s; one change is lost", error)
                self.lost += 1
            except StoreError as error:
                if pause_s == FIRST_PAUSE_S:
                    log.warning("events: %s; trying again", error)
                if not self._wait(pause_s):
                    return
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            with self._changed:
                self._steps.popleft()
            self._on_done()

    def _next(self) -> Step | None:
        """Return the oldest step, which stays where it is until it is done; None at the end."""
        with self._changed:
            while not self._steps:
                if self._stop_at is not None:
                    return None
                self._changed.wait(1.0)
            return self._steps[0]

    def _wait(self, pause_s: float) -> bool:
        """Wait before the next try; return False when there is no time left for one."""
        until = time.monotonic() + pause_s
        with self._changed:
            while (now := time.monotonic()) < until:
                if self._stop_at is not None and now >= self._stop_at:
                    return False
                ends = until if self._stop_at is None else min(until, self._stop_at)
                self._changed.wait(max(0.0, ends - now))
            return True

    def _drop_rest(self) -> None:
        if self._steps:
            self.lost += len(self._steps)
            log.error("events: %d changes could not be kept", len(self._steps))
            self._steps.clear()


class Repeater:
    """Does something every `every_s` seconds on a thread; a PipelineError is logged, not raised."""

    def __init__(self, name: str, step: Step, every_s: float) -> None:
        self._step = step
        self._every_s = every_s
        self._stop = threading.Event()
        self._worker = Worker(name, self._work, lambda: None)

    def start(self, fail: Fail) -> None:
        """Begin on a thread, with the first round at once."""
        self._worker.start(fail)

    def close(self, patience_s: float) -> None:
        """End after the round that is under way; wait for it up to `patience_s`."""
        self._stop.set()
        self._worker.join(patience_s)

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
