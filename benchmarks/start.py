"""Time from the command `trackline run` to its first result, by part, on a machine in use.

    python benchmarks/start.py [VIDEO] [--models builtin MODEL.onnx ...] [--save csv]
        [--repeats 5] [--before CHECKOUT]

Each measurement is a process of its own, from its creation to the first result: what is kept from
one run to the next (Python's bytecode, compiled networks) is there, made by a run before the first
that counts. `--before` measures another checkout in turn. Prints milliseconds of wall and CPU time,
median and range. On a machine that is not alone the CPU time says more; that of a start whose parts
run side by side is more than its wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _side_by_side import ROOT, machine_name, measured

PARTS = {
    "imports": "Python, the command and the configuration imported",
    "built": "configuration read, pipeline built",
    "opened": "source, network and outputs open",
    "first result": "network ready, first frame detected and tracked",
}
"""What has happened at each mark, in order."""


def main() -> int:
    """Measure, print a table per network and return the exit code."""
    given = _arguments()
    if given.worker:
        return _work(given)
    sides = {"now": ROOT} | ({"before": given.before} if given.before else {})
    print(f"{machine_name()}; {given.video.name}, --save {given.save}")
    print(f"median of {given.repeats} (range), ms; in turn")
    # As installed: with bytecode, whatever the environment here says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as bytecode:
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        for model in given.models:
            for checkout in sides.values():
                _measure(given, model, checkout)
            rounds = [
                {side: _measure(given, model, checkout) for side, checkout in sides.items()}
                for _ in range(given.repeats)
            ]
            _print(model, rounds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    clip = ROOT / "samples" / "street.mp4"
    parser.add_argument("video", nargs="?", type=lambda text: Path(text).resolve(), default=clip)
    parser.add_argument("--models", nargs="+", default=["builtin"])
    parser.add_argument("--save", default="csv")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), metavar="CHECKOUT")
    parser.add_argument("--worker", type=float, metavar="BEGAN", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(given: argparse.Namespace, model: str, checkout: Path) -> dict[str, Any]:
    """Return wall and CPU seconds at each mark of one run."""
    weights = str(Path(model).resolve()) if Path(model).exists() else model
    command = [sys.executable, str(Path(__file__).resolve()), str(given.video)]
    command += ["--save", given.save, "--models", weights]
    found: dict[str, Any] = measured([*command, "--worker", repr(time.time())], "run", checkout)
    return found


def _work(given: argparse.Namespace) -> int:
    """In the process that is measured: run, and print the time at each mark."""
    marks: dict[str, tuple[float, float]] = {}

    def mark(name: str) -> None:
        marks.setdefault(name, (time.time() - given.worker, time.process_time()))

    parse = argparse.ArgumentParser.parse_known_args

    def marked_parse(self: argparse.ArgumentParser, *given: Any, **named: Any) -> Any:
        mark("imports")  # of the command; the run's own classes are imported by now
        mark_results_and_begin(mark)
        return parse(self, *given, **named)

    argparse.ArgumentParser.parse_known_args = marked_parse  # type: ignore[method-assign]
    sys.argv = ["trackline", "run", str(given.video), "--model", given.models[0], "-o", "out"]
    sys.argv += ["--save", given.save, "--max-frames", "1"]
    from pipeline.__main__ import main as command

    code = command()
    print(json.dumps(marks))
    return code


def mark_results_and_begin(mark: Callable[[str], None]) -> None:
    """Let a pipeline mark that it is built, open, and has its first result."""
    from pipeline.engine import Pipeline
    from pipeline.engine.stats import Stats

    results, begin = Pipeline.results, Stats.begin

    def marked_results(self: Pipeline) -> Iterator[Any]:
        mark("built")
        for result in results(self):
            mark("first result")
            yield result

    def marked_begin(self: Stats) -> None:
        begin(self)
        mark("opened")

    Pipeline.results = marked_results  # type: ignore[method-assign, assignment]
    Stats.begin = marked_begin  # type: ignore[method-assign]


def _print(model: str, rounds: list[dict[str, dict[str, Any]]]) -> None:
    """Print a line per part, and the sum: the first result."""
    sides = list(rounds[0])
    titles = [f"{what}, {side}" for side in sides for what in ("wall", "CPU")]
    print(f"\n{Path(model).name:52}" + "".join(f"{title:>20}" for title in titles))
    before = None
    for part, meaning in PARTS.items():
        _print_row(f"  {meaning}", rounds, part, before)
        before = part
    _print_row("from the command to the first result", rounds, "first result", None)


def _print_row(
    title: str, rounds: list[dict[str, dict[str, Any]]], part: str, since: str | None
) -> None:
    cells = []
    for side in rounds[0]:
        for n in (0, 1):  # wall, CPU
            began = [each[side][since][n] if since else 0.0 for each in rounds]
            ended = [each[side][part][n] for each in rounds]
            took = [round(1e3 * (b - a)) for a, b in zip(began, ended, strict=True)]
            cells.append(f"{statistics.median(took):.0f} ({min(took)}..{max(took)})")
    print(f"{title:52}" + "".join(f"{each:>20}" for each in cells), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
