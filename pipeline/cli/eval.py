"""Score tracks against ground truth: HOTA, DetA, AssA, MOTA, IDF1, ID switches, fragments."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.table import Table

from pipeline.tools.evaluate.scoring import COMBINED, Scores, score
from pipeline.tools.evaluate.tracks import in_common, load_tracks
from pipeline.tools.evaluate.truth import Data, load_truth

HELP = "score tracks against ground truth"
COUNTS = ("IDSW", "Frag")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_truth_arguments(parser)
    parser.add_argument(
        "--tracks", required=True, type=Path, metavar="DIR|FILE",
        help="output of a run, a folder of <seq>.txt in MOTChallenge's form, or one file",
    )  # fmt: skip
    parser.add_argument("--coasting", action="store_true", help="count predicted boxes too")
    parser.add_argument(
        "--classes", metavar="NAME,...", help="classes to score, if the file names any"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the figures of each sequence and of all together."""
    classes = [name.strip() for name in args.classes.split(",")] if args.classes else None
    truths = load_truth(args.gt, args.data)
    tracks = load_tracks(args.tracks, args.data, coasting=args.coasting, classes=classes)
    common = in_common(truths, tracks)
    scores = score(common, tracks)
    if args.json:
        rules = {name: truth.rules for name, truth in common.items()}
        missing = sorted(set(truths) - set(common))
        combined = scores.pop(COMBINED)
        report = {"combined": combined, "sequences": scores, "rules": rules, "no_tracks": missing}
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return 0
    print_scores(scores)
    _warn("has no tracks and is not scored", set(truths) - set(common))
    _warn("has no truth and is not scored", set(tracks) - set(common))
    return 0


def add_truth_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --gt and --data, which say where ground truth is and in which format."""
    parser.add_argument(
        "--gt", required=True, type=Path, metavar="DIR",
        help="<seq>/gt/gt.txt (mot) or label_02/<seq>.txt (kitti)",
    )  # fmt: skip
    parser.add_argument(
        "--data", choices=get_args(Data), default="mot", help="form and rules of the ground truth"
    )


def print_scores(scores: Scores) -> None:
    """Print a table, percent to one place; the combined row last."""
    table = Table(box=None, pad_edge=False)
    table.add_column("sequence", no_wrap=True)
    for name in next(iter(scores.values())):
        table.add_column(name, justify="right")
    for sequence, figures in scores.items():
        if sequence == COMBINED:
            table.add_section()
        cells = [f"{v:.0f}" if key in COUNTS else f"{v:.1f}" for key, v in figures.items()]
        table.add_row(sequence, *cells, style="bold" if sequence == COMBINED else "")
    Console(soft_wrap=True).print(table)


def _warn(what: str, names: Collection[str]) -> None:
    for name in sorted(names):
        print(f"trackline: {name} {what}", file=sys.stderr)  # noqa: T201
