"""Decides whether an event causes an alert: pure functions of a rule, the event and times."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.events.alerts.options import DAYS, AlertRule, Schedule
from pipeline.events.store.records import EventRecord

CAMERA_KINDS = ("lost", "live")
MAX_LATE_S = 60.0
"""Maximum delay between an event and its storage for which `not_again_s` still applies."""


def fits(rule: AlertRule, event: EventRecord, visit_s: float = 0.0) -> bool:
    """Return whether an event matches a rule, at a time at which the rule is active.

    `visit_s` is how long the visit had lasted when it happened, in seconds.
    """
    is_kind = event.kind in rule.kinds if rule.kinds else event.kind not in CAMERA_KINDS
    return (
        rule.enabled
        and is_kind
        and (not rule.cameras or event.camera in rule.cameras)
        and (not rule.zones or event.area in rule.zones)
        and (not rule.classes or event.class_name in rule.classes)
        and (event.score is None or event.score >= rule.min_score)
        and event.dwell_s >= rule.min_dwell_s
        and visit_s >= rule.min_visit_s
        and is_in_force(rule, event.time)
    )


def is_in_force(rule: AlertRule, unix_s: float) -> bool:
    """Return whether a rule's schedule matches a time in Unix seconds."""
    if not rule.schedule:
        return True
    local = local_time(rule, unix_s)
    return any(_holds(one, local) for one in rule.schedule)


def local_time(rule: AlertRule, unix_s: float) -> datetime:
    """Return a time in the rule's time zone."""
    zone = ZoneInfo(rule.time_zone) if rule.time_zone else None
    return datetime.fromtimestamp(unix_s, zone).astimezone(zone)


def is_too_soon(rule: AlertRule, event_s: float, last_s: float | None) -> bool:
    """Return whether an event comes within `not_again_s` of the rule's last alert.

    Both in Unix seconds. If the clock was set back in the meantime, the last alert lies in the
    future and is ignored.
    """
    if last_s is None or rule.not_again_s <= 0:
        return False
    return -min(rule.not_again_s, MAX_LATE_S) <= event_s - last_s < rule.not_again_s


def _holds(schedule: Schedule, local: datetime) -> bool:
    """Return whether the hours contain a local time; days are those on which the hours begin."""
    begin, end = schedule.minutes
    minute = local.hour * 60 + local.minute
    if begin < end:
        return begin <= minute < end and _is_on(schedule, local)
    if minute >= begin:
        return _is_on(schedule, local)
    return minute < end and _is_on(schedule, local - timedelta(days=1))


def _is_on(schedule: Schedule, local: datetime) -> bool:
    return not schedule.days or DAYS[local.weekday()] in schedule.days
