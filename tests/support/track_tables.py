"""Tables of tracks for the tests of exports: odd names, gaps, great ids, changing sizes."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.output_columns import TRACK_NAMES

Row = dict[str, object]


def row(frame: int, track_id: int = 1, at: float = 100.0, **changes: object) -> Row:
    """A box 40 by 80 whose left edge is at `at`, in a picture of 640 by 480 at 10 per second."""
    return {
        "source": "gate", "frame": frame, "pts_s": round(frame / 10, 6), "utc": "",
        "track_id": track_id, "class_id": 0, "class_name": "person", "score": 0.9,
        "x1": at, "y1": 50.25, "x2": at + 40, "y2": 130.5, "state": "matched", "age_s": 0.0,
        "width": 640, "height": 480, "epoch": 0, "file": "clips/gate.mp4", **changes,
    }  # fmt: skip


def walk(
    frames: Iterable[int], track_id: int = 1, at: float = 100.0, **changes: object
) -> list[Row]:
    """A track that goes 3 pixels to the right in each frame."""
    return [row(frame, track_id, at + 3 * frame, **changes) for frame in frames]


def write_csv(path: Path, rows: Iterable[Row]) -> Path:
    """Write tracks.csv as a run does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, TRACK_NAMES, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
