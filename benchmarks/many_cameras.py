"""Runs many cameras on few cores: whether any starves, and how old pictures get.

    python benchmarks/many_cameras.py [--cameras 16] [--fps 10] [--seconds 60] [--model builtin]

Synthetic cameras give a frame every 1/fps seconds whether it is taken or not. Prints each camera's
books and the age of its results when the sinks get them; exit code 1 where a camera starves, the
worst p95 age is more than twice the best, or the books do not balance.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from typing import Any

import pipeline
from pipeline.core.cpu_count import cores
from pipeline.tools.doctor.limits import cpu_name

WORST_TO_BEST = 2.0
STARVING = 0.5
"""A camera that gets less than this part of what the average one gets starves."""


def main() -> int:
    """Run, print and judge; return the exit code."""
    given = _arguments()
    report = _run(given)
    if given.json:
        print(json.dumps(report["sources"], indent=2))
    print(
        f"{cpu_name()}, {cores().usable:g} cores; {given.cameras} cameras of "
        f"{given.width}x{given.height} at {given.fps:g} fps for {given.seconds} s, "
        f"{given.model} at {given.imgsz}, {report['fps']:.1f} frames a second in all\n"
    )
    print(f"{'camera':10}{'grabbed':>9}{'delivered':>11}{'dropped':>9}{'p50 ms':>9}{'p95 ms':>9}")
    for name, one in report["sources"].items():
        counts = f"{one['grabbed']:>9}{one['delivered']:>11}{one['dropped']:>9}"
        print(f"{name:10}{counts}{one['age']['p50_ms']:>9.0f}{one['age']['p95_ms']:>9.0f}")
    problems = judged(report["sources"])
    print("\n" + "\n".join(problems or ["no camera starves, ages are alike, the books balance"]))
    return 1 if problems else 0


def judged(sources: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is wrong with the cameras' books, in words."""
    delivered = {name: one["delivered"] for name, one in sources.items()}
    average = sum(delivered.values()) / len(delivered)
    ages = {name: one["age"]["p95_ms"] for name, one in sources.items()}
    ratio = max(ages.values()) / max(min(ages.values()), 1e-9)
    print(f"\ndelivered {min(delivered.values())} to {max(delivered.values())} each; ", end="")
    print(f"p95 age {min(ages.values()):.0f} to {max(ages.values()):.0f} ms: {ratio:.2f}x")
    problems = [
        f"{name} starves: {count} results, {average:.0f} on average"
        for name, count in delivered.items()
        if count < STARVING * average
    ]
    if ratio > WORST_TO_BEST:
        problems.append(f"p95 age of the worst is {ratio:.2f}x that of the best")
    problems += [
        f"{name}: {one['grabbed']} grabbed, {one['delivered']} delivered, {one['dropped']} dropped"
        for name, one in sources.items()
        if one["grabbed"] != one["delivered"] + one["dropped"]
    ]
    return problems


def _run(given: argparse.Namespace) -> dict[str, Any]:
    camera = {
        "kind": "synthetic",
        "live": True,
        "fps": given.fps,
        "frames": round(given.fps * given.seconds),
        "width": given.width,
        "height": given.height,
    }
    names = [f"cam{number:02}" for number in range(given.cameras)]
    with tempfile.TemporaryDirectory() as folder:
        return pipeline.run(
            {
                "sources": [
                    {**camera, "name": name, "seed": seed} for seed, name in enumerate(names)
                ],
                "detector": {"model": given.model, "imgsz": given.imgsz},
                "sinks": [],
                "run": {"output": folder},
            }
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--json", action="store_true", help="print the books as JSON, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
