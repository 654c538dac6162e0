"""AlertDesk: a run's alerts for the page: rules with their state, tests, subscribed browsers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.events.alerts.counts import SUPPRESSED, AlertCount
from pipeline.events.alerts.options import AlertRule
from pipeline.events.alerts.rules import is_in_force
from pipeline.events.store.alert_rows import StoredAlert

if TYPE_CHECKING:
    from pipeline.events.alerts.service import AlertService

NEWEST = 50
MAX_LABEL = 100


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ScheduleState(_Answer):
    """Hours and days as configured."""

    days: list[str]
    hours: str


class AlertRuleState(_Answer):
    """A rule as configured, whether it is active now, and its latest alerts."""

    name: str
    enabled: bool
    in_force: bool
    """Whether it is enabled and its schedule matches now."""
    cameras: list[str]
    zones: list[str]
    kinds: list[str]
    classes: list[str]
    min_score: float
    min_dwell_s: float
    min_visit_s: float
    schedule: list[ScheduleState]
    time_zone: str
    not_again_s: float
    per: Literal["camera", "rule"]
    channels: list[str]
    """Names of the targets it is sent to."""
    last: StoredAlert | None
    """Its newest stored alert."""
    suppressed: int
    """Events since the start that came too soon after an alert."""


class PushState(_Answer):
    """What a browser needs to subscribe, and the number of subscribed browsers."""

    key: str
    """The server's public key (VAPID), base64url."""
    browsers: int


class Alerts(_Answer):
    """The rules of alerts in the file's order, and the newest alerts, the newest first."""

    rules: list[AlertRuleState]
    alerts: list[StoredAlert]
    push: PushState | None
    """null if browser notifications are not configured."""


class ChannelResult(_Answer):
    """Outcome of a test at one target; `problem` is null if it was accepted."""

    channel: str
    problem: str | None


class AlertTest(_Answer):
    """Outcome of a test at each target of a rule."""

    results: list[ChannelResult]


class PushKeys(BaseModel):
    """The two keys of a browser's subscription, base64url."""

    model_config = ConfigDict(frozen=True)

    p256dh: str = Field(min_length=1, max_length=200)
    auth: str = Field(min_length=1, max_length=100)


class PushSubscription(BaseModel):
    """A subscription in the form of a browser's `PushSubscription.toJSON()`."""

    model_config = ConfigDict(frozen=True)

    endpoint: str = Field(min_length=1, max_length=1000)
    keys: PushKeys


class PushEndpoint(BaseModel):
    """The address of a browser's push service."""

    model_config = ConfigDict(frozen=True)

    endpoint: str = Field(min_length=1, max_length=1000)


class AlertDesk:
    """Answers about alerts; `service` returns those of the run, None if nothing sends any.

    Methods read from a database and may take a while. They raise StoreError.
    """

    def __init__(self, service: Callable[[], AlertService | None]) -> None:
        self._service = service

    def overview(self) -> Alerts:
        """Return rules, newest alerts, and what browsers need to subscribe."""
        service = self._service()
        if service is None:
            return Alerts(rules=[], alerts=[], push=None)
        return Alerts(
            rules=[_rule(service, one) for one in service.options.rules],
            alerts=service.newest(NEWEST),
            push=_push(service),
        )

    def test(self, rule: str) -> AlertTest | None:
        """Send a test of a rule and wait; None if there is no such rule."""
        service = self._service()
        outcomes = None if service is None else service.test(rule)
        if outcomes is None:
            return None
        results = [
            ChannelResult(
                channel=name,
                problem=None if one.kind == "delivered" else one.problem or "not sent",
            )
            for name, one in outcomes.items()
        ]
        return AlertTest(results=results)

    def subscribe(self, wanted: PushSubscription, label: str) -> bool:
        """Store a browser's subscription; raises ValueError for an invalid one.

        Return False if browser notifications are not configured.
        """
        service = self._service()
        push = None if service is None else service.web_push()
        if push is None:
            return False
        push.subscribe(wanted.endpoint, wanted.keys.p256dh, wanted.keys.auth, label[:MAX_LABEL])
        return True

    def unsubscribe(self, endpoint: str) -> bool:
        """Forget a browser; return whether it was known."""
        service = self._service()
        push = None if service is None else service.web_push()
        return push is not None and push.unsubscribe(endpoint)


def _rule(service: AlertService, rule: AlertRule) -> AlertRuleState:
    newest = service.newest(1, rule.name)
    suppressed = service.counts().get(AlertCount(rule.name, "", SUPPRESSED), 0)
    return AlertRuleState(
        name=rule.name,
        enabled=rule.enabled,
        in_force=rule.enabled and is_in_force(rule, time.time()),
        cameras=list(rule.cameras),
        zones=list(rule.zones),
        kinds=list(rule.kinds),
        classes=list(rule.classes),
        min_score=rule.min_score,
        min_dwell_s=rule.min_dwell_s,
        min_visit_s=rule.min_visit_s,
        schedule=[ScheduleState(days=list(one.days), hours=one.hours) for one in rule.schedule],
        time_zone=rule.time_zone,
        not_again_s=rule.not_again_s,
        per=rule.per,
        channels=list(service.targets_of(rule.name)),
        last=newest[0] if newest else None,
        suppressed=suppressed,
    )


def _push(service: AlertService) -> PushState | None:
    push = service.web_push()
    return None if push is None else PushState(key=push.public_key(), browsers=push.browsers())
