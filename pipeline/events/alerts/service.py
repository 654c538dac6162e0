"""AlertService: the alerts of a run; its channels have a delivery thread each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pipeline.core.errors import ConfigError, StoreError
from pipeline.core.worker import Fail
from pipeline.events.alerts.alerter import Alerter, Rule
from pipeline.events.alerts.counts import DELIVERED, FAILED, AlertCount
from pipeline.events.alerts.options import EMAIL, MQTT, WEB_PUSH, WEBHOOK, AlertOptions, AlertRule
from pipeline.events.delivery.mail import Mail
from pipeline.events.delivery.outbox import Message, Outbox
from pipeline.events.delivery.web_push import WebPush
from pipeline.events.delivery.webhook import Webhook
from pipeline.events.delivery.worker import DeliveryWorker, Outcome, Target, stable_clock
from pipeline.events.store.alert_rows import ABOUT, StoredAlert, newest_alerts
from pipeline.events.store.enqueue import GivenUp
from pipeline.events.store.records import NOWHERE, EventQuery, EventRecord, StoredEvent, new_uid
from pipeline.events.store.store import EventStore

HOOK_KIND = "alert-webhook"
"""Prefix of the target names of alert webhooks; those of events begin with "webhook"."""
TEST_TIMEOUT_S = 25.0
END_TIMEOUT_S = 1.0
"""Maximum time for a removed channel to finish sending."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The targets used by alerts alone, not started, and the rules that use them."""

    options: AlertOptions = field(default_factory=AlertOptions)
    targets: Mapping[str, Target] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


class AlertService:
    """Rules in force and their channels; any thread may call it.

    `deliver_to` is called with the names of the targets when they change: messages for others are
    given up. Links begin with `public_url`. Alerts wait for thumbnails if `has_pictures`.
    """

    def __init__(
        self,
        store: EventStore,
        public_url: str,
        deliver_to: Callable[[Sequence[str]], object],
        *,
        has_pictures: bool,
    ) -> None:
        self.clock = stable_clock()
        self._store = store
        self._public_url = public_url
        self._deliver_to = deliver_to
        self._alerter = Alerter(store, self.clock, has_pictures=has_pictures)
        self._mqtt: DeliveryWorker | None = None
        self._lock = threading.Lock()
        self._channels = Channels()
        self._workers: dict[str, DeliveryWorker] = {}
        self._fail: Fail | None = None

    @property
    def options(self) -> AlertOptions:
        """Return the rules and channels in force, with secrets filled in: not to be shown."""
        return self._channels.options

    @property
    def workers(self) -> list[DeliveryWorker]:
        """Return the delivery threads of the channels used by alerts alone."""
        with self._lock:
            return list(self._workers.values())

    def start(self, fail: Fail, mqtt: DeliveryWorker | None) -> None:
        """Start delivering; `mqtt` delivers to the broker of events."""
        self._mqtt, self._fail = mqtt, fail
        for worker in self.workers:
            worker.start(fail)

    def use(self, options: AlertOptions) -> None:
        """Replace rules and channels; after a ConfigError nothing is changed."""
        made = make_channels(options, self._store)
        with self._lock:
            before, old = self._channels.options, self._workers
            kept = {name for name in made.targets if _is_same(name, before, options)} & set(old)
            new = {
                name: old[name] if name in kept else self._worker(target)
                for name, target in made.targets.items()
            }
            ended = [worker for name, worker in old.items() if name not in kept]
            targets = {name: worker.target for name, worker in new.items()}
            self._channels, self._workers = replace(made, targets=targets), new
        for worker in ended:
            worker.end(END_TIMEOUT_S)
        for worker in ended:
            worker.join()
        # The rules first: an alert of an old one would wait for a target that was just given up.
        self._alerter.set_rules(made.rules)
        self._deliver_to(list(new))
        if self._fail is not None:
            for name in set(new) - kept:
                new[name].start(self._fail)

    def add(self, records: Sequence[EventRecord]) -> None:
        """Store events with the alerts that they cause; raises StoreError."""
        self._alerter.add(records)

    def wake(self) -> None:
        """Check the outboxes at once."""
        for worker in self.workers:
            worker.wake()

    def on_settled(self, message: Message, outcome: Outcome) -> None:
        """Count an alert that was delivered or given up."""
        if message.rule is not None:
            result = DELIVERED if outcome.kind == "delivered" else FAILED
            self._alerter.counts.add(AlertCount(message.rule, message.target, result))

    def on_given_up(self, messages: Iterable[GivenUp]) -> None:
        """Count the alerts among messages that were given up without another try."""
        for about, target in messages:
            if about.startswith(ABOUT):
                rule = about.removeprefix(ABOUT)
                self._alerter.counts.add(AlertCount(rule, target, FAILED))

    def counts(self) -> Mapping[AlertCount, int]:
        """Return the counts of alerts since the start, by outcome."""
        return self._alerter.counts.now()

    def newest(self, limit: int, rule: str | None = None) -> list[StoredAlert]:
        """Return the newest alerts, of one rule or of all; raises StoreError."""
        return newest_alerts(self._store, limit, rule)

    def targets_of(self, rule: str) -> tuple[str, ...]:
        """Return the names of the targets that a rule's channels stand for."""
        return next((one.targets for one in self._channels.rules if one.options.name == rule), ())

    def test(self, name: str) -> dict[str, Outcome] | None:
        """Send a test of a rule to each of its targets, and wait; None if there is no such rule.

        It is about the newest visit, if there is one, preferably with a picture.
        """
        rule = next((one for one in self._channels.rules if one.options.name == name), None)
        if rule is None:
            return None
        answers: dict[str, Future[Outcome]] = {}
        for target in rule.targets:
            worker = self._mqtt if target == MQTT else self._workers.get(target)
            if worker is not None:
                answers[target] = worker.send_now(self._test_message(rule.options, target))
        until = time.monotonic() + TEST_TIMEOUT_S
        return {target: _wait(one, until) for target, one in answers.items()}

    def web_push(self) -> WebPush | None:
        """Return the sender to browsers, None if it is not configured."""
        target = self._channels.targets.get(WEB_PUSH)
        return target if isinstance(target, WebPush) else None

    def end(self, timeout_s: float) -> None:
        """Send what is due for at most this long; `join` waits for it."""
        for worker in self.workers:
            worker.end(timeout_s)

    def join(self) -> None:
        """Wait for the end of the threads."""
        for worker in self.workers:
            worker.join()

    def _worker(self, target: Target) -> DeliveryWorker:
        outbox = Outbox(self._store, target.name, self._public_url)
        return DeliveryWorker(outbox, target, self.on_settled, self.clock)

    def _test_message(self, rule: AlertRule, target: str) -> Message:
        event, thumbnail = self._example()
        if event is None:
            camera = rule.cameras[0] if rule.cameras else "test"
            event = StoredEvent(
                id=0, uid="", time=time.time(), kind="appeared", camera=camera, area="",
                direction="", track_id=0, class_name="", dwell_s=0, index=0, pts_s=0,
                xyxy=NOWHERE, clip=False,
            )  # fmt: skip
        event = event.model_copy(update={"uid": new_uid()})
        outbox = Outbox(self._store, target, self._public_url)
        return outbox.message(event, f"{ABOUT}{rule.name}", thumbnail, is_test=True)

    def _example(self) -> tuple[StoredEvent | None, str | None]:
        """Return the first event and the thumbnail of the newest visit, if there is one.

        Of the newest with a picture, where one of the last 20 has one.
        """
        with suppress(StoreError):  # a test of the channels works without it
            newest = self._store.visits(EventQuery(limit=20))
            newest.sort(key=lambda visit: visit.thumbnail is None)
            for visit in newest[:1]:
                path = self._store.thumbnail_path(visit.id)
                folder = self._store.clips_folder.resolve()
                below = None if path is None else path.relative_to(folder).as_posix()
                return self._store.get(visit.event_id or 0), below
        return None, None


