"""Find objects in pictures: prints a line per object, or a JSON object per picture.

Unreadable pictures are reported on stderr, one line each; the others are processed, and the exit
code is 1. Files are written only with --save.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cli._detecting import add_detector_arguments, detector_changes, mention_better_models
from pipeline.cli._pictures import (
    PictureList,
    add_picture_arguments,
    name_width,
    picture_progress,
    printable,
    quiet_libraries,
)
from pipeline.cli._signals import Signals
from pipeline.config.build import build, make_detector, make_sinks
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.core.data import Result, Tracks
from pipeline.core.errors import SourceBrokenError, SourceError, UsageError
from pipeline.core.interfaces import Detector, Sink
from pipeline.core.options import PluginChoice, split_names
from pipeline.core.output_columns import UtcOf, masks_and_keypoints
from pipeline.core.paths import one_line
from pipeline.detectors.common.loaded_model import LoadedModel
from pipeline.sinks._table import TableSink
from pipeline.sources.images import ImageSource, Options

HELP = "find objects in pictures"
SAVED = {"annotated": "video", "csv": "", "coco": "coco", "yolo": "yolo"}
"""Values of --save and their sinks; the table of detections exists in this command only."""
TABLE_NAME = "detections.csv"
COLUMNS = (
    "file", "width", "height", "class_id", "class_name", "score", "x1", "y1", "x2", "y2",
)  # fmt: skip
ANNOTATED_NAME = "annotated"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_picture_arguments(parser)
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object per picture, one per line"
    )
    parser.add_argument("--one", action="store_true", help="only the best object of each picture")
    parser.add_argument("--save", metavar="KIND,...", help=f"{','.join(SAVED)}, all of it into OUT")
    parser.add_argument("-o", "--output", metavar="OUT", help="folder for what is saved")
    add_detector_arguments(parser)


def execute(args: argparse.Namespace) -> int:
    """Detect on all pictures and print the objects; return 1 if a picture could not be read."""
    config = _configured(args)
    with quiet_libraries():
        pictures = PictureList(args.pictures, recursive=args.recursive)
        if not pictures.paths:
            return 1
        mention_better_models(config)
        signals = Signals()
        show = _as_json if args.json else _as_table(pictures.paths)
        with signals, picture_progress(len(pictures.paths)) as advance:
            for result in _results(config, pictures, signals, best_only=args.one):
                for line in show(result):
                    sys.stdout.write(line)
                advance()
    return signals.exit_code or int(bool(pictures.failed))


def _configured(args: argparse.Namespace) -> Config:
    changes: dict[str, Any] = {"tracker": "none", "sinks": _sinks(args.save)}
    if args.output is not None:
        changes["run.output"] = args.output
    return load_config(args.config, changes | detector_changes(args))


def _sinks(save: str | None) -> list[dict[str, Any]]:
    """Return the sinks that --save selects; raises UsageError for an unknown one."""
    kinds = split_names(save or "")
    for kind in kinds:
        if kind not in SAVED:
            raise UsageError(f"--save: want {', '.join(SAVED)}, got '{kind}'")
    return [{"kind": SAVED[kind] or kind} for kind in dict.fromkeys(kinds)]


def _results(
    config: Config, pictures: PictureList, signals: Signals, *, best_only: bool
) -> Iterator[Result]:
    """Yield the result of each readable picture; unreadable ones are reported."""
    options = Options(path=tuple(map(str, pictures.paths)), name=ANNOTATED_NAME, sequence=False)
    source = ImageSource(options, on_unreadable=pictures.fail_to_read)
    before = pictures.failed
    with ExitStack() as opened:
        detector: Detector | None = None
        if best_only:
            model = opened.enter_context(LoadedModel(make_detector(config), {}))
            detector = model.detector(best_only=True)
        pipeline = build(
            resolve_config(config.model_copy(update={"sources": ()})),
            sinks=_made(config),
            sources=[source],
            detector=detector,
        )
        signals.pipeline = pipeline
        try:
            yield from opened.enter_context(closing(pipeline.results()))
        except (SourceBrokenError, SourceError):
            if pictures.failed == before:
                raise


def _made(config: Config) -> dict[str, Sink]:
    """Return the sinks, with the table of detections instead of the table of tracks."""
    table = PluginChoice(kind="csv")
    others = tuple(choice for choice in config.sinks if choice != table)
    sinks = make_sinks(config.model_copy(update={"sinks": others}))
    if table in config.sinks:
        sinks["csv"] = TableSink(TABLE_NAME, COLUMNS, _rows)
    return sinks


def _rows(result: Result, utc_of: UtcOf | None = None) -> list[tuple[Any, ...]]:
    """Return a row for each object, in the order of COLUMNS, best first."""
    del utc_of
    height, width = result.frame.shape[:2]
    found, names = result.detections, result.class_names
    rows = [
        (
            result.frame.file,
            width,
            height,
            class_id,
            names.get(class_id, str(class_id)),
            round(score, 4),
            *(round(edge, 2) for edge in xyxy),
        )
        for class_id, score, xyxy in zip(
            found.class_id.tolist(), found.score.tolist(), found.xyxy.tolist(), strict=True
        )
    ]
    return sorted(rows, key=lambda row: -row[5])


def _as_json(result: Result) -> Iterator[str]:
    """Yield the picture's objects as one line of JSON."""
    height, width = result.frame.shape[:2]
    found = result.detections
    order = np.argsort(-found.score.astype(np.float64).round(4), kind="stable")
    result = replace(result, detections=found[order], tracks=Tracks.untracked(found[order]))
    objects: list[dict[str, Any]] = [
        {"class": name, "class_id": class_id, "score": score, "box": box}
        for _, _, _, class_id, name, score, *box in _rows(result)
    ]
    for one, more in zip(objects, masks_and_keypoints(result) or (), strict=False):
        one.update({key: value for key, value in more.items() if value is not None})
    picture = {"file": result.frame.file, "width": width, "height": height, "objects": objects}
    yield printable(json.dumps(picture, ensure_ascii=False)) + "\n"


def _as_table(paths: list[Path]) -> Callable[[Result], Iterator[str]]:
    """Return a function that yields a picture's lines, in columns wide enough for every name."""
    width = name_width(paths)

    def lines(result: Result) -> Iterator[str]:
        rows = _rows(result)
        name = one_line(printable(result.frame.file))
        if not rows:
            yield f"{name:{width}}  -\n"
        for _, _, _, _, class_name, score, *box in rows:
            edges = "".join(f"{edge:9.1f}" for edge in box)
            yield f"{name:{width}}  {class_name:16} {score:.2f}{edges}\n"

    return lines
