"""Export tracks to the formats of other tools: annotation, evaluation, maps.

TRACKS is the output of a run (tracks.csv, tracks.jsonl, MOTChallenge text, Parquet, or its folder),
a dataset, or annotations in one of the formats that can be read back. `trackline list formats`
shows the formats with their options.
"""

from __future__ import annotations

import argparse
from typing import Any

from pipeline.archive.convert import Converted, Selection, convert, make_format
from pipeline.cli._arguments import add_tracks_argument, checked_fps, local_path, parsed_size
from pipeline.cli._console import output_console
from pipeline.config.plugins import FORMATS, plugin_names
from pipeline.config.schema import parse_assignment
from pipeline.core.errors import UsageError
from pipeline.core.options import split_names

HELP = "export tracks to CVAT, MOTChallenge, COCO, KITTI, GeoJSON, Label Studio, FiftyOne"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_tracks_argument(parser, ", annotations")
    parser.add_argument(
        "--to", required=True, metavar="FORMAT", help=f"one of {', '.join(plugin_names(FORMATS))}"
    )
    parser.add_argument(
        "-o", "--output", required=True, type=local_path, metavar="OUT",
        help="file, or folder (for formats with several files, and for several sources)",
    )  # fmt: skip
    parser.add_argument(
        "--video", action="append", default=[], type=local_path, metavar="FILE",
        help="video of the tracks, for size, frame rate, length and path; repeat for each source",
    )  # fmt: skip
    parser.add_argument(
        "--homography", type=local_path, metavar="FILE", help="pixels to ground plane, for geojson"
    )
    parser.add_argument("--source", metavar="NAME,...", help="export these sources only")
    parser.add_argument("--classes", metavar="NAME,...", help="export these classes only")
    parser.add_argument("--coasting", action="store_true", help="export predicted boxes too")
    parser.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help="frame rate (default: the video's or that of the tracks' times)",
    )
    parser.add_argument("--size", metavar="WxH", help="picture size, if the file does not say it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="set an option of the format, for instance tolerance=1",
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Write the export and print what it contains."""
    form = make_format(args.to, _options(args.changes), args.homography)
    selection = Selection(
        sources=tuple(split_names(args.source or "")),
        classes=tuple(split_names(args.classes or "")),
        coasting=args.coasting,
        videos=tuple(args.video),
        fps=checked_fps(args.fps),
        size=parsed_size(args.size),
    )
    done = convert(args.tracks, form, args.output, selection)
    output_console().print(_summary(done))
    return 0


def _options(changes: list[str]) -> dict[str, Any]:
    options = {}
    for text in changes:
        key, value = parse_assignment(text)
        if "." in key:
            raise UsageError(f"--set: want an option of the format, KEY=VALUE, got '{text}'")
        options[key] = value
    return options


def _summary(done: Converted) -> str:
    names = [str(path) for path in done.paths]
    shown = ", ".join(names[:3]) + (f", ... ({len(names)} files)" if len(names) > 3 else "")
    counts = (_counted(done.boxes, "box", "boxes"), _counted(done.tracks, "track", "tracks"))
    return f"{', '.join(counts)} of {_counted(done.sources, 'source', 'sources')} in {shown}"


def _counted(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
