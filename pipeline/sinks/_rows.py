"""The tables of tracks and of events: their columns, and the rows one result gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.core.data import Event, Result

COLUMNS = (
    "source", "frame", "pts_s", "utc", "track_id", "class_id", "class_name", "score",
    "x1", "y1", "x2", "y2", "state", "age_s", "width", "height", "epoch", "file",
)  # fmt: skip
EVENT_COLUMNS = (
    "source", "frame", "pts_s", "utc", "kind", "area", "direction", "track_id",
    "class_id", "class_name", "dwell_s", "x1", "y1", "x2", "y2",
)  # fmt: skip


UtcOf = Callable[[str, float, float], float | None]
"""From source, pts_s and captured_at to Unix time, as `RunInfo.utc_of`; None where unknown."""


def rows(result: Result, utc_of: UtcOf) -> list[tuple[Any, ...]]:
    """Return one tuple per track in the order of COLUMNS, plain Python values.

    Pixels to 0.01, score to 0.0001, ages to a millisecond, times of frames to a microsecond.
    """
    tracks, frame = result.tracks, result.frame
    if not len(tracks):
        return []
    names = result.class_names
    height, width = frame.image.shape[:2]
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


def event_rows(events: Iterable[Event], utc_of: UtcOf) -> list[tuple[Any, ...]]:
    """Return one tuple per event in the order of EVENT_COLUMNS, plain Python values."""
    return [
        (
            event.source,
            event.index,
            round(event.pts_s, 6),
            _utc(utc_of(event.source, event.pts_s, event.captured_at)),
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
