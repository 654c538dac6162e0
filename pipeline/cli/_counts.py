"""Counts for people: a table of what happened where, how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def counts_table(sources: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Return a table of every source's `counts` and `inside`, None where nothing was counted."""
    table = Table(box=None, pad_edge=False)
    for title in ("source", "zone or line", "what", "class"):
        table.add_column(title, overflow="fold")
    table.add_column("count", justify="right")
    for name, source in sources.items():
        for row in source.get("counts", ()):
            what = row["direction"] or row["kind"]
            table.add_row(name, row["area"], what, row["class_name"], str(row["count"]))
        for area, count in source.get("inside", {}).items():
            table.add_row(name, area, "inside at the end", "", str(count))
    return table if table.row_count else None
