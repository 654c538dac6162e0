"""Changes made between two steps of a thread that hardly ever rests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core.ring_buffer import WAKE_S


class StepLock:
    """One worker takes many short steps; anybody may do something between two of them.

    A plain lock would do, but a worker that takes it again at once keeps everybody else waiting.
    Neither side may call for a turn from inside its own.
    """

    def __init__(self) -> None:
        self._free = threading.Condition(threading.Lock())
        self._working = False
        self._changing = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold changes off for as long as the block takes; those that wait go first."""
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
    def between(self) -> Iterator[None]:
        """Wait for the end of the step, then hold off the next one; one change at a time."""
        with self._free:
            self._changing += 1
            try:
                # In short pieces: a Ctrl-C must be noticed.
                while not self._free.wait_for(lambda: not self._working, WAKE_S):
                    pass
                yield
            finally:
                self._changing -= 1
                self._free.notify_all()
