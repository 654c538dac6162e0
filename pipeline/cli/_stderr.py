"""Standard error that survives its terminal being closed."""

from __future__ import annotations

import os
from typing import Any, TextIO


class LastingStderr:
    """Standard error that discards text once writing fails, as after its terminal was closed.

    A closed terminal must not end the run.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write; after a failure discard this and all later text."""
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
        # Redirect the descriptor itself: buffered text is flushed again when the program ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno())
        os.close(nowhere)
