"""Position of a moving camera at each frame, from a GPS track beside the video or in it.

SOURCE is a video, or the output of a run on it. GPX and NMEA tracks are joined by UTC, a GoPro's
own telemetry by the video's clock.
"""

from __future__ import annotations

import argparse
import math
from datetime import UTC, datetime

import numpy as np

from pipeline.archive.ground.export import check_suffix, write_columns
from pipeline.archive.ground.geotag import (
    POSITION_COLUMNS,
    drive_features,
    frames_of,
    geotagged,
)
from pipeline.archive.ground.gps import read_gps
from pipeline.archive.remote import place_of
from pipeline.cli._arguments import local_path
from pipeline.cli._console import output_console
from pipeline.core.errors import UsageError

HELP = "positions of a moving camera at each frame, from GPX, NMEA or a GoPro"
DEFAULT_GAP_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "source", type=place_of, metavar="SOURCE", help="a video, a run's tracks, or a dataset"
    )
    parser.add_argument(
        "--gps", required=True, type=local_path, metavar="FILE",
        help=".gpx, .nmea (.txt, .log), or the GoPro's .mp4 itself",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", action="append", default=[], type=local_path, metavar="FILE",
        required=True, help="positions.csv, .parquet (GeoParquet) or .geojson; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--source",
        dest="name",
        metavar="NAME",
        help="which source of the tracks (in a dataset a camera or a recording)",
    )
    parser.add_argument(
        "--offset", type=float, default=0.0, metavar="S",
        help="seconds to add to the GPS clock (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--start", metavar="TIME", help="when the video began, as 2026-01-31T12:00:00Z"
    )
    parser.add_argument(
        "--max-gap-s", type=float, default=DEFAULT_GAP_S, metavar="S",
        help="longest gap between two fixes to interpolate over, in seconds (default: %(default)s)",
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Write the positions and print how many frames have one."""
    if not 0 < args.max_gap_s < math.inf:
        raise UsageError(f"--max-gap-s: want a number above 0, got {args.max_gap_s:g}")
    if not math.isfinite(args.offset):
        raise UsageError(f"--offset: want a number of seconds, got {args.offset}")
    start = None if args.start is None else _start(args.start)
    for path in args.output:
        check_suffix(path)
    track = read_gps(args.gps)
    frames = frames_of(args.source, args.name, start)
    columns = geotagged(frames, track, args.max_gap_s, args.offset, str(args.gps))
    for path in args.output:
        write_columns(path, POSITION_COLUMNS, columns, drive_features)
    has_position = np.isfinite(columns["lat"])
    console = output_console()
    console.print(f"{has_position.sum()} of {len(has_position)} frames have a position")
    return 0


def _start(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--start: want a time as 2026-01-31T12:00:00Z, got '{text}'") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
