"""How each target fares: what waits, since when and why, and what failed for good."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.core.errors import StoreError
from pipeline.events.delivery.worker import DeliveryWorker
from pipeline.events.store.enqueue import OPEN
from pipeline.events.store.store import EventStore
from pipeline.events.store.tables import events, outbox


@dataclass(frozen=True, slots=True)
class Queue:
    """What the database knows of one target; times in Unix seconds.

    `waiting_since` is when the oldest event that waits happened, `told` why its last attempt
    failed. `failed` counts what was marked failed and is still kept, `failed_at` and `failure` are
    the newest of it.
    """

    waiting: int = 0
    waiting_since: float | None = None
    told: str = ""
    failed: int = 0
    failed_at: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """One target: its queue, how many messages it took since the start, and what is wrong now."""

    target: str
    address: str
    delivered: int
    problem: str
    queue: Queue


class DeliveryStatuses:
    """Knows the targets' queues as of the last `refresh`, so that asking never waits."""

    def __init__(self, store: EventStore, deliverers: Sequence[DeliveryWorker]) -> None:
        self._store = store
        self._deliverers = deliverers
        self._queues: dict[str, Queue] = {}

    def refresh(self) -> None:
        """Ask the database; while it is away, what was known stays."""
        with suppress(StoreError):  # whoever writes to it says so aloud
            self._queues = {
                one.target.name: queue_of(self._store, one.target.name) for one in self._deliverers
            }

    def now(self) -> list[DeliveryStatus]:
        """Return how each target fares, in the order of the configuration."""
        return [self._standing(one) for one in self._deliverers]

    def _standing(self, one: DeliveryWorker) -> DeliveryStatus:
        queue = self._queues.get(one.target.name, Queue())
        problem = one.target.problem
        if queue.waiting:
            problem = one.problem or queue.told
        return DeliveryStatus(one.target.name, one.target.address, one.delivered, problem, queue)


def queue_of(store: EventStore, target: str) -> Queue:
    """Return what waits for a target and what failed; raises StoreError."""
    mine = outbox.c.target == target
    waits, failed = outbox.c.state.in_(OPEN), outbox.c.state == "failed"
    counted = sa.select(sa.func.count()).select_from(outbox)
    oldest = (
        sa.select(events.c.time, outbox.c.problem)
        .join(events, events.c.id == outbox.c.event_id)
        .where(mine, waits)
        .order_by(outbox.c.id)
        .limit(1)
    )
    newest = sa.select(outbox.c.settled, outbox.c.problem).where(mine, failed)
    with store.reading() as connection:
        if connection is None:
            return Queue()
        first = connection.execute(oldest).first()
        last = connection.execute(newest.order_by(outbox.c.id.desc()).limit(1)).first()
        return Queue(
            connection.scalar(counted.where(mine, waits)) or 0,
            first.time if first else None,
            first.problem if first else "",
            connection.scalar(counted.where(mine, failed)) or 0,
            last.settled if last else None,
            last.problem if last else "",
        )
