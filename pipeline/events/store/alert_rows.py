"""Alert rows: time of a rule's last alert, new alerts with their messages, newest alerts."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from pipeline.events.store.records import EventRecord
from pipeline.events.store.rows import insert_new, storable
from pipeline.events.store.store import EventStore
from pipeline.events.store.tables import alerts, events, outbox, visits

ABOUT = "alert:"
"""Prefix of the subject of an alert's message; the rule's name follows."""


class StoredAlert(BaseModel):
    """An alert as returned by the REST interface: the rule and the event that triggered it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: int
    rule: str
    time: float
    """Unix seconds of the event."""
    camera: str
    kind: str
    area: str
    class_name: str
    event_id: int
    visit: int | None
    """Number of its visit, null if it has none."""
    thumbnail: int | None
    """A number that changes with the picture of the visit; null while it has none."""


class VisitLength(NamedTuple):
    """Number of an event's visit, and the seconds it had lasted."""

    visit_id: int | None
    seconds: float


def visit_length(connection: sa.Connection, event_id: int) -> VisitLength:
    """Return the visit of an event and its length up to its latest event."""
    joined = events.outerjoin(visits, visits.c.id == events.c.visit_id)
    asked = sa.select(events.c.visit_id, visits.c.seconds).select_from(joined)
    row = connection.execute(asked.where(events.c.id == event_id)).first()
    return VisitLength(None, 0.0) if row is None else VisitLength(row.visit_id, row.seconds or 0.0)


def last_alert_s(connection: sa.Connection, rule: str, camera: str | None) -> float | None:
    """Return the time of a rule's newest alert, for one camera or all; None if there is none."""
    asked = sa.select(alerts.c.time).where(alerts.c.rule == storable(rule))
    if camera is not None:
        asked = asked.where(alerts.c.camera == storable(camera))
    found = connection.scalar(asked.order_by(alerts.c.id.desc()).limit(1))
    return None if found is None else float(found)


def has_alerted(connection: sa.Connection, rule: str, visit_id: int) -> bool:
    """Return whether a rule has raised an alert for a visit."""
    same = alerts.c.rule == storable(rule), alerts.c.visit_id == visit_id
    return connection.scalar(sa.select(alerts.c.id).where(*same).limit(1)) is not None


def add_alert(
    connection: sa.Connection,
    rule: str,
    event: EventRecord,
    ids: tuple[int, int | None],
    targets: Collection[str],
    due: float,
) -> None:
    """Store an alert and queue it for its targets; `ids` are those of the event and its visit.

    Its messages wait for the thumbnail of the visit until `due`.
    """
    event_id, visit_id = ids
    row = {
        "event_id": event_id,
        "visit_id": visit_id,
        "rule": storable(rule),
        "camera": storable(event.camera),
        "time": event.time,
    }
    connection.execute(insert_new(connection, alerts), [row])
    message = {"event_id": event_id, "about": f"{ABOUT}{storable(rule)}", "due": due}
    new = {"state": "waiting", "tries": 0, "problem": ""}
    messages = [{**message, **new, "target": target} for target in targets]
    if messages:
        connection.execute(insert_new(connection, outbox), messages)


def newest_alerts(store: EventStore, limit: int, rule: str | None = None) -> list[StoredAlert]:
    """Return the newest alerts of one rule or all, newest first; raises StoreError."""
    of_events = alerts.join(events, events.c.id == alerts.c.event_id)
    columns = alerts.c.id, alerts.c.rule, alerts.c.time, alerts.c.camera, alerts.c.event_id
    of_event = events.c.kind, events.c.area, events.c.class_name, events.c.visit_id.label("visit")
    asked = (
        sa.select(*columns, *of_event, visits.c.thumbnail_revision.label("thumbnail"))
        .select_from(of_events.outerjoin(visits, visits.c.id == events.c.visit_id))
        .order_by(alerts.c.id.desc())
        .limit(limit)
    )
    if rule is not None:
        asked = asked.where(alerts.c.rule == storable(rule))
    with store.reading() as connection:
        rows = [] if connection is None else connection.execute(asked).mappings().all()
    return [StoredAlert.model_validate(dict(row)) for row in rows]
