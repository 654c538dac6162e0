"""Rich consoles for commands, on standard output and standard error."""

from __future__ import annotations

import sys
from typing import TextIO, cast

from rich.console import Console

from pipeline.cli._stderr import LastingStderr


def stderr_console() -> Console:
    """Return a console on stderr that survives its terminal being closed."""
    file = cast(TextIO, LastingStderr(sys.stderr)) if sys.stderr else None
    return PipedConsole(file=file, stderr=True)


class PipedConsole(Console):
    """Console whose BrokenPipeError reaches the caller; rich itself would end the program."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError
