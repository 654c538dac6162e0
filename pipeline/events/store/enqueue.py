"""What is put into the queue of deliveries, in the transaction that makes it true."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from pipeline.events.store.records import EventRecord
from pipeline.events.store.rows import insert_new
from pipeline.events.store.tables import clips, events, outbox, targets

OPEN = ("waiting", "sending")


def set_targets(
    connection: sa.Connection, wanted: Mapping[str, Sequence[str]], with_clips: Collection[str]
) -> None:
    """Make these the targets, {name: kinds}; what waits for any other is marked failed."""
    connection.execute(sa.delete(targets))
    rows = [
        {"name": name, "kinds": " ".join(kinds), "clips": name in with_clips}
        for name, kinds in wanted.items()
    ]
    if rows:
        connection.execute(sa.insert(targets), rows)
    orphaned = outbox.c.target.not_in(list(wanted)), outbox.c.state.in_(OPEN)
    changed = sa.update(outbox).where(*orphaned)
    why = "this target is not configured any more"
    connection.execute(changed.values(state="failed", settled=time.time(), problem=why))


def queue_events(
    connection: sa.Connection, records: Sequence[EventRecord], ids: Mapping[str, int]
) -> None:
    """Queue events for every target that wants their kind; `ids` are their numbers by uid."""
    parcels = [
        {"event_id": ids[one.uid], "target": name, "about": "event", **_NEW}
        for name, kinds in connection.execute(sa.select(targets.c.name, targets.c.kinds))
        for one in records
        if not kinds or one.kind in kinds.split()
    ]
    if parcels:
        connection.execute(insert_new(connection, outbox), parcels)


def queue_clip(connection: sa.Connection, path: str) -> None:
    """Queue that the clip at `path` is ready, for every target that was to be told its events."""
    told = outbox.alias()
    new = {name: sa.literal(value).label(name) for name, value in {"about": "clip", **_NEW}.items()}
    asked = (
        sa.select(told.c.event_id, told.c.target, *new.values())
        .join(events, events.c.id == told.c.event_id)
        .join(clips, clips.c.id == events.c.clip_id)
        .join(targets, targets.c.name == told.c.target)
        .where(clips.c.path == path, targets.c.clips, told.c.about == "event")
        .order_by(told.c.id)
    )
    added = insert_new(connection, outbox).from_select(["event_id", "target", *new], asked)
    connection.execute(added)


_NEW: Mapping[str, object] = {"state": "waiting", "tries": 0, "due": 0.0, "problem": ""}
