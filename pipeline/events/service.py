"""The threads of the sink `events`: store writer, retention, delivery to each target."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pipeline.core.data import Result
from pipeline.core.worker import Fail
from pipeline.events.alerts.service import AlertService
from pipeline.events.delivery.outbox import Outbox
from pipeline.events.delivery.status import DeliveryStatus, DeliveryStatuses
from pipeline.events.delivery.targets import Targets
from pipeline.events.delivery.worker import DeliveryWorker
from pipeline.events.store.clip_cleaning import ClipCleaner
from pipeline.events.store.retention import RetentionLimits, apply_retention
from pipeline.events.store.store import EventStore
from pipeline.events.store.writer import CLOSE_TIMEOUT_S, FILES_TIMEOUT_S, PeriodicTask, StoreWriter

RETENTION_EVERY_S = 60.0
STATES_EVERY_S = 1.0
STATUS_EVERY_S = 2.0
# Closing takes a second or two when something does not answer, and no time otherwise.
_DELIVERY_TIMEOUT_S = 1.0


class EventService:
    """Writes to the store and delivers from it between `start` and `close`.

    Links in deliveries begin with `public_url`. With `only_files` the run fails if events cannot be
    stored; otherwise it continues without them. `has_pictures`: whether thumbnails are made.
    """

    def __init__(
        self,
        store: EventStore,
        targets: Targets,
        limits: RetentionLimits,
        public_url: str,
        *,
        only_files: bool,
        has_pictures: bool,
    ) -> None:
        self._store = store
        self._targets = targets
        self.alerts = AlertService(store, public_url, self._deliver_to, has_pictures=has_pictures)
        self._workers = [
            DeliveryWorker(
                Outbox(store, one.name, public_url), one, self.alerts.on_settled, self.alerts.clock
            )
            for one in targets.all
        ]
        self.writer = StoreWriter(self._wake, FILES_TIMEOUT_S if only_files else None)
        self._statuses = DeliveryStatuses(store, self._all_workers)
        self._retention = partial(
            apply_retention,
            store,
            limits,
            cleaner=ClipCleaner(store),
            on_given_up=self.alerts.on_given_up,
        )
        self._tasks = [PeriodicTask("events: retention", self._retention, RETENTION_EVERY_S)]
        refresh = PeriodicTask("events: look", self._statuses.refresh, STATUS_EVERY_S)
        self._tasks.append(refresh)
        if targets.mqtt is not None:
            states = targets.mqtt.publish_states
            self._tasks.append(PeriodicTask("events: states", states, STATES_EVERY_S))

    def start(self, fail: Fail) -> None:
        """Start the threads; `fail` gets the error that ends one."""
        if self._targets.mqtt is not None:
            self._targets.mqtt.start()
        self.writer.start(fail)
        for task in self._tasks:
            task.start(fail)
        for worker in self._workers:
            worker.start(fail)
        mqtt = (one for one in self._workers if one.target is self._targets.mqtt)
        self.alerts.start(fail, next(mqtt, None))

    def note(self, result: Result) -> None:
        """Update the camera states and snapshots for the broker."""
        self._targets.note(result)

    def set_thumbnail(self, camera: str, began: float, jpeg: bytes) -> None:
        """Pass the picture of a visit that began at this Unix time to the broker."""
        self._targets.set_thumbnail(camera, began, jpeg)

    def delivery_status(self) -> list[DeliveryStatus]:
        """Return the delivery status of each target; never waits."""
        return self._statuses.now()

    def close(self, store_timeout_s: float) -> None:
        """Store what is queued and deliver what is possible soon; the rest stays in the outbox."""
        self.writer.close(store_timeout_s)
        for worker in self._workers:
            worker.end(_DELIVERY_TIMEOUT_S)
        self.alerts.end(_DELIVERY_TIMEOUT_S)
        for worker in self._workers:
            worker.join()
        self.alerts.join()
        for task in self._tasks:
            task.close(CLOSE_TIMEOUT_S)
        self._targets.stop()

    def _deliver_to(self, of_alerts: Sequence[str]) -> None:
        """Give up messages for removed targets; `of_alerts` get alerts only."""
        targets = self._targets

        def step() -> None:
            given_up = self._store.deliver_to(targets.kinds, targets.with_clips, of_alerts)
            self.alerts.on_given_up(given_up)

        self.writer.enqueue(step)

    def _all_workers(self) -> list[DeliveryWorker]:
        return [*self._workers, *self.alerts.workers]

    def _wake(self) -> None:
        for worker in self._all_workers():
            worker.wake()
