"""SIGINT and SIGTERM handling for commands that run a pipeline."""

from __future__ import annotations

import signal
import threading
from typing import Any

from pipeline.engine import Pipeline


class StopSignals:
    """Records Ctrl-C or SIGTERM for a job that polls `is_stopped`; a second Ctrl-C interrupts.

    Only the main thread can handle signals; on any other, none is recorded.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._before: dict[int, Any] = {}

    @property
    def is_stopped(self) -> bool:
        """Return whether the job should end."""
        return bool(self.exit_code)

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        del frame
        if self.exit_code:
            raise KeyboardInterrupt
        self.exit_code = 128 + number


class Signals(StopSignals):
    """Ends the run in order on Ctrl-C or SIGTERM, so that frames in flight are not lost.

    A second Ctrl-C, or one before there is a pipeline, interrupts at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pipeline: Pipeline | None = None

    def _on_signal(self, number: int, frame: object) -> None:
        del frame
        if self.pipeline is None and number == signal.SIGTERM:
            raise SystemExit(128 + number)
        if self.pipeline is None or self.exit_code:
            raise KeyboardInterrupt
        self.exit_code = 128 + number
        self.pipeline.stop("interrupted" if number == signal.SIGINT else "terminated")
