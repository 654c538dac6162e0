"""Process cameras, videos or images: detect, track, write the results."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.cli._detecting import (
    add_detecting_arguments,
    detecting_changes,
    mention_better_models,
)
from pipeline.cli._progress import progress
from pipeline.cli._signals import Signals
from pipeline.config.plugins import plugin
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.core.errors import UsageError
from pipeline.core.options import PluginChoice, split_names
from pipeline.core.yaml_file import read_yaml
from pipeline.engine import Pipeline
from pipeline.report import run_config

HELP = "process cameras, videos or images"
REFINABLE = ("csv", "jsonl")
"""Sinks that write the tables which --refine refines."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments; none has a default here, the configuration has them."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="file, folder, glob, camera")
    parser.add_argument("--recursive", action="store_true", help="read folders with subfolders")
    add_detecting_arguments(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="folder for everything written")
    parser.add_argument(
        "--save",
        metavar="KIND,...",
        help="video,csv,jsonl,parquet,mot,events_csv,subtitles,coco,yolo",
    )
    parser.add_argument("--show", action="store_true", help="show a window while running")
    parser.add_argument(
        "--refine", action="store_true",
        help="of files: write refined tracks as well, to OUT/refined (see 'trackline refine')",
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Run to the end; the summary is printed and report.json written on every way out."""
    config = configured(args)
    if args.refine:
        from pipeline.tools.refine.smoothing import require_filterpy

        require_filterpy()  # before hours of work
    mention_better_models(config)
    signals = Signals()
    reports: list[dict[str, Any]] = []  # none where the run did not start
    try:
        with progress() as show, signals:

            def start(pipeline: Pipeline) -> None:
                signals.pipeline = pipeline
                if args.refine:
                    _check_refinable(pipeline)
                show.start(pipeline)

            run_config(resolve_config(config), start, show.update, reports.append)
    except BaseException:
        with suppress(OSError):  # the terminal is gone; what ended the run is still reported
            _summarise(reports, config)
        raise
    _summarise(reports, config)
    if args.refine and signals.exit_code == 0:
        _refine(config)
    return signals.exit_code


def _check_refinable(pipeline: Pipeline) -> None:
    """Raise UsageError where a source has no end: refining needs what comes after."""
    live = [name for name, source in pipeline.stats.sources.items() if source.live]
    if live:
        raise UsageError(f"--refine: works on files, and '{live[0]}' is a camera")


def _refine(config: Config) -> None:
    """Refine the tables that the run wrote, each to a file of its name in OUT/refined."""
    from pipeline.cli.refine import FOLDER, print_refined
    from pipeline.tools.refine.options import RefineOptions
    from pipeline.tools.refine.writing import RefinedSequences, refine_file

    written = {sink.kind for sink in config.sinks}
    done: RefinedSequences = {}
    for kind in REFINABLE:
        file_name = plugin("sinks", kind, "sinks").FILE_NAME
        path = config.run.output / file_name
        if kind in written and path.exists():
            done |= refine_file(path, path.parent / FOLDER / file_name, RefineOptions())
    print_refined(done)


def _summarise(reports: list[dict[str, Any]], config: Config) -> None:
    from pipeline.cli._summary import print_summary

    for report in reports:
        print_summary(report, config.run.output)


def configured(args: argparse.Namespace) -> Config:
    """Return the file's configuration with the command line's values over it."""
    changes: dict[str, Any] = {}
    if args.sources:
        changes["sources"] = [
            {"source": each, "recursive": True} if args.recursive else each for each in args.sources
        ]
    if (
        args.detections
        and not args.sources
        and not (args.config and read_yaml(Path(args.config)).get("sources"))
    ):
        changes["sources"] = _blank_sources(args.detections)
    if args.output is not None:
        changes["run.output"] = args.output
    changes |= detecting_changes(args)
    config = load_config(args.config, changes)
    configured = {sink.kind: sink for sink in config.sinks}
    kinds = list(configured) if args.save is None else split_names(args.save)
    if args.show and "window" not in kinds:
        kinds.append("window")
    if args.refine and not {*REFINABLE} & {*kinds}:
        kinds.append("csv")
    sinks = tuple(configured.get(kind, PluginChoice(kind=kind)) for kind in kinds)
    return config.model_copy(update={"sinks": sinks})


def _blank_sources(paths: list[str]) -> list[dict[str, Any]]:
    """Return a source of empty frames for each sequence that there are detections of."""
    from pipeline.core.sequences import load_sequences, looks_like_boxes
    from pipeline.core.track_files import SUFFIXES

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
