"""Count events at zones and lines from recorded tracks, without video or model.

TRACKS is the output of a run (tracks.csv, tracks.jsonl, MOTChallenge text, or its folder), or a
dataset, whose recordings are counted continuously.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.archive.counting import recount_chains
from pipeline.archive.dataset.reader import dataset_named, open_dataset
from pipeline.archive.recordings import CameraRecordings
from pipeline.archive.remote import place_of
from pipeline.archive.tracks import open_tracks
from pipeline.cli._arguments import checked_fps, local_path, parsed_size
from pipeline.cli._console import output_console
from pipeline.cli._summary import counts_table
from pipeline.core.data import Event
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.options import listed
from pipeline.core.output_columns import EVENT_NAMES, event_rows
from pipeline.core.sequences import find_files
from pipeline.core.track_files import Recording, read_recording
from pipeline.events.zones.replay import (
    Recount,
    VideoInfo,
    picture_size,
    recount,
    zones_of_sources,
)
from pipeline.events.zones.schema import CameraZones, ZonesFile
from pipeline.events.zones.zones_file import load_zones
from pipeline.sinks._table import csv_rows

Counts = Iterator[tuple[str, Recount]]

HELP = "count at zones and lines from recorded tracks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "tracks", type=place_of, metavar="TRACKS",
        help="CSV, JSONL or MOT text, a run's folder, a dataset (of a store, too: s3://...)",
    )  # fmt: skip
    parser.add_argument(
        "--zones", required=True, type=local_path, metavar="FILE", help="zones and lines"
    )
    parser.add_argument(
        "--camera", metavar="NAME",
        help="count this source only; or, in a file of one source, with this camera's zones",
    )  # fmt: skip
    parser.add_argument(
        "--fps", type=float, metavar="N", help="frame rate, if the tracks have no times"
    )
    parser.add_argument("--size", metavar="WxH", help="picture size, if the file does not say it")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument(
        "--events", type=local_path, metavar="FILE.csv", help="write the events too"
    )


def execute(args: argparse.Namespace) -> int:
    """Print the counts of each source."""
    video = VideoInfo(checked_fps(args.fps), parsed_size(args.size))
    zones = load_zones(args.zones)
    dataset = dataset_named(args.tracks)
    counts = _of_files(args, zones, video) if dataset is None else _of_dataset(args, zones, dataset)
    report: dict[str, Any] = {}
    events: list[Event] = []
    for name, found in counts:
        report[name] = {"counts": found.counts, "inside": found.inside}
        events += found.events
    if args.events:
        _write(args.events, events)
    if args.json:
        sys.stdout.write(json.dumps({"sources": report}, indent=2, ensure_ascii=False) + "\n")
    else:
        _print(report)
    return 0


def _of_files(args: argparse.Namespace, zones: ZonesFile, video: VideoInfo) -> Counts:
    """Yield (source, its counts) for a file of tracks or a run's folder."""
    counted: set[str] = set()
    seen: set[str] = set()
    for path in find_files(args.tracks, "tracks.csv"):
        recording = read_recording(path)
        if recording.kind == "kitti":
            raise UsageError(f"{path}: holds detections, not tracks")
        seen |= set(recording.tables)
        chosen = zones_of_sources(recording.tables, zones, args.camera, path)
        for name, camera in chosen.items():
            if name in counted:
                raise UsageError(f"{path}: source '{name}' is in another file already")
            counted.add(name)
            yield name, _count(recording, name, zones.cameras[camera], video)
    if not counted:
        raise _no_zones(args, zones, seen)


def _of_dataset(args: argparse.Namespace, zones: ZonesFile, path: Path) -> Counts:
    """Yield (camera, its counts) for a dataset, continuous over recordings, as its job counted."""
    if args.fps is not None or args.size is not None:
        raise UsageError(f"{path}: says frame rate and picture size itself; no --fps or --size")
    dataset, given = open_dataset(path), open_tracks(path)
    given.named()
    chosen = zones_of_sources(dataset.cameras(), zones, args.camera, path)
    if not chosen:
        raise _no_zones(args, zones, dataset.cameras())
    for name, camera in chosen.items():
        recordings = CameraRecordings(dataset, given, name)
        yield name, recount_chains(name, recordings.chains(), zones.cameras[camera])


def _no_zones(args: argparse.Namespace, zones: ZonesFile, seen: Collection[str]) -> UsageError:
    came = args.camera or listed(seen)
    return UsageError(
        f"{args.zones}: has no camera '{came}' of {args.tracks} (known: {listed(zones.cameras)})"
    )


def _count(recording: Recording, name: str, camera: CameraZones, video: VideoInfo) -> Recount:
    if camera.size and not video.size and not picture_size(recording, name):
        shown = f"{camera.size[0]}x{camera.size[1]}, that of the zones (else: --size WxH)"
        print(  # noqa: T201
            f"trackline: {recording.path}: has no picture size, assumed {shown}",
            file=sys.stderr,
        )
    return recount(recording, name, camera, video)


def _print(report: Mapping[str, Any]) -> None:
    table = counts_table(report)
    console = output_console()
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
