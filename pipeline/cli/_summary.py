"""Summary of a run on standard output: tables of frame counts, events and stage times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from pipeline.cli._console import output_console
from pipeline.core.paths import one_line
from pipeline.engine.stats import UNWANTED


def print_summary(report: Mapping[str, Any], output: Path) -> None:
    """Print the run's frame counts and stage times as two short tables on stdout.

    Names are printed literally: without markup, and not truncated unless there is a screen.
    """
    console = output_console(soft_wrap=False)
    counts = Table(box=None, pad_edge=False)
    for title in ("source", "grabbed", "delivered", "dropped"):
        counts.add_column(title, overflow="fold")
    for name, source in report["sources"].items():
        note = f"  broken: {source['broken']}" if "broken" in source else ""
        unwanted = source.get("dropped_by_cause", {}).get(UNWANTED, 0)
        why = f" ({unwanted} not asked for)" if unwanted else ""
        dropped = f"{source['dropped']}{why}{note}"
        counts.add_row(one_line(name), str(source["grabbed"]), str(source["delivered"]), dropped)
    console.print(counts)
    for folder, counts in report.get("left_out", {}).items():
        what = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        console.print(f"left out of {folder}: {what}", soft_wrap=True)
    console.print()
    if events := counts_table(report["sources"]):
        console.print(events)
        console.print()
    stages = Table("stage", "median ms", "p95 ms", box=None, pad_edge=False)
    for name, times in report["stages"].items():
        stages.add_row(name, f"{times['median_ms']:.2f}", f"{times['p95_ms']:.2f}")
    console.print(stages)
    console.print(
        f"\n{_amount(report)} in {report['elapsed_s']:.1f} s: {report['fps']:.1f} fps, "
        f"limited by {report['limited_by']}; written to {output}",
        soft_wrap=True,
    )


def counts_table(sources: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Return a table of every source's `counts` and `inside`, None if nothing was counted."""
    table = Table(box=None, pad_edge=False)
    for title in ("source", "zone or line", "what", "class"):
        table.add_column(title, overflow="fold")
    table.add_column("count", justify="right")
    for name, source in sources.items():
        for row in source.get("counts", ()):
            what = row["direction"] or row["kind"]
            table.add_row(
                name, row["area"] or "(whole picture)", what, row["class_name"], str(row["count"])
            )
        for area, count in source.get("inside", {}).items():
            table.add_row(name, area, "inside at the end", "", str(count))
    return table if table.row_count else None


def _amount(report: Mapping[str, Any]) -> str:
    """Return the amount processed: "200 frames", "3 pictures" or "200 frames and 1 picture"."""
    pictures = sum(source.get("pictures", 0) for source in report["sources"].values())
    frames = report["frames"] - pictures
    parts = [f"{frames} frame{'s' * (frames != 1)}"] if frames or not pictures else []
    parts += [f"{pictures} picture{'s' * (pictures != 1)}"] if pictures else []
    return " and ".join(parts)
