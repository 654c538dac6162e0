"""Rich's console, as commands use it on standard output and standard error."""

from __future__ import annotations

import sys
from typing import TextIO, cast

from rich.console import Console

from pipeline.cli._stderr import LastingStderr


def stderr_console() -> Console:
    """Return a console on stderr that outlives a terminal that is closed."""
    file = cast(TextIO, LastingStderr(sys.stderr)) if sys.stderr else None
    return PipedConsole(file=file, stderr=True)


class PipedConsole(Console):
    """Leaves a reader that went away to the caller; rich would end the program."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError
