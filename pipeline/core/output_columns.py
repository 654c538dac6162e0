"""The exported tables, tracks and events: each column's type, unit and meaning, and the rows.

CSV, JSONL, Parquet, the dataset of `trackline batch` and docs/outputs.md all use these columns. A
new column also needs its values in core/parquet_file.py, which builds whole columns at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Event, Result

ColumnType = Literal[
    "text", "string", "int32", "int64", "float32", "float64", "time", "float32 list"
]
"""`text` repeats itself and is written as a dictionary, `string` does not, and may be missing;
`time` is UTC to a millisecond, or none."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `unit` is "" for text, names and plain counts."""

    name: str
    type: ColumnType
    unit: str
    meaning: str


_WHERE = (
    Column("source", "text", "", "name of the camera, video or folder of pictures"),
    Column(
        "frame", "int64", "",
        "number of the frame, from 0; counts grabbed frames, so a dropped one shows as a gap",
    ),
    Column(
        "pts_s", "float64", "s",
        "time from the start of the file; of cameras, since they were opened",
    ),
    Column("utc", "time", "UTC", "when the picture was taken; empty where nothing says it"),
)  # fmt: skip
_OBJECT = (
    Column("class_id", "int32", "", "number of the class, as the model counts"),
    Column("class_name", "text", "", "name of the class"),
)
_BOX = (
    Column("x1", "float32", "px", "left edge of the box, in the original picture"),
    Column("y1", "float32", "px", "top edge of the box"),
    Column("x2", "float32", "px", "right edge of the box"),
    Column("y2", "float32", "px", "bottom edge of the box"),
)

TRACK_COLUMNS = (
    *_WHERE,
    Column(
        "track_id", "int64", "",
        "number of the track, from 1, never used twice by a source; 0: nothing gave an identity",
    ),
    *_OBJECT,
    Column("score", "float32", "0..1", "score of the last matched detection"),
    *_BOX,
    Column(
        "state", "text", "",
        "`matched`, or `coasting` for a prediction while the object is hidden",
    ),
    Column("age_s", "float32", "s", "time since the track's first detection"),
    Column("width", "int32", "px", "width of the original picture"),
    Column("height", "int32", "px", "height of the original picture"),
    Column("epoch", "int32", "", "a camera's reconnects so far"),
    Column("file", "text", "", "the video or picture of the row; empty for cameras"),
)  # fmt: skip
EVENT_COLUMNS = (
    *_WHERE,
    Column("kind", "text", "", "`enter`, `leave` or `dwell` of a zone, or `cross` of a line"),
    Column("area", "text", "", "name of the zone or line"),
    Column("direction", "text", "", "`in` or `out` for a crossing, empty for the rest"),
    Column("track_id", "int64", "", "number of the track"),
    *_OBJECT,
    Column("dwell_s", "float32", "s", "time since the track entered, for `leave` and `dwell`"),
    *_BOX,
)
EXTRA_COLUMNS = (
    Column("mask", "string", "", "the mask, as `counts` of COCO's RLE of the whole picture"),
    Column("keypoints", "float32 list", "px", "x, y and score of each keypoint, one after another"),
)
"""Columns of networks that give masks or keypoints; null of a coasting track."""

TRACK_NAMES = tuple(column.name for column in TRACK_COLUMNS)
EVENT_NAMES = tuple(column.name for column in EVENT_COLUMNS)


UtcOf = Callable[[str, float, float], float | None]
"""Function from source, pts_s and captured_at to Unix time, like `RunInfo.utc_of`; None if
unknown."""


def track_rows(result: Result, utc_of: UtcOf) -> list[tuple[Any, ...]]:
    """Return one tuple per track in the order of TRACK_COLUMNS, plain Python values.

    Rounded: pixels to 0.01, score to 0.0001, ages to a millisecond, times of frames to a
    microsecond.
    """
    tracks, frame = result.tracks, result.frame
    if not len(tracks):
        return []
    names = result.class_names
    height, width = frame.shape[:2]
    start = (
        frame.source,
        frame.index,
        round(frame.pts_s, 6),
        _utc(utc_of(frame.source, frame.pts_s, frame.captured_at)),
    )
    return [
        (
            *start,
            track_id,
            class_id,
            names.get(class_id, str(class_id)),
            score,
            *xyxy,
            "coasting" if coasting else "matched",
            age_s,
            width,
            height,
            frame.epoch,
            frame.file,
        )
        for track_id, class_id, score, xyxy, coasting, age_s in zip(
            tracks.track_id.tolist(),
            tracks.class_id.tolist(),
            tracks.score.astype(np.float64).round(4).tolist(),
            tracks.xyxy.astype(np.float64).round(2).tolist(),
            tracks.coasting.tolist(),
            tracks.age_s.astype(np.float64).round(3).tolist(),
            strict=True,
        )
    ]


def masks_and_keypoints(result: Result) -> list[dict[str, Any]] | None:
    """Return `mask` and `keypoints` of each track in JSON's types; None if there are neither.

    A mask is COCO's RLE {"size": [H, W], "counts": text}, keypoints are a list of [x, y, score], in
    pixels to 0.01. Values missing in a coasting track or in the network are None.
    """
    tracks, found = result.tracks, result.detections
    if found.masks is None and found.keypoints is None:
        return None
    masks = tracks.masks(found) or (None,) * len(tracks)
    keypoints = tracks.keypoints(found)
    return [
        {
            "mask": None if mask is None else mask.rle(),
            "keypoints": None if keypoints is None else plain_keypoints(keypoints[row]),
        }
        for row, mask in enumerate(masks)
    ]


def extra_columns(result: Result) -> tuple[Column, ...]:
    """Return the columns that Parquet has for this result in addition to TRACK_COLUMNS."""
    found = result.detections
    there = (found.masks is not None, found.keypoints is not None)
    return tuple(column for column, has in zip(EXTRA_COLUMNS, there, strict=True) if has)


def plain_keypoints(points: NDArray[np.float32]) -> list[list[float]] | None:
    """Return keypoints f32[K,3] as lists of numbers, None if unknown."""
    if not np.isfinite(points).all():
        return None
    exact = points.astype(np.float64)
    exact[:, :2] = exact[:, :2].round(2)
    exact[:, 2] = exact[:, 2].round(4)
    plain: list[list[float]] = exact.tolist()
    return plain


def event_rows(
    events: Iterable[Event], utc_of: UtcOf, time: Callable[[float | None], Any] | None = None
) -> list[tuple[Any, ...]]:
    """Return one tuple per event in the order of EVENT_COLUMNS, plain Python values.

    `time` converts Unix seconds or None to the value in the row; text by default.
    """
    time = time or _utc
    return [
        (
            event.source,
            event.index,
            round(event.pts_s, 6),
            time(utc_of(event.source, event.pts_s, event.captured_at)),
            event.kind,
            event.area,
            event.direction,
            event.track_id,
            event.class_id,
            event.class_name,
            round(event.dwell_s, 3),
            *(round(number, 2) for number in event.xyxy),
        )
        for event in events
    ]


def _utc(unix_s: float | None) -> str:
    return "" if unix_s is None else utc_text(unix_s)


def utc_text(unix_s: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC with milliseconds: 2026-01-31T12:00:00.250Z."""
    moment = datetime.fromtimestamp(round(unix_s, 3), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
