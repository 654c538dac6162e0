"""One HTML page about recorded tracks: counts, time in zones, heat map, trajectories, quality.

TRACKS is a dataset of `trackline batch`, a run's folder or a file of tracks. The page is one HTML
file that needs neither network nor script.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.archive.remote import is_remote
from pipeline.archive.report.page import page_of
from pipeline.archive.report.sources import ReportInputs, collect
from pipeline.cli._arguments import add_tracks_argument, local_path
from pipeline.core.atomic_file import write_text
from pipeline.core.errors import OutputError, UsageError

HELP = "one page about recorded tracks: counts, heat map, quality"
FILE = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_tracks_argument(parser)
    parser.add_argument(
        "--zones",
        type=local_path,
        metavar="FILE",
        help="count at these, instead of using the run's counts",
    )
    parser.add_argument(
        "--video", type=local_path, metavar="VIDEO", help="video to take the background frame from"
    )
    parser.add_argument(
        "--homography",
        type=local_path,
        metavar="FILE",
        help="file from trackline calibrate, for speeds",
    )
    parser.add_argument(
        "-o", "--output", type=local_path, default=Path(FILE), metavar="FILE.html",
        help=f"the page (default: {FILE})",
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Write the page and print its path."""
    from pipeline import __version__

    if args.output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {args.output}: want a file called .html")
    sources = collect(ReportInputs(args.tracks, args.zones, args.video, args.homography))
    page = page_of(_title(args.tracks), sources, f"trackline {__version__}")
    try:
        write_text(args.output, page)
    except OSError as error:
        raise OutputError(f"{args.output}: cannot be written: {error.strerror}") from None
    print(args.output)  # noqa: T201
    return 0


def _title(tracks: Path) -> str:
    return (tracks if is_remote(tracks) else tracks.resolve()).name or str(tracks)
