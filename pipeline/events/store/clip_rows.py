"""Clip rows: the events a clip shows, its completion, columns of an event's clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipeline.events.store.enqueue import enqueue_clip
from pipeline.events.store.rows import MAX_ID, insert_new
from pipeline.events.store.tables import clips, events
from pipeline.events.store.visit_rows import renew_visits_of_clip


def add_clip(connection: sa.Connection, path: str, began: float, uids: Sequence[str]) -> None:
    """Store that a clip with these events is being recorded; an existing row is kept."""
    row = {"path": path, "began": began, "bytes": 0, "finished": False}
    connection.execute(insert_new(connection, clips), [row])
    number = sa.select(clips.c.id).where(clips.c.path == path).scalar_subquery()
    connection.execute(sa.update(events).where(events.c.uid.in_(uids)).values(clip_id=number))


def finish_clip(connection: sa.Connection, path: str, size: int, boxes: bytes | None) -> None:
    """Mark a clip as complete, update the visits it shows and queue messages about it."""
    values = {"bytes": size, "finished": True, "boxes": boxes}
    connection.execute(sa.update(clips).where(clips.c.path == path).values(values))
    renew_visits_of_clip(connection, path)
    enqueue_clip(connection, path)


def value_of_clip(connection: sa.Connection | None, column: sa.Column[Any], event_id: int) -> Any:
    """Return a column of an event's finished clip, None if it has none."""
    if connection is None:
        return None
    asked = (
        sa.select(column)
        .select_from(events.join(clips, events.c.clip_id == clips.c.id))
        .where(events.c.id == min(max(event_id, 0), MAX_ID), clips.c.finished)
    )
    return connection.scalar(asked)
