"""Events as database rows, and queries as SQL conditions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.events.store.records import EventRecord, StoredEvent
from pipeline.events.store.tables import clips, events

EVENT_COLUMNS = (*events.c, clips.c.finished, clips.c.began)
MAX_ID = (1 << 63) - 1
MAX_IDS_PER_STATEMENT = 500
"""SQLite and PostgreSQL both accept many more values in one statement."""
WITH_CLIP = events.outerjoin(clips, events.c.clip_id == clips.c.id)


def stored_event(row: Any) -> StoredEvent:
    """Return the event of a row that has the columns of `events` and `clips.finished`."""
    return StoredEvent(
        id=row["id"],
        uid=row["uid"],
        time=row["time"],
        kind=row["kind"],
        camera=row["camera"],
        area=row["area"],
        direction=row["direction"],
        track_id=row["track_id"],
        class_name=row["class_name"],
        dwell_s=row["dwell_s"],
        index=row["frame"],
        pts_s=row["pts_s"],
        xyxy=(row["x1"], row["y1"], row["x2"], row["y2"]),
        score=row["score"],
        clip=bool(row["finished"]),
        clip_offset_s=max(0.0, row["time"] - row["began"]) if row["finished"] else None,
        visit=row["visit_id"],
    )


def row_values(one: EventRecord) -> dict[str, Any]:
    """Return the row of an event."""
    x1, y1, x2, y2 = (float(value) for value in one.xyxy)
    return {
        "uid": storable(one.uid),
        "time": one.time,
        "kind": storable(one.kind),
        "camera": storable(one.camera),
        "area": storable(one.area),
        "direction": storable(one.direction),
        "track_id": one.track_id,
        "class_id": one.class_id,
        "class_name": storable(one.class_name),
        "dwell_s": one.dwell_s,
        "frame": one.index,
        "pts_s": one.pts_s,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "score": one.score,
    }


def insert_new(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """Return an INSERT that skips existing rows."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def storable(text: str) -> str:
    """Return the text without characters that databases reject: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