def make_channels(options: AlertOptions, store: EventStore) -> Channels:
    """Return the targets of the channels, not started; raises ConfigError."""
    targets: dict[str, Target] = {}
    hooks: dict[str, str] = {}
    for number, hook in enumerate(options.webhooks):
        target = Webhook(hook, f"alerts.webhooks.{number}", HOOK_KIND)
        if target.name in targets:
            raise ConfigError("alerts.webhooks: two have the same name or address; name each")
        targets[target.name] = target
        hooks[target.name] = f"{WEBHOOK}:{hook.name}"
    if options.email is not None:
        targets[EMAIL] = Mail(options.email, "alerts.email")
    if options.web_push is not None:
        targets[WEB_PUSH] = WebPush(options.web_push, store)
    rules = [Rule(rule, _targets_of(rule, hooks)) for rule in options.rules]
    return Channels(options, targets, tuple(rules))


def alert_targets(options: AlertOptions, store: EventStore) -> list[str]:
    """Return the names of the targets used by alerts alone; raises ConfigError."""
    return list(make_channels(options, store).targets)


def _targets_of(rule: AlertRule, hooks: Mapping[str, str]) -> tuple[str, ...]:
    """Return the targets of a rule's channels; `hooks` are {target: channel} of the webhooks."""
    found = list[str]()
    for channel in rule.channels:
        if channel in (MQTT, EMAIL, WEB_PUSH):
            found.append(channel)
        else:
            found += [name for name, own in hooks.items() if channel in (WEBHOOK, own)]
    return tuple(dict.fromkeys(found))


def _is_same(name: str, before: AlertOptions, after: AlertOptions) -> bool:
    """Return whether a target's options have not changed."""
    if name == EMAIL:
        return before.email == after.email
    if name == WEB_PUSH:
        return before.web_push == after.web_push
    return before.webhooks == after.webhooks


def _wait(answer: Future[Outcome], until: float) -> Outcome:
    try:
        return answer.result(max(0.0, until - time.monotonic()))
    except FutureTimeoutError:
        if answer.cancel():  # otherwise it would be sent later, when the test is over
            return Outcome("again", "still busy with an earlier message")
        return Outcome("again", "no answer within the time of a test")
