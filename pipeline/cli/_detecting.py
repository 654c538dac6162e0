"""Arguments of commands that detect and track, and the configuration changes they stand for."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import Any

from pipeline.config.build import model_of
from pipeline.config.schema import Config, parse_assignment
from pipeline.core.options import split_names
from pipeline.core.paths import home_path
from pipeline.models.cache import cache_folder
from pipeline.models.registry import BUILTIN

BETTER_MODELS = (
    "trackline: using the small built-in detector (road users only). Downloaded once, Apache-2.0: "
    "--model yolox-nano is faster and finds more, dfine-s is the most accurate\n"
)
MENTIONED = "better-models-mentioned"
"""Empty file in the cache folder that records that the line above was printed once."""


def add_detecting_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; none has a default here, defaults belong to the configuration."""
    add_detector_arguments(parser)
    parser.add_argument(
        "--detections", nargs="+", metavar="FILE|DIR",
        help="use boxes from MOT, KITTI, CSV or JSONL files, matched by source name",
    )  # fmt: skip
    parser.add_argument("--tracker", metavar="NAME", help="sort, none, ... (see trackline list)")
    parser.add_argument("--zones", metavar="FILE", help="file of zones and lines to count at")
    parser.add_argument(
        "--detect-every",
        type=_number_or_word,
        metavar="N|auto",
        help="detect on every Nth frame only, or (auto) as often as needed",
    )
    parser.add_argument(
        "--max-frames", type=int, metavar="N", help="stop each source after N frames"
    )


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about the configuration and its detector."""
    parser.add_argument("-c", "--config", metavar="CONFIG.yaml", help="configuration file")
    parser.add_argument("--model", metavar="NAME|PATH|URL", help="weights; see trackline models")
    parser.add_argument("--device", metavar="auto|cpu|cuda:N,...", help="where the network runs")
    parser.add_argument(
        "--imgsz", type=int, metavar="PIXELS", help="long side of the network's input"
    )
    parser.add_argument(
        "--slice",
        type=int,
        metavar="PIXELS",
        help="also detect on tiles of this side, for small objects",
    )
    parser.add_argument("--conf", type=float, metavar="0..1", help="lowest score to report")
    parser.add_argument(
        "--iou", type=float, metavar="0..1", help="overlap from which two boxes are merged"
    )
    parser.add_argument(
        "--precision", metavar="auto|fp32|bf16|fp16|int8", help="numeric precision of the network"
    )
    parser.add_argument("--classes", metavar="NAME,...", help="keep only these classes")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="set any configuration key, for instance tracker.max_age_s=2",
    )  # fmt: skip


def detecting_changes(args: argparse.Namespace) -> dict[str, Any]:
    """Return the configuration changes made by the arguments, by dotted key."""
    changes: dict[str, Any] = {}
    if args.detections:
        changes["detector.kind"] = "replay"
        changes["detector.paths"] = args.detections
    if args.tracker is not None:
        changes["tracker.kind"] = args.tracker
    if args.zones is not None:
        changes["zones"] = str(home_path(args.zones))
    for key in ("max_frames", "detect_every"):
        if (value := vars(args)[key]) is not None:
            changes[f"run.{key}"] = value
    return changes | detector_changes(args)


def detector_changes(args: argparse.Namespace) -> dict[str, Any]:
    """Return the changes made by the arguments of `add_detector_arguments`, by dotted key."""
    changes: dict[str, Any] = {}
    for key in ("model", "device", "imgsz", "slice", "conf", "iou", "precision"):
        if (value := vars(args)[key]) is not None:
            changes[f"detector.{key}"] = value
    if args.classes is not None:
        changes["detector.classes"] = split_names(args.classes)
    changes.update(parse_assignment(text) for text in args.changes)
    return changes


def mention_better_models(config: Config) -> None:
    """Print, once per machine, that there are better detectors than the built-in one."""
    marker = cache_folder() / MENTIONED
    if model_of(config) != BUILTIN or marker.exists():
        return
    sys.stderr.write(BETTER_MODELS)
    with suppress(OSError):  # without a cache folder the line is printed every time
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def _number_or_word(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
