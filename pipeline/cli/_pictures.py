"""What commands on pictures share: the files, a line for each bad one, a bar, quiet decoders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli._console import stderr_console
from pipeline.core.native_stderr import muted, own_stderr
from pipeline.core.secret_masking import masked
from pipeline.sources._file.listing import picture_files

_MAX_NAME = 60


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the pictures themselves."""
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="PICTURE",
        help="pictures, folders, globs; see docs/pictures.md",
    )
    parser.add_argument("--recursive", action="store_true", help="read folders with subfolders")


class PictureList:
    """The pictures that a command was given, and which of them could not be read.

    `paths` are those to read. What names none has its line on stderr as soon as the list is made.
    """

    def __init__(self, names: Sequence[str], *, recursive: bool = False) -> None:
        found = picture_files(names, recursive=recursive)
        self.paths = [path for path, why in found.items() if not why]
        self.failed = 0
        for path, why in found.items():
            if why:
                self.fail(path, why)

    def fail(self, path: Path, why: str) -> None:
        """Say on stderr why one could not be read, in one line."""
        self.failed += 1
        line = " ".join(f"trackline: {path}: {why}".split())
        print(masked(line), file=sys.stderr, flush=True)  # noqa: T201

    def fail_to_read(self, path: Path, why: str) -> None:
        """Say why a file is no picture."""
        self.fail(path, f"not a readable picture: {why}")


def name_width(paths: Sequence[Path]) -> int:
    """Return the width of the column of names, in characters."""
    return min(max(len(str(path)) for path in paths), _MAX_NAME)


def printable(text: str) -> str:
    """Return a text that can be printed: names that are not UTF-8 have surrogates in them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def picture_progress(total: int) -> Iterator[Callable[[], None]]:
    """Yield what is called for each picture that is done; draws a bar on stderr.

    There is none where stderr is no terminal, nor where results appear on the same terminal.
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
    """Keep what decoders print about damaged pictures off stderr; our own lines still get there."""
    with own_stderr(), muted():
        yield
