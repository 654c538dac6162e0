"""Alerter: stores events and, in the same transaction, the alerts that they cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from pipeline.events.alerts.counts import SUPPRESSED, AlertCount, AlertCounts
from pipeline.events.alerts.options import AlertRule
from pipeline.events.alerts.rules import fits, is_too_soon
from pipeline.events.store.alert_rows import add_alert, has_alerted, last_alert_s, visit_length
from pipeline.events.store.records import EventRecord
from pipeline.events.store.store import EventStore

PICTURE_WAIT_S = 4.0
"""Maximum wait of an alert for its thumbnail, which normally exists within a moment."""


class Rule(NamedTuple):
    """A rule, and the delivery targets of its channels."""

    options: AlertRule
    targets: tuple[str, ...]


class Alerter:
    """Decides on alerts as events are stored; its rules may be replaced at any time.

    The time of a rule's last alert is read from the database, so that a restart changes nothing.
    `now` is the clock of the outbox. Alerts wait for thumbnails if `has_pictures`.
    """

    def __init__(self, store: EventStore, now: Callable[[], float], *, has_pictures: bool) -> None:
        self._store = store
        self._now = now
        self._has_pictures = has_pictures
        self.counts = AlertCounts()
        self._rules: tuple[Rule, ...] = ()

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Replace the rules; events stored from now on are decided by the new ones."""
        self._rules = tuple(rules)

    def add(self, records: Sequence[EventRecord]) -> None:
        """Store events with the alerts that they cause; raises StoreError."""
        rules = self._rules
        suppressed = list[str]()

        def decide(
            connection: sa.Connection, new: Sequence[EventRecord], ids: Mapping[str, int]
        ) -> None:
            suppressed.clear()
            for event in sorted(new, key=lambda one: one.time):
                for rule in rules:
                    if self._is_suppressed(connection, rule, event, ids[event.uid]):
                        suppressed.append(rule.options.name)

        self._store.add(records, decide if rules else None)
        for name in suppressed:
            self.counts.add(AlertCount(name, "", SUPPRESSED))

    def _is_suppressed(
        self, connection: sa.Connection, rule: Rule, event: EventRecord, event_id: int
    ) -> bool:
        """Store the alert that an event causes; return whether it comes too soon after another."""
        options = rule.options
        if not fits(options, event, float("inf")):
            return False
        visit_id, visit_s = visit_length(connection, event_id)
        if not fits(options, event, visit_s):
            return False
        last = last_alert_s(
            connection, options.name, event.camera if options.per == "camera" else None
        )
        once = visit_id is not None and not options.every_event and event.track_id > 0
        if is_too_soon(options, event.time, last) or (
            once and has_alerted(connection, options.name, visit_id or 0)
        ):
            return True
        waits = self._has_pictures and event.track_id > 0
        due = self._now() + PICTURE_WAIT_S if waits else 0.0
        add_alert(connection, options.name, event, (event_id, visit_id), rule.targets, due)
        return False
