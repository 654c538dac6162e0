"""Browsers subscribed to notifications, and the server's signing key."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from pipeline.events.store.rows import insert_new, storable
from pipeline.events.store.store import EventStore
from pipeline.events.store.tables import facts, subscriptions

MAX_SUBSCRIPTIONS = 100
"""Maximum subscribed browsers; beyond it the oldest are removed."""
_KEY = "vapid_key"


class Subscription(NamedTuple):
    """One browser: its push endpoint and encryption keys (RFC 8291)."""

    id: int
    endpoint: str
    p256dh: str
    auth: str
    label: str
    created: float


def all_subscriptions(store: EventStore) -> list[Subscription]:
    """Return all subscriptions, oldest first; raises StoreError."""
    with store.reading() as connection:
        if connection is None:
            return []
        rows = connection.execute(sa.select(*subscriptions.c).order_by(subscriptions.c.id))
        return [Subscription(*row) for row in rows]


def add_subscription(store: EventStore, endpoint: str, p256dh: str, auth: str, label: str) -> None:
    """Store a browser's subscription, replacing one of the same endpoint. Raises StoreError."""
    row = {"p256dh": p256dh, "auth": auth, "label": storable(label), "created": time.time()}
    newest = sa.select(subscriptions.c.id).order_by(subscriptions.c.id.desc())
    with store.writing() as connection:
        connection.execute(insert_new(connection, subscriptions), [{**row, "endpoint": endpoint}])
        same = subscriptions.c.endpoint == endpoint
        connection.execute(sa.update(subscriptions).where(same).values(row))
        kept = list(connection.scalars(newest.limit(MAX_SUBSCRIPTIONS)))
        connection.execute(sa.delete(subscriptions).where(subscriptions.c.id.not_in(kept)))


def remove_subscription(store: EventStore, endpoint: str) -> bool:
    """Remove a browser; return whether it was subscribed. Raises StoreError."""
    with store.writing() as connection:
        gone = sa.delete(subscriptions).where(subscriptions.c.endpoint == endpoint)
        return connection.execute(gone).rowcount > 0


def signing_key(store: EventStore, make: Callable[[], str]) -> str:
    """Return the key (PEM) for signing messages to push services; it is created once.

    Subscriptions are bound to it: with another key all of them would be invalid. Raises StoreError.
    """
    with store.writing() as connection:
        asked = sa.select(facts.c.value).where(facts.c.name == _KEY)
        found = connection.scalar(asked)
        if found is None:
            found = make()
            connection.execute(sa.insert(facts).values(name=_KEY, value=found))
        return str(found)
