"""The threads that keep events, tidy up and deliver; the sink `events` is built around them."""

from __future__ import annotations

from functools import partial

from pipeline.core.data import Result
from pipeline.core.worker import Fail
from pipeline.events.delivery.outbox import Outbox
from pipeline.events.delivery.status import DeliveryStatus, DeliveryStatuses
from pipeline.events.delivery.targets import Targets
from pipeline.events.delivery.worker import DeliveryWorker
from pipeline.events.store.clip_cleaning import ClipCleaner
from pipeline.events.store.retention import Limits, tidy
from pipeline.events.store.store import EventStore
from pipeline.events.store.writer import FILES_GIVE_UP_S, KEEP_PATIENCE_S, Repeater, StoreWriter

TIDY_EVERY_S = 60.0
STATES_EVERY_S = 1.0
LOOK_EVERY_S = 2.0
# Closing takes a second or two when something does not answer, and no time otherwise.
_DELIVER_PATIENCE_S = 1.0


class EventService:
    """Writes to the store and delivers from it between `start` and `close`.

    Links in deliveries begin with `public_url`. With `only_files` the run fails where events cannot
    be kept; otherwise it goes on without them.
    """

    def __init__(
        self,
        store: EventStore,
        targets: Targets,
        limits: Limits,
        public_url: str,
        *,
        only_files: bool,
    ) -> None:
        self._targets = targets
        self._deliverers = [
            DeliveryWorker(Outbox(store, one.name, public_url), one) for one in targets.all
        ]
        self.keeper = StoreWriter(self._wake, FILES_GIVE_UP_S if only_files else None)
        self._standings = DeliveryStatuses(store, self._deliverers)
        round_ = partial(tidy, store, limits, cleaner=ClipCleaner(store))
        self._repeaters = [Repeater("events: tidy", round_, TIDY_EVERY_S)]
        if targets.all:
            look = Repeater("events: look", self._standings.refresh, LOOK_EVERY_S)
            self._repeaters.append(look)
        if targets.mqtt is not None:
            states = targets.mqtt.publish_states
            self._repeaters.append(Repeater("events: states", states, STATES_EVERY_S))

    def start(self, fail: Fail) -> None:
        """Begin; `fail` is told what ends a thread."""
        if self._targets.mqtt is not None:
            self._targets.mqtt.start()
        self.keeper.start(fail)
        for repeater in self._repeaters:
            repeater.start(fail)
        for deliverer in self._deliverers:
            deliverer.start(fail)

    def note(self, result: Result) -> None:
        """Take a result into account for the states at the broker."""
        self._targets.note(result)

    def standings(self) -> list[DeliveryStatus]:
        """Return how each target fares; never waits."""
        return self._standings.now()

    def close(self, keep_patience_s: float) -> None:
        """Keep what came, deliver what can be soon; the rest waits on the disk."""
        self.keeper.close(keep_patience_s)
        for deliverer in self._deliverers:
            deliverer.end(_DELIVER_PATIENCE_S)
        for deliverer in self._deliverers:
            deliverer.join()
        for repeater in self._repeaters:
            repeater.close(KEEP_PATIENCE_S)
        self._targets.stop()

    def _wake(self) -> None:
        for deliverer in self._deliverers:
            deliverer.wake()
