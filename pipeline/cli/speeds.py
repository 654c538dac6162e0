"""Positions and speeds of recorded tracks on the ground, each with its standard deviation.

TRACKS is the output of a run; the homography is the output of `trackline calibrate`. Paths are
smoothed on the ground plane with the jitter of the boxes and the errors of the calibration; values
that are too uncertain are left empty, with the reason.
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import astuple, fields
from pathlib import Path

from rich.table import Table

from pipeline.archive.ground.export import Arrays, check_output, rows_of, write_speeds
from pipeline.archive.ground.speeds import SpeedOptions, ground_speeds
from pipeline.archive.ground.summary import TrackSummary, summarize
from pipeline.archive.tracks import TrackInput, open_tracks
from pipeline.cli._arguments import add_tracks_argument, local_path
from pipeline.cli._console import output_console
from pipeline.core.atomic_file import replacing
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.homography import read_homography
from pipeline.core.options import descriptions, listed, validated

HELP = "positions and speeds in metres of recorded tracks"
_MAX_SHOWN = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments; the limits are the fields of SpeedOptions."""
    add_tracks_argument(parser)
    parser.add_argument(
        "--homography",
        required=True,
        type=local_path,
        metavar="FILE",
        help="from trackline calibrate",
    )
    parser.add_argument(
        "-o", "--output", action="append", default=[], type=local_path, metavar="FILE",
        help="speeds.csv, .parquet (GeoParquet with an origin), .geojson; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--per-track", type=local_path, metavar="FILE.csv", help="also write the table"
    )
    parser.add_argument(
        "--source", metavar="NAME", help="which camera, or which recording of a dataset"
    )
    meanings = descriptions(SpeedOptions)
    for name, field in SpeedOptions.model_fields.items():
        parser.add_argument(
            "--" + name.replace("_", "-"), type=float, metavar="N",
            help=f"{meanings.get(name, '')} (default: {field.default})",
        )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Write the files and print a row for each track."""
    limits = {name: getattr(args, name) for name in SpeedOptions.model_fields}
    known = {name: value for name, value in limits.items() if value is not None}
    options = validated(SpeedOptions, known, "speeds")
    homography = read_homography(args.homography)
    for path in args.output:
        check_output(path, homography)
    if args.per_track is not None and args.per_track.suffix.lower() != ".csv":
        raise UsageError(f"{args.per_track}: want a file called .csv")
    given = open_tracks(args.tracks)
    rows: list[Arrays] = []
    summaries: list[TrackSummary] = []
    for sequence in given.load(_chosen(given, args.source)):
        tracks = ground_speeds(sequence, homography, options)
        summaries += summarize(tracks, homography)
        if args.output:
            rows.append(rows_of(tracks, homography.origin))
    for path in args.output:
        write_speeds(path, rows)
    if args.per_track is not None:
        _write(args.per_track, summaries)
    _print(summaries)
    return 0


def _chosen(given: TrackInput, source: str | None) -> list[str]:
    """Return the sequences of the one camera that the homography belongs to; raises UsageError."""
    names = given.named([source] if source is not None else [])
    cameras = list(dict.fromkeys(given.names[name] for name in names))
    if len(cameras) > 1:
        raise UsageError(
            f"{given.path}: a homography belongs to one camera, and there are several sources "
            f"({listed(cameras)}): choose with --source"
        )
    return names


def _write(path: Path, summaries: list[TrackSummary]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(field.name for field in fields(TrackSummary))
            for each in summaries:
                writer.writerow(_cell(value) for value in astuple(each))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return round(value, 3) if math.isfinite(value) else ""


def _print(summaries: list[TrackSummary]) -> None:
    table = Table(box=None, pad_edge=False)
    sources = {each.source for each in summaries}
    if len(sources) > 1:
        table.add_column("source", no_wrap=True)
    table.add_column("track", justify="right")
    table.add_column("class", no_wrap=True)
    for name in ("seconds", "path", "median speed", "km/h"):
        table.add_column(name, justify="right")
    longest = sorted(summaries, key=lambda each: -(each.path_m if each.rows else 0))[:_MAX_SHOWN]
    for each in sorted(longest, key=lambda each: (each.source, each.track_id)):
        table.add_row(
            *([each.source] if len(sources) > 1 else []),
            f"{each.track_id}", each.class_name, f"{each.last_s - each.first_s:.1f}",
            _with_sd(each.path_m, each.path_sd_m, "m"),
            _with_sd(each.median_speed, each.median_speed_sd, "m/s"),
            f"{each.median_speed * 3.6:.1f}" if math.isfinite(each.median_speed) else "",
        )  # fmt: skip
    console = output_console()
    console.print(table)
    if len(summaries) > _MAX_SHOWN:
        left = len(summaries) - _MAX_SHOWN
        console.print(f"and {left} tracks with shorter paths (--per-track FILE.csv lists all)")


def _with_sd(value: float, sd: float, unit: str) -> str:
    if not math.isfinite(value):
        return "unsure"
    return f"{value:.1f} ± {sd:.1f} {unit}" if math.isfinite(sd) else f"{value:.1f} {unit}"
