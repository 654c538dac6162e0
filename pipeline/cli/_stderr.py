"""Standard error that outlives the terminal it is on."""

from __future__ import annotations

import os
from typing import Any, TextIO


class LastingStderr:
    """Standard error that discards text once it cannot be written to: a terminal that was closed.

    The run must not end because of that.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write, or discard this text and all after it."""
        try:
            return self._file.write(text)
        except OSError:
            self._discard_from_now_on()
            return len(text)

    def flush(self) -> None:
        """Flush, or discard what is buffered."""
        try:
            self._file.flush()
        except OSError:
            self._discard_from_now_on()

    def _discard_from_now_on(self) -> None:
        # At its descriptor: what is stuck in the buffer is flushed again at the program's end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)
