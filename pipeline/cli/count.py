"""Count events at zones and lines from recorded tracks, without video or model.

TRACKS is what a run has written: tracks.csv, tracks.jsonl, MOTChallenge text, or its folder.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.cli._arguments import checked_fps, parsed_size
from pipeline.cli._progress import counts_table
from pipeline.core.data import Event
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.output_columns import EVENT_NAMES, event_rows
from pipeline.core.sequences import find_files
from pipeline.core.track_files import Recording, read_recording
from pipeline.events.zones.replay import VideoInfo, picture_size, recount, zones_of_sources
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.zones_file import load_zones
from pipeline.sinks._table import csv_rows

HELP = "count at zones and lines from recorded tracks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("tracks", type=Path, metavar="TRACKS", help="CSV, JSONL, MOT text, folder")
    parser.add_argument("--zones", required=True, type=Path, metavar="FILE", help="zones and lines")
    parser.add_argument(
        "--camera", metavar="NAME",
        help="count this source only; or, in a file of one source, with this camera's zones",
    )  # fmt: skip
    parser.add_argument("--fps", type=float, metavar="N", help="frame rate, where no times are")
    parser.add_argument("--size", metavar="WxH", help="picture size, where the file tells none")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--events", type=Path, metavar="FILE.csv", help="write the events too")


def execute(args: argparse.Namespace) -> int:
    """Print the counts of each source."""
    video = VideoInfo(checked_fps(args.fps), parsed_size(args.size))
    zones = load_zones(args.zones)
    report: dict[str, Any] = {}
    events: list[Event] = []
    seen: set[str] = set()
    for path in find_files(args.tracks, "tracks.csv"):
        recording = read_recording(path)
        if recording.kind == "kitti":
            raise UsageError(f"{path}: holds detections, not tracks")
        seen |= set(recording.tables)
        chosen = zones_of_sources(recording.tables, zones, args.camera, path)
        for name, camera in chosen.items():
            if name in report:
                raise UsageError(f"{path}: source '{name}' is in another file already")
            report[name], found = _count(recording, name, zones.cameras[camera], video)
            events += found
    if not report:
        known, came = ", ".join(sorted(zones.cameras)), args.camera or ", ".join(sorted(seen))
        raise UsageError(f"{args.zones}: has no camera '{came}' of {args.tracks} (known: {known})")
    if args.events:
        _write(args.events, events)
    if args.json:
        sys.stdout.write(json.dumps({"sources": report}, indent=2, ensure_ascii=False) + "\n")
    else:
        _print(report)
    return 0


def _count(
    recording: Recording, name: str, camera: CameraZones, video: VideoInfo
) -> tuple[dict[str, Any], list[Event]]:
    if camera.size and not video.size and not picture_size(recording, name):
        shown = f"{camera.size[0]}x{camera.size[1]}, that of the zones (else: --size WxH)"
        print(  # noqa: T201
            f"trackline: {recording.path}: tells no picture size, taken as {shown}",
            file=sys.stderr,
        )
    found = recount(recording, name, camera, video)
    return {"counts": found.counts, "inside": found.inside}, found.events


def _print(report: Mapping[str, Any]) -> None:
    table = counts_table(report)
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    console.print(table if table is not None else "nothing was counted")


def _utc_of_row(source: str, pts_s: float, captured_at: float) -> float | None:  # noqa: ARG001
    """Return the time that the event's row in the track file has, None if it has none."""
    return captured_at if math.isfinite(captured_at) else None


def _write(path: Path, events: list[Event]) -> None:
    lines = "".join(csv_rows([EVENT_NAMES, *event_rows(events, _utc_of_row)]))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines, "utf-8", newline="")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
