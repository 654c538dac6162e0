"""Rich consoles for commands, on standard output and standard error."""

from __future__ import annotations

import sys
from typing import TextIO, cast

from rich.console import Console

from pipeline.cli._stderr import LastingStderr

_NO_SCREEN = 10_000  # columns; a file or a pipe takes lines of any length


def output_console(*, soft_wrap: bool = True) -> Console:
    """Return a console on standard output that prints names literally, without markup or emoji.

    No line is wrapped with `soft_wrap`; without a screen nothing of a table is cut, either.
    """
    console = PipedConsole(soft_wrap=soft_wrap, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _NO_SCREEN
    return console


def stderr_console() -> Console:
    """Return a console on stderr that survives its terminal being closed."""
    file = cast(TextIO, LastingStderr(sys.stderr)) if sys.stderr else None
    return PipedConsole(file=file, stderr=True)


class PipedConsole(Console):
    """Console whose BrokenPipeError reaches the caller; rich itself would end the program."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError
