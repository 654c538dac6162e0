"""Counts of events by label, and by hour or another slot, from the index by label and time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pipeline.events.store.records import EventCount, EventLabel, EventQuery, SlotCount
from pipeline.events.store.search import label_conditions
from pipeline.events.store.tables import events, labels

_NAMES = (
    labels.c.camera, labels.c.area, labels.c.kind, labels.c.direction, labels.c.class_name,
)  # fmt: skip


def label_counts(
    connection: sa.Connection, camera: str | None, since: float | None
) -> list[EventCount]:
    """Return the counts since a time, in order of camera, area, kind, direction and class."""
    wanted = sa.select(labels.c.id).where(*label_conditions(EventQuery(camera=camera)))
    counted = sa.select(events.c.label_id, sa.func.count().label("count"))
    counted = counted.where(events.c.label_id.in_(wanted)).group_by(events.c.label_id)
    counted = counted.with_hint(events, "INDEXED BY events_by_label", "sqlite")
    if since is not None:
        counted = counted.where(events.c.time >= since)
    each = counted.subquery()
    asked = sa.select(*_NAMES, each.c.count).join(each, each.c.label_id == labels.c.id)
    return [EventCount(*row) for row in connection.execute(asked.order_by(*_NAMES))]


def slot_counts(connection: sa.Connection, wanted: EventQuery, slot_s: int) -> list[SlotCount]:
    """Return the counts by time, then camera, area, kind, direction and class."""
    conditions = label_conditions(wanted)
    found = connection.execute(sa.select(labels.c.id, *_NAMES).where(*conditions))
    names = {row[0]: EventLabel(*row[1:]) for row in found}
    slot = _slot(connection, slot_s).label("slot")
    counted = (
        sa.select(events.c.label_id, slot, sa.func.count())
        .where(
            events.c.label_id.in_(sa.select(labels.c.id).where(*conditions)),
            *(() if wanted.since is None else (events.c.time >= wanted.since,)),
            *(() if wanted.until is None else (events.c.time < wanted.until,)),
        )
        .group_by(events.c.label_id, slot)
        .limit(wanted.limit)
        .with_hint(events, "INDEXED BY events_by_label", "sqlite")
    )
    places = {label: place for place, label in enumerate(sorted(names, key=names.__getitem__))}
    rows = sorted(
        (int(slot), places[label], label, count)
        for label, slot, count in connection.execute(counted).all()
        if label in names  # others belong to events stored between the two queries
    )
    return [SlotCount(slot * slot_s, names[label], count) for slot, _, label, count in rows]


def _slot(connection: sa.Connection, slot_s: int) -> sa.ColumnElement[Any]:
    """Return the number of an event's slot, a whole number."""
    number = events.c.time / sa.literal_column(str(float(slot_s)))
    if connection.dialect.name == "sqlite":  # not every build has floor(); its cast truncates
        return sa.cast(number, sa.Integer)
    return sa.func.floor(number)
