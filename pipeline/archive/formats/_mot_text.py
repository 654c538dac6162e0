"""MOTChallenge's ground truth text and its list of labels, for the formats built on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.archive.formats._format import Row, counted_from_1
from pipeline.archive.formats._tree import TreeReader
from pipeline.core.errors import UsageError
from pipeline.core.sequences import DEFAULT_FPS, DEFAULT_SIZE, RecordedSequence, VideoInfo
from pipeline.core.track_files import BoxTable, whole

CLASSES = (
    "pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle",
    "static person", "distractor", "occluder", "occluder on the ground", "occluder full",
    "reflection", "crowd",
)  # fmt: skip
"""MOTChallenge's classes, numbered from 1 (Dendorfer et al. 2020)."""

_CHUNK_ROWS = 20_000


def gt_lines(rows: Iterable[Row], class_number: Mapping[int, int]) -> Iterator[str]:
    """Yield "frame, id, left, top, width, height, 1, class, visibility"; frames count from 1.

    A coasting box has the visibility 0; one without identity the id -1.
    """
    for row in rows:
        # Corners are rounded first, so that left + width is the right edge that tables have.
        x1, y1, x2, y2 = round(row.x1, 2), round(row.y1, 2), round(row.x2, 2), round(row.y2, 2)
        yield (
            f"{row.frame + 1},{row.track_id or -1},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},"
            f"1,{class_number[row.class_id]},{0 if row.hidden else 1}\n"
        )


def read_gt(
    tree: TreeReader, name: str, labels: Mapping[int, str], video: VideoInfo | None
) -> tuple[BoxTable, Mapping[int, str], VideoInfo]:
    """Return (boxes, {class number: label}, video) of a gt.txt; raises UsageError with the line.

    Rows marked 0, "ignored", are left out. Without `labels` the numbers are MOTChallenge's.
    """
    chunks: list[BoxTable] = []
    rows: list[tuple[Any, ...]] = []
    for number, line in tree.lines(name):
        if not line.strip():
            continue
        try:
            row = _row(line.split(","))
        except ValueError as error:
            raise UsageError(f"{tree.where(name)}:{number}: not a row of boxes: {error}") from None
        if row[6]:
            rows.append(row)
        if len(rows) >= _CHUNK_ROWS:
            chunks.append(_table(rows))
            rows.clear()
    if rows:
        chunks.append(_table(rows))
    table = BoxTable.joined(chunks)
    last = int(table.frame.max(initial=-1)) + 1
    known = video or VideoInfo(DEFAULT_FPS, last, *DEFAULT_SIZE, has_known_size=False)
    names = labels or dict(enumerate(CLASSES, 1))
    return table, {n: names.get(n, str(n)) for n in set(table.class_id.tolist()) if n > 0}, known


def _row(cells: list[str]) -> tuple[Any, ...]:
    if len(cells) < 6:
        raise ValueError("want 6 columns or more")
    frame, track_id = whole(cells[0]), whole(cells[1])
    left, top, width, height = map(float, cells[2:6])
    mark = float(cells[6]) if len(cells) > 6 else 1.0
    # Ten columns are MOT15's: the last three are a place in the world, not class and visibility.
    class_id = whole(cells[7]) if len(cells) in (8, 9) else -1
    row = (frame, track_id, left, top, left + width, top + height, mark, class_id)
    if not all(map(math.isfinite, row)):
        raise ValueError("a number is not finite")
    if frame < 1:
        raise ValueError("frames count from 1")
    return row


def _table(rows: list[tuple[Any, ...]]) -> BoxTable:
    frame, track_id, *xyxy, _mark, class_id = zip(*rows, strict=True)
    return BoxTable.of(
        [each - 1 for each in frame], track_id, [*zip(*xyxy, strict=True)], class_id=class_id
    )


def sequence(
    name: str, path: Path, read: tuple[BoxTable, Mapping[int, str], VideoInfo]
) -> RecordedSequence:
    """Return what `read_gt` gave as a sequence whose ids count from 1."""
    table, names, video = read
    counted = BoxTable.of(
        table.frame, counted_from_1(table.track_id), table.xyxy, class_id=table.class_id
    )
    return RecordedSequence(name, counted, names, path, video)


def read_labels(tree: TreeReader, name: str) -> dict[int, str]:
    """Return {number from 1: label} of a labels.txt, one label a line; {} where there is none."""
    if not tree.names(name):
        return {}
    return {number: line.strip() for number, line in tree.lines(name) if line.strip()}
