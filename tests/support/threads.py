"""What tests of threads need: waiting that fails instead of hanging, and no sleeping."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 60.0  # a latch that opens no sooner is a deadlock


class Latch:
    """An event that must come: `latch()` waits for `latch.open()`, and fails instead of hanging."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    @property
    def is_open(self) -> bool:
        return self._event.is_set()

    def __call__(self, *_: object) -> None:
        """Wait; takes anything so that it can stand in for a write or a step."""
        assert self._event.wait(PATIENCE_S), "a latch never opened: deadlock"


class OneAtATime:
    """Raises where two threads are inside at once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        assert self._lock.acquire(blocking=False), f"{self._what} is used by two threads at once"
        try:
            yield
        finally:
            self._lock.release()


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def join(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "deadlock"


def interrupt(*_: object) -> None:
    """Press Ctrl-C, from any thread: Python believes in a SIGINT.

    A real one ended some test runs in a segmentation fault: pytest's faulthandler has signals
    served on a stack too small for the registers (AMX) of a CPU on which OpenVINO ran before in
    the same process.
    """
    _thread.interrupt_main()
