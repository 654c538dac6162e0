"""Shared parts of commands on pictures: file list, one line per bad file, bar, quiet decoders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli._console import stderr_console
from pipeline.core.native_stderr import muted, own_stderr
from pipeline.core.paths import one_line
from pipeline.core.secret_masking import masked
from pipeline.sources._file.listing import picture_files

_MAX_NAME = 60


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument for pictures."""
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="PICTURE",
        help="pictures, folders, globs; see docs/pictures.md",
    )
    parser.add_argument("--recursive", action="store_true", help="read folders with subfolders")


class PictureList:
    """The pictures given to a command, and those of them that could not be read.

    `paths` are the files to read. An argument that names no picture is reported on stderr at once.
    """

    def __init__(self, names: Sequence[str], *, recursive: bool = False) -> None:
        found = picture_files(names, recursive=recursive)
        self.paths = [path for path, why in found.items() if not why]
        self.failed = 0
        for path, why in found.items():
            if why:
                self.fail(path, why)

    def fail(self, path: Path, why: str) -> None:
        """Report on stderr, in one line, why a picture could not be read."""
        self.failed += 1
        line = f"trackline: {path}: {' '.join(why.split())}"
        print(one_line(masked(line)), file=sys.stderr, flush=True)  # noqa: T201

    def fail_to_read(self, path: Path, why: str) -> None:
        """Report why a file is not a picture."""
        self.fail(path, f"not a readable picture: {why}")


def name_width(paths: Sequence[Path]) -> int:
    """Return the width of the name column in characters."""
    return min(max(len(str(path)) for path in paths), _MAX_NAME)


def printable(text: str) -> str:
    """Return text that can be printed: names that are not UTF-8 contain surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def picture_progress(total: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each picture; it draws a bar on stderr.

    Nothing is drawn without a terminal, or if the results are printed on the same terminal.
    """
    console = stderr_console()
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    hidden = not console.is_terminal or sys.stdout.isatty()
    with Progress(
        *columns, console=console, transient=True, disable=hidden, redirect_stdout=False
    ) as bar:
        task = bar.add_task("pictures", total=total)
        yield lambda: bar.advance(task)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep decoders' messages about damaged pictures off stderr; our own lines still appear."""
    with own_stderr(), muted():
        yield
