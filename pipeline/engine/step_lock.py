"""Lock of a worker that takes many short steps, fair to threads that wait between two steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core.ring_buffer import WAKE_S


class StepLock:
    """Lock between one worker's short steps and exclusive changes by other threads.

    With a plain lock, a worker that takes it again at once starves the other threads: here threads
    that wait for `exclusive` go before the next `step`. Not re-entrant.
    """

    def __init__(self) -> None:
        self._free = threading.Condition(threading.Lock())
        self._working = False
        self._changing = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold the lock as the worker, after all threads that wait for `exclusive`."""
        with self._free:
            self._free.wait_for(lambda: not self._changing)
            self._working = True
        try:
            yield
        finally:
            with self._free:
                self._working = False
                if self._changing:
                    self._free.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock between two steps of the worker; one thread at a time."""
        with self._free:
            self._changing += 1
            try:
                # In short waits, so that a Ctrl-C is noticed.
                while not self._free.wait_for(lambda: not self._working, WAKE_S):
                    pass
                yield
            finally:
                self._changing -= 1
                self._free.notify_all()
