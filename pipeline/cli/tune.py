"""Search a tracker's options on your own labelled clips, and measure the gain on held-out clips.

Needs the extra `tune`. The result is a configuration file for `trackline run -c`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.cli._arguments import local_path
from pipeline.cli._console import output_console
from pipeline.cli._truth import add_truth_arguments, chosen_classes, load_truths
from pipeline.config.plugins import plugin
from pipeline.config.schema import Config
from pipeline.core.errors import OutputError, UsageError
from pipeline.core.yaml_file import dump
from pipeline.tools.evaluate.tracking import recorded_frames
from pipeline.tools.tune.clips import Clips, clips_of, split
from pipeline.tools.tune.search import Tuned, tune

HELP = "search a tracker's options on your own labelled clips"
TRIALS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_truth_arguments(parser)
    parser.add_argument(
        "--detections", required=True, type=local_path, metavar="DIR|FILE",
        help="<seq>/det/det.txt, <seq>.txt, or the table of a run with --tracker none",
    )  # fmt: skip
    parser.add_argument("--tracker", metavar="NAME", help="see trackline list trackers")
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N", help="sets to try")
    parser.add_argument("--held-out", metavar="NAME,...", help="clips to hold out of the search")
    parser.add_argument("--conf", type=float, default=0.0, metavar="0..1", help="lowest score")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the search")
    parser.add_argument(
        "-o", "--output", type=local_path, default=Path("best.yaml"), metavar="FILE.yaml",
        help="configuration to write (default: best.yaml)",
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Search, print HOTA before and after on both splits, write the configuration."""
    if args.trials < 1:
        raise UsageError(f"--trials: want 1 or more, got {args.trials}")
    if not 0 <= args.conf <= 1:
        raise UsageError(f"--conf: want 0 to 1, got {args.conf}")
    kind = args.tracker or Config.model_fields["tracker"].default.kind
    tracker = plugin("trackers", kind, "--tracker")
    names = [name.strip() for name in args.held_out.split(",")] if args.held_out else None
    given = load_truths(args)
    seen = recorded_frames(args.detections, args.conf, chosen_classes(args))
    tuning, held_out = split(clips_of(given.of(seen), seen), names)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("HOTA", total=args.trials)

        def show(number: int, best: float) -> None:
            bar.update(task, completed=number + 1, description=f"HOTA {best:.2f}")

        tuned = tune(tracker, tuning, held_out, args.trials, args.seed, show)
    _print(tuned, tuning, held_out)
    _write(args.output, kind, tuned, held_out)
    return 0


def verdict(tuned: Tuned) -> str:
    """Describe the result on the held-out clips in words."""
    if not tuned.best:
        return "nothing beat the defaults, which the file keeps"
    if tuned.gain > 0:
        return f"{tuned.gain:+.2f} HOTA on clips held out"
    return f"{tuned.gain:+.2f} HOTA on clips held out: no gain, better keep the defaults"


def _print(tuned: Tuned, tuning: Clips, held_out: Clips) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("HOTA", "defaults", "tuned", "gain", "clips"):
        table.add_column(title, justify="left" if title in ("HOTA", "clips") else "right")
    for title, (before, after), clips in (
        ("tuned on", tuned.tuning, tuning),
        ("held out", tuned.held_out, held_out),
    ):
        figures = (f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}")
        table.add_row(title, *figures, ", ".join(sorted(clips)))
    console = output_console()
    console.print(table)
    console.print(verdict(tuned))


def _write(path: Path, kind: str, tuned: Tuned, held_out: Clips) -> None:
    """Write a configuration with the tracker's section and, as a comment, its measured gain."""
    text = (
        f"# trackline tune, {tuned.trials} trials: {verdict(tuned)}\n"
        f"# held out: {', '.join(sorted(held_out))}\n"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + dump({"tracker": {"kind": kind, **tuned.best}}), "utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
    output_console().print(f"written to {path}")
