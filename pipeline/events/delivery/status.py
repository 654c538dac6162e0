"""Delivery status of each target: waiting messages, since when and why, and failed ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.core.errors import StoreError
from pipeline.events.delivery.worker import DeliveryWorker
from pipeline.events.store.enqueue import OPEN
from pipeline.events.store.store import EventStore
from pipeline.events.store.tables import events, outbox


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Figures of one target's outbox; times in Unix seconds.

    `waiting_since` is the time of the oldest waiting event, `last_error` the reason its last
    attempt failed. `failed` counts failed messages that are still stored, `failed_at` and `failure`
    are those of the newest of them.
    """

    waiting: int = 0
    waiting_since: float | None = None
    last_error: str = ""
    failed: int = 0
    failed_at: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """One target: its queue, messages accepted since the start, and the current problem."""

    target: str
    address: str
    delivered: int
    problem: str
    queue: QueueStatus


class DeliveryStatuses:
    """The targets' status as of the last `refresh`, so that reading it never waits."""

    def __init__(self, store: EventStore, workers: Callable[[], Sequence[DeliveryWorker]]) -> None:
        self._store = store
        self._workers = workers
        self._queues: dict[str, QueueStatus] = {}

    def refresh(self) -> None:
        """Query the database; while it is unavailable the last status stays."""
        with suppress(StoreError):  # the store writer logs it
            self._queues = {
                one.target.name: queue_status(self._store, one.target.name)
                for one in self._workers()
            }

    def now(self) -> list[DeliveryStatus]:
        """Return the status of each target, in the order of the configuration."""
        return [self._status_of(one) for one in self._workers()]

    def _status_of(self, one: DeliveryWorker) -> DeliveryStatus:
        queue = self._queues.get(one.target.name, QueueStatus())
        problem = one.target.problem
        if queue.waiting:
            problem = one.problem or queue.last_error
        return DeliveryStatus(one.target.name, one.target.address, one.delivered, problem, queue)


def queue_status(store: EventStore, target: str) -> QueueStatus:
    """Return the waiting and failed messages of a target; raises StoreError."""
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
            return QueueStatus()
        first = connection.execute(oldest).first()
        last = connection.execute(newest.order_by(outbox.c.id.desc()).limit(1)).first()
        return QueueStatus(
            connection.scalar(counted.where(mine, waits)) or 0,
            first.time if first else None,
            first.problem if first else "",
            connection.scalar(counted.where(mine, failed)) or 0,
            last.settled if last else None,
            last.problem if last else "",
        )
