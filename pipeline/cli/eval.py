"""Score tracks against ground truth: HOTA, DetA, AssA, MOTA, IDF1, ID switches, fragments."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection

from rich.table import Table

from pipeline.archive.remote import place_of
from pipeline.archive.tracks import load_tracks
from pipeline.cli._console import output_console
from pipeline.cli._truth import add_truth_arguments, benchmark, chosen_classes, load_truths
from pipeline.core.paths import one_line
from pipeline.tools.evaluate.scoring import COMBINED, Scores, score
from pipeline.tools.evaluate.tracks import in_common, rows_to_score

HELP = "score tracks against ground truth"
COUNTS = ("IDSW", "Frag")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_truth_arguments(parser)
    parser.add_argument(
        "--tracks", required=True, type=place_of, metavar="DIR|FILE",
        help="output of a run, folder of <seq>.txt in MOTChallenge format, one file, or a dataset",
    )  # fmt: skip
    parser.add_argument("--coasting", action="store_true", help="also score predicted boxes")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the scores of each sequence and of all combined."""
    given = load_truths(args)
    tracks = rows_to_score(
        load_tracks(args.tracks, "tracks.csv"),
        benchmark(args),
        coasting=args.coasting,
        classes=chosen_classes(args),
    )
    truths = given.of(tracks)
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


def print_scores(scores: Scores) -> None:
    """Print a table in percent with one decimal; the combined row comes last."""
    table = Table(box=None, pad_edge=False)
    table.add_column("sequence", no_wrap=True)
    for name in next(iter(scores.values())):
        table.add_column(name, justify="right")
    for sequence, figures in scores.items():
        if sequence == COMBINED:
            table.add_section()
        cells = [f"{v:.0f}" if key in COUNTS else f"{v:.1f}" for key, v in figures.items()]
        table.add_row(sequence, *cells, style="bold" if sequence == COMBINED else "")
    output_console().print(table)


def _warn(what: str, names: Collection[str]) -> None:
    for name in sorted(names):
        print(f"trackline: {one_line(name)} {what}", file=sys.stderr)  # noqa: T201
