"""Enqueues messages in the transaction that stores their event or finishes its clip."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from pipeline.events.store.records import EventRecord
from pipeline.events.store.rows import insert_new
from pipeline.events.store.tables import clips, events, outbox, targets

OPEN = ("waiting", "sending")


class GivenUp(NamedTuple):
    """A message that was marked as failed: its subject (see `Message`) and its target."""

    about: str
    target: str


def set_targets(
    connection: sa.Connection,
    wanted: Mapping[str, Sequence[str]],
    with_clips: Collection[str],
    of_alerts: Collection[str] = (),
) -> list[GivenUp]:
    """Replace the targets, {name: kinds}; pending messages for other targets are marked as failed.

    Targets in `of_alerts` get no events themselves. Returns the failed messages.
    """
    connection.execute(sa.delete(targets))
    rows = [
        {"name": name, "kinds": " ".join(kinds), "clips": name in with_clips}
        for name, kinds in wanted.items()
    ]
    if rows:
        connection.execute(sa.insert(targets), rows)
    orphaned = outbox.c.target.not_in([*wanted, *of_alerts]) & outbox.c.state.in_(OPEN)
    return give_up(connection, orphaned, time.time(), "this target is not configured any more")


def give_up(
    connection: sa.Connection, which: sa.ColumnElement[bool], now: float, problem: str
) -> list[GivenUp]:
    """Mark messages as permanently failed at `now`, with the reason; return them."""
    asked = sa.select(outbox.c.about, outbox.c.target).where(which)
    found = [GivenUp(about, target) for about, target in connection.execute(asked)]
    if found:
        changed = sa.update(outbox).where(which)
        connection.execute(changed.values(state="failed", settled=now, problem=problem))
    return found


def enqueue_events(
    connection: sa.Connection, records: Sequence[EventRecord], ids: Mapping[str, int]
) -> None:
    """Enqueue events for every target that wants their kind; `ids` are their row ids by uid."""
    messages = [
        {"event_id": ids[one.uid], "target": name, "about": "event", **_NEW}
        for name, kinds in connection.execute(sa.select(targets.c.name, targets.c.kinds))
        for one in records
        if not kinds or one.kind in kinds.split()
    ]
    if messages:
        connection.execute(insert_new(connection, outbox), messages)


def enqueue_clip(connection: sa.Connection, path: str) -> None:
    """Enqueue "the clip at `path` is ready" for every target its events were queued for."""
    sent = outbox.alias()
    new = {name: sa.literal(value).label(name) for name, value in {"about": "clip", **_NEW}.items()}
    asked = (
        sa.select(sent.c.event_id, sent.c.target, *new.values())
        .join(events, events.c.id == sent.c.event_id)
        .join(clips, clips.c.id == events.c.clip_id)
        .join(targets, targets.c.name == sent.c.target)
        .where(clips.c.path == path, targets.c.clips, sent.c.about == "event")
        .order_by(sent.c.id)
    )
    added = insert_new(connection, outbox).from_select(["event_id", "target", *new], asked)
    connection.execute(added)


_NEW: Mapping[str, object] = {"state": "waiting", "tries": 0, "due": 0.0, "problem": ""}
