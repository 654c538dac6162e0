"""List, download and convert weights; without a subcommand, list names and downloads."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import _export
from pipeline.core.errors import ModelError
from pipeline.core.install_hints import install_command
from pipeline.models.registry import PublishedModel, published

if TYPE_CHECKING:
    from pipeline.models.transfer import Progress

Action = Callable[[argparse.Namespace], int]
HELP = "list, download, export and quantize weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(metavar="ACTION")

    def add(name: str, action: Action, about: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=about, description=about, allow_abbrev=False)
        one.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
        one.set_defaults(action=action)
        return one

    pull = add("pull", _pull, "download to the cache, verify, and print the path")
    pull.add_argument("models", nargs="+", metavar="NAME|URL", help="what to download")
    path = add(
        "path", _path, "print where weights are or would be; exit code 1 if they are missing"
    )
    path.add_argument("model", metavar="NAME|URL", help="nothing is downloaded")
    _export.add_arguments(add("export", _export.execute, _export.HELP))


def execute(args: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    return int(args.action(args))


def _list(args: argparse.Namespace) -> int:
    """Print every name with its licence, size and whether it is downloaded."""
    from pipeline.models.cache import cache_folder

    if args.json:
        rows = [_described(entry) for entry in published().values()]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    # File names are left to `path` and `--json`: the longest names leave no room for them.
    table = Table("name", "MB", "licence", "classes", "here", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for entry in published().values():
        files = [entry.size, entry.beside.size if entry.beside else None]
        size = f"{sum(filter(None, files)) / 1e6:.1f}" if entry.size else ""
        classes = entry.classes if isinstance(entry.classes, str) else str(len(entry.classes))
        here = "yes" if _here(entry) else ""
        table.add_row(entry.name, size, entry.licence, classes, here)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"\nDownloads go to {cache_folder()}. Each file keeps its publisher's licence. "
        f".pt files need the extra ultralytics: {install_command('ultralytics')}",
        soft_wrap=True,
        markup=False,
    )
    return 0


def _pull(args: argparse.Namespace) -> int:
    """Download with a bar and print the paths; existing files are verified."""
    from pipeline.models.download import objection
    from pipeline.models.resolve import download_for, resolve

    for model in args.models:
        wanted = download_for(model)
        with _bar(model) as progress:
            path = resolve(model, progress)
        for each in (wanted, wanted and wanted.beside):
            if each is None or path != (wanted and wanted.path):
                continue
            if why := objection(each, each.path):
                raise ModelError(
                    f"model: {each.path} is not the file: {why}; remove it to download again"
                )
        sys.stdout.write(f"{path}\n")
    return 0


def _path(args: argparse.Namespace) -> int:
    """Print the file's path; if it is missing, print where it would be and return exit code 1."""
    from pipeline.models.resolve import download_for, locate

    path = locate(args.model)
    wanted = download_for(args.model)
    if path is None and wanted is None:
        raise ModelError(f"model: neither a name nor an address: '{args.model}'")
    sys.stdout.write(f"{path or (wanted and wanted.path)}\n")
    return 0 if path else 1


def _described(entry: PublishedModel) -> dict[str, Any]:
    path = _here(entry)
    return {
        "name": entry.name,
        "file": entry.file,
        "url": entry.url,
        "size": entry.size,
        "sha256": entry.sha256,
        "hash_from": entry.hash_from,
        "licence": entry.licence,
        "classes": entry.classes,
        "path": str(path) if path else None,
    }


def _here(entry: PublishedModel) -> Path | None:
    """Return the path of a network's file if it is on this machine."""
    from pipeline.models.cache import path_of
    from pipeline.models.resolve import inside_package

    path = inside_package(entry) if entry.url is None else path_of(entry)
    return path if path.is_file() else None


@contextmanager
def _bar(model: str) -> Iterator[Progress]:
    """Yield a function that draws a bar on stderr; nothing is drawn without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, TransferSpeedColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(model.rpartition("/")[2], total=None, start=False)

        def update(have: int, total: int | None) -> None:
            bar.start_task(task)
            bar.update(task, completed=have, total=total)

        yield update
