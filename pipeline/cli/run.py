"""Process cameras, videos or images: detect, track, write the results."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.cli._progress import print_summary, progress
from pipeline.cli._signals import Signals
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, PluginChoice, load_config, parse_assignment
from pipeline.core.errors import UsageError
from pipeline.core.options import split_names
from pipeline.core.paths import home_path
from pipeline.core.sequences import load_sequences, looks_like_boxes
from pipeline.core.track_files import SUFFIXES
from pipeline.core.yaml_file import read_yaml
from pipeline.engine import Pipeline
from pipeline.report import run_config

HELP = "process cameras, videos or images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments; none has a default here, the configuration has them."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="file, folder, glob, camera")
    parser.add_argument("--recursive", action="store_true", help="read folders with subfolders")
    parser.add_argument("-c", "--config", metavar="CONFIG.yaml", help="configuration file")
    parser.add_argument("--model", metavar="NAME|PATH|URL", help="weights; see trackline models")
    parser.add_argument("--device", metavar="auto|cpu|cuda:N,...", help="where the network runs")
    parser.add_argument("--imgsz", type=int, metavar="PIXELS", help="long side the network sees")
    parser.add_argument("--conf", type=float, metavar="0..1", help="lowest score that counts")
    parser.add_argument("--iou", type=float, metavar="0..1", help="overlap that merges two boxes")
    parser.add_argument(
        "--precision", metavar="auto|fp32|bf16|fp16|int8", help="numbers the network computes in"
    )
    parser.add_argument("--classes", metavar="NAME,...", help="keep only these classes")
    parser.add_argument(
        "--detections", nargs="+", metavar="FILE|DIR",
        help="take boxes from MOT, KITTI, CSV or JSONL files; without SOURCE no video is needed",
    )  # fmt: skip
    parser.add_argument("--tracker", metavar="NAME", help="sort, none, ... (see trackline list)")
    parser.add_argument("--zones", metavar="FILE", help="zones and lines to count at")
    parser.add_argument("-o", "--output", metavar="OUT", help="folder for everything written")
    parser.add_argument(
        "--save", metavar="KIND,...", help="video,csv,jsonl,mot,events_csv,subtitles"
    )
    parser.add_argument(
        "--detect-every",
        type=_number_or_word,
        metavar="N|auto",
        help="detect on every Nth frame only, or where it is needed",
    )
    parser.add_argument("--max-frames", type=int, metavar="N", help="stop each source after N")
    parser.add_argument("--show", action="store_true", help="show a window while running")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="set any configuration key, for instance tracker.max_age_s=2",
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Run to the end; the summary is printed and report.json written on every way out."""
    config = configured(args)
    signals = Signals()
    reports: list[dict[str, Any]] = []  # none where the run did not start
    try:
        with progress() as show, signals:

            def start(pipeline: Pipeline) -> None:
                signals.pipeline = pipeline
                show.start(pipeline)

            run_config(resolve_config(config), start, show.update, reports.append)
    except BaseException:
        with suppress(OSError):  # the terminal is gone; what ended the run is still reported
            _summarise(reports, config)
        raise
    _summarise(reports, config)
    return signals.exit_code


def _summarise(reports: list[dict[str, Any]], config: Config) -> None:
    for report in reports:
        print_summary(report, config.run.output)


def configured(args: argparse.Namespace) -> Config:
    """Return the file's configuration with the command line's values over it."""
    changes: dict[str, Any] = {}
    if args.sources:
        changes["sources"] = [
            {"source": each, "recursive": True} if args.recursive else each for each in args.sources
        ]
    if args.detections:
        changes["detector.kind"] = "replay"
        changes["detector.paths"] = args.detections
        if not args.sources and not (args.config and read_yaml(Path(args.config)).get("sources")):
            changes["sources"] = _blank_sources(args.detections)
    if args.tracker is not None:
        changes["tracker.kind"] = args.tracker
    for key in ("model", "device", "imgsz", "conf", "iou", "precision"):
        if (value := vars(args)[key]) is not None:
            changes[f"detector.{key}"] = value
    if args.classes is not None:
        changes["detector.classes"] = split_names(args.classes)
    if args.zones is not None:
        changes["zones"] = str(home_path(args.zones))
    for key in ("output", "max_frames", "detect_every"):
        if (value := vars(args)[key]) is not None:
            changes[f"run.{key}"] = value
    changes.update(parse_assignment(text) for text in args.changes)
    config = load_config(args.config, changes)
    configured = {sink.kind: sink for sink in config.sinks}
    kinds = list(configured) if args.save is None else split_names(args.save)
    if args.show and "window" not in kinds:
        kinds.append("window")
    sinks = tuple(configured.get(kind, PluginChoice(kind=kind)) for kind in kinds)
    return config.model_copy(update={"sinks": sinks})


def _blank_sources(paths: list[str]) -> list[dict[str, Any]]:
    """Return a source of empty frames for each sequence that there are detections of."""
    if videos := [path for path in paths if not looks_like_boxes(path)]:
        raise UsageError(
            f"--detections: '{videos[0]}' is no file of boxes ({', '.join(SUFFIXES)}); "
            "a video goes before --detections"
        )
    return [
        {
            "kind": "blank",
            "name": name,
            "frames": sequence.video.length,
            "fps": sequence.video.fps,
            "width": sequence.video.width,
            "height": sequence.video.height,
        }
        for name, sequence in load_sequences(map(Path, paths), "det/det.txt").items()
    ]


def _number_or_word(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
