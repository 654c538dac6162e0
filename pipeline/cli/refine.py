"""Refine recorded tracks: join fragments, fill gaps, drop ghosts, smooth; mark every added row.

Filled rows have the state "filled"; in MOTChallenge text their tenth column is -2. Coasting rows
are replaced by filled ones or dropped. Needs the extra `refine`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.table import Table

from pipeline.cli._arguments import checked_fps, local_path
from pipeline.cli._console import output_console
from pipeline.core.errors import UsageError
from pipeline.core.options import descriptions, validated
from pipeline.core.sequences import find_files
from pipeline.core.track_files import SUFFIXES
from pipeline.tools.refine.options import RefineOptions
from pipeline.tools.refine.writing import RefinedSequences, refine_file

HELP = "join, fill and smooth recorded tracks"
FOLDER = "refined"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments; the refining ones are the fields of RefineOptions."""
    parser.add_argument(
        "tracks", type=local_path, metavar="TRACKS", help="CSV, JSONL, MOT text, folder"
    )
    parser.add_argument(
        "-o", "--output", type=local_path, metavar="OUT",
        help=f"file, or folder for files with the same names (default: {FOLDER}/ beside TRACKS)",
    )  # fmt: skip
    parser.add_argument(
        "--fps", type=float, metavar="N", help="frame rate, if the file has no times"
    )
    meanings = descriptions(RefineOptions)
    for name, field in RefineOptions.model_fields.items():
        flag = "--" + name.replace("_", "-")
        text = f"{meanings.get(name, '')} (default: {field.default})"
        if field.annotation is bool:
            switch = argparse.BooleanOptionalAction
            parser.add_argument(flag, action=switch, default=None, help=text)
        else:
            parser.add_argument(flag, type=float, metavar="N", help=text)


def execute(args: argparse.Namespace) -> int:
    """Write the refined files and print a summary."""
    given = {name: vars(args)[name] for name in RefineOptions.model_fields}
    options = {name: value for name, value in given.items() if value is not None}
    chosen = validated(RefineOptions, options, "refine")
    given_fps = checked_fps(args.fps)
    files = find_files(args.tracks, "tracks.csv")
    done: RefinedSequences = {}
    for path in files:
        done |= refine_file(path, _target(args, path, alone=len(files) == 1), chosen, given_fps)
    print_refined(done)
    return 0


def _target(args: argparse.Namespace, path: Path, *, alone: bool) -> Path:
    """Return the path of the refined file."""
    output: Path | None = args.output
    if output is None:
        return path.parent / FOLDER / path.name
    if output.suffix.lower() not in SUFFIXES:
        return output / path.name
    if not alone or output.suffix.lower() != path.suffix.lower():
        raise UsageError(f"{output}: want a folder or one {path.suffix} file, as TRACKS is")
    return output


def print_refined(done: RefinedSequences) -> None:
    """Print how much was joined, filled and dropped in each sequence."""
    table = Table(box=None, pad_edge=False)
    table.add_column("sequence", no_wrap=True)
    for name in ("fps", "joined", "filled boxes", "ghosts dropped"):
        table.add_column(name, justify="right")
    for name, (fps, refined) in done.items():
        counts = (refined.joined, refined.filled, refined.ghosts)
        table.add_row(name, f"{fps:.4g}", *map(str, counts))
    output_console().print(table)
