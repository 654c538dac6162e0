"""Worker thread that reports its failure and can be joined with a timeout."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipeline.core.ring_buffer import WAKE_S

Fail = Callable[[BaseException], None]


class Worker:
    """Runs `work` once on a daemon thread, then `at_end`, however `work` ends.

    An exception of `work` is passed to `fail` before `at_end` runs, so that a thread woken by
    `at_end` cannot report a consequence before the cause.
    """

    def __init__(self, name: str, work: Callable[[], None], at_end: Callable[[], None]) -> None:
        self.started = False
        self._name = name
        self._work = work
        self._at_end = at_end
        self._done = threading.Event()

    def start(self, fail: Fail) -> None:
        """Start; the process may end while the thread still runs."""
        thread = threading.Thread(target=self._run, args=(fail,), name=self._name, daemon=True)
        self.started = True  # early: a Ctrl-C in `Thread.start` leaves a running thread
        try:
            thread.start()
        except RuntimeError:  # the system cannot start another thread
            self.started = False
            raise

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; return False if it still runs after `timeout` seconds.

        Not `Thread.join`: up to Python 3.12 a Ctrl-C in it makes a running thread look finished,
        and closing what that thread still uses can crash the process.
        """
        while self.started and not self._done.wait(WAKE_S if timeout is None else timeout):
            if timeout is not None:
                return False
        return True

    def _run(self, fail: Fail) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the thread's outermost frame forwards
            fail(error)
        finally:
            try:
                self._at_end()
            finally:
                self._done.set()
