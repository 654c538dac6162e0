"""Measure this machine's speed: per stage, at several settings, optionally beside ultralytics."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pipeline
from pipeline.core.cpu_count import cores
from pipeline.core.errors import UsageError
from pipeline.core.install_hints import install_command
from pipeline.detectors.common.backend import IMGSZ
from pipeline.detectors.yolo import Options
from pipeline.models.resolve import resolve
from pipeline.tools.bench.cases import Case, cases
from pipeline.tools.bench.jobs import Side, measure
from pipeline.tools.bench.rounds import Rounds, Row
from pipeline.tools.bench.verdict import verdict
from pipeline.tools.doctor.limits import cpu_name

HELP = "measure this machine's speed, and what limits it"
FRAMES, REPEATS = 200, 3
SYNTHETIC = {"kind": "synthetic", "width": 1280, "height": 720, "frames": None}
_HERE = Path(pipeline.__file__).parent
_SAMPLES = (_HERE / "tools" / "bench" / "street.mp4", _HERE.parent / "samples" / "street.mp4")
"""Places of the sample clip: in an installed package, and in a checkout."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE", help="a video (default: the sample clip)"
    )
    parser.add_argument("--model", metavar="NAME|PATH|URL", help="weights; see trackline models")
    parser.add_argument("--device", metavar="auto|cpu|cuda:N", help="where the network runs")
    parser.add_argument("--imgsz", type=int, metavar="PIXELS", help="largest long side to measure")
    parser.add_argument(
        "--vs", choices=["ultralytics"], help="also measure this program, alternating"
    )
    parser.add_argument(
        "--max-frames", type=int, default=FRAMES, metavar="N", help=f"frames per run ({FRAMES})"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=REPEATS,
        metavar="N",
        help=f"runs per setting, of which the median is shown ({REPEATS})",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def execute(args: argparse.Namespace) -> int:
    """Measure everything in turn, then print a table and conclusions."""
    options = _options(args)
    source = measured_source(args.source)
    if args.vs and not isinstance(source, str):
        raise UsageError("--vs: needs a SOURCE that both programs can read, a video file")
    if args.vs and find_spec(args.vs) is None:
        raise UsageError(f"--vs: {args.vs} is not installed: {install_command('ultralytics')}")
    path = resolve(options.model)
    device = options.device if isinstance(options.device, str) else options.device[0]
    size = _measured_size(path, options.imgsz)
    own = cases(size, options.precision, _other_precisions(path, device))
    beside: list[tuple[Side, Case]] = [("theirs", each) for each in own[:2]] if args.vs else []
    rounds = Rounds(source, str(path.resolve()), device, args.max_frames)
    todo: list[tuple[Side, Case]] = [("ours", each) for each in own]
    rows = rounds.run([*todo, *beside], args.repeats, measure)
    words = verdict(rows, cores().usable)
    if rounds.trouble:
        words.append(f"ultralytics could not be measured: {rounds.trouble}")
    head = {
        "machine": f"{cpu_name()}, {cores().usable:g} cores",
        "source": source if isinstance(source, str) else "synthetic 1280x720",
        "model": path.name,
        "repeats": args.repeats,
    }
    _print(args, head, rows, words)
    return 0


def _options(args: argparse.Namespace) -> Options:
    from pipeline.core.options import validated

    for name in ("max_frames", "repeats"):
        if vars(args)[name] < 1:
            raise UsageError(f"--{name.replace('_', '-')}: want 1 or more")
    given = {key: vars(args)[key] for key in ("model", "device", "imgsz")}
    options = {key: value for key, value in given.items() if value is not None}
    return validated(Options, options, "detector")


def measured_source(text: str | None) -> str | dict[str, Any]:
    """Return the source, a file by its absolute path: each measurement runs in its own folder."""
    if text is None:
        return next((str(path) for path in _SAMPLES if path.is_file()), SYNTHETIC)
    if Path(text).is_file():
        return str(Path(text).resolve())
    if "://" in text or text.isdecimal():
        return text
    raise UsageError(f"{text}: no such file")


def _measured_size(path: Path, imgsz: int | None) -> int | None:
    """Return the longest side to measure, None for a network of fixed size.

    .pt weights take any.
    """
    if path.suffix.lower() in (".pt", ".engine"):
        return imgsz or IMGSZ
    from pipeline.detectors.openvino.cache import CompiledModelCache

    model = CompiledModelCache(path)
    return None if model.fixed_size else imgsz or model.network.imgsz or IMGSZ


def _other_precisions(path: Path, device: str) -> list[str]:
    """Return further precisions that are worth measuring here."""
    from pipeline.tools.doctor.networks import openvino

    if path.suffix.lower() == ".engine":
        return []
    if path.suffix.lower() == ".pt":
        return ["fp32"] if device.startswith("cuda") else []
    auto = [each.values["auto"] for each in openvino() if "auto" in each.values]
    return [] if auto == ["fp32"] else ["fp32"]


def _print(
    args: argparse.Namespace, head: dict[str, Any], rows: Sequence[Row], words: Sequence[str]
) -> None:
    if args.json:
        tree = {**head, "rows": [row.as_plain() for row in rows], "verdict": [*words]}
        sys.stdout.write(json.dumps(tree, indent=2) + "\n")
        return
    from rich.table import Table

    from pipeline.cli._console import output_console

    console = output_console(soft_wrap=False)
    title = f"{head['machine']}; {Path(str(head['source'])).name}, {head['model']}; "
    console.print(f"{title}median of {head['repeats']} (range), in turn\n", soft_wrap=True)
    stages = list(dict.fromkeys(name for row in rows for name in row.median.stages))
    table = Table("", "fps", box=None, pad_edge=False)
    for name in (*stages, "CPU ms", "peak MB"):
        table.add_column(name, justify="right")
    table.add_column("limit")
    for row in rows:
        one = row.median
        who = "" if row.side == "ours" else "ultralytics: "
        table.add_row(
            who + row.case.label,
            f"{one.fps:.1f} ({row.lowest_fps:.1f}..{row.highest_fps:.1f})",
            *(f"{one.stages[name]:.1f}" if name in one.stages else "" for name in stages),
            f"{one.cpu_ms:.1f}",
            f"{one.peak_mb:.0f}",
            str(one.report.get("limited_by", "")),
        )
    console.print(table)
    console.print("\n" + "\n".join(words), soft_wrap=True)
