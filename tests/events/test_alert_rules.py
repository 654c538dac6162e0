"""Rules of alerts as tables: which event, at which time, so soon after which other alert."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipeline.config.alerts import alert_options
from pipeline.config.build import effective
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.config.secrets import Secrets
from pipeline.core.errors import ConfigError
from pipeline.core.options import validated
from pipeline.events.alerts.options import AlertOptions, AlertRule
from pipeline.events.alerts.rules import fits, is_in_force, is_too_soon
from pipeline.events.store.records import EventRecord


def rule(**options: Any) -> AlertRule:
    return AlertRule.model_validate({"name": "r", "channels": ["mqtt"], **options})


def event(**values: Any) -> EventRecord:
    usual = {
        "time": 1e9, "kind": "enter", "camera": "gate", "area": "lawn", "track_id": 1,
        "class_name": "person",
    }  # fmt: skip
    return EventRecord(**{**usual, **values})


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [
        ({}, {}, True),
        ({"enabled": False}, {}, False),
        ({"cameras": ["gate", "yard"]}, {}, True),
        ({"cameras": ["yard"]}, {}, False),
        ({"zones": ["lawn"]}, {}, True),
        ({"zones": ["lawn"]}, {"area": "", "kind": "appeared"}, False),
        ({"zones": ["door"]}, {}, False),
        ({"kinds": ["leave"]}, {}, False),
        ({"kinds": ["leave"]}, {"kind": "leave"}, True),
        ({}, {"kind": "lost", "track_id": 0, "class_name": "", "area": ""}, False),
        ({"kinds": ["lost"]}, {"kind": "lost", "track_id": 0, "class_name": ""}, True),
        ({"classes": ["car"]}, {}, False),
        ({"classes": ["car", "person"]}, {}, True),
        ({"min_dwell_s": 10}, {"kind": "dwell", "dwell_s": 9.9}, False),
        ({"min_dwell_s": 10}, {"kind": "dwell", "dwell_s": 10}, True),
        ({"min_dwell_s": 10}, {}, False),
        ({"min_score": 0.6}, {"score": 0.59}, False),
        ({"min_score": 0.6}, {"score": 0.6}, True),
        ({"min_score": 0.6, "kinds": ["lost"]}, {"kind": "lost", "score": None}, True),
    ],
)
def test_an_event_that_a_rule_is_about(
    options: dict[str, Any], values: dict[str, Any], *, expected: bool
) -> None:
    assert fits(rule(**options), event(**values)) is expected


@pytest.mark.parametrize(("visit_s", "expected"), [(29.9, False), (30.0, True)])
def test_a_visit_must_have_lasted(visit_s: float, *, expected: bool) -> None:
    assert fits(rule(min_visit_s=30), event(), visit_s) is expected


NIGHT = {"days": ["mon"], "hours": "22:00-06:00"}
DAY = {"days": ["mon", "tue"], "hours": "08:00-18:30"}


@pytest.mark.parametrize(
    ("schedule", "local", "expected"),
    [  # 2026-02-02 is a Monday
        ([], "2026-02-02 03:00", True),
        ([DAY], "2026-02-02 07:59", False),
        ([DAY], "2026-02-02 08:00", True),
        ([DAY], "2026-02-03 18:29", True),
        ([DAY], "2026-02-03 18:30", False),
        ([DAY], "2026-02-04 12:00", False),
        ([NIGHT], "2026-02-02 21:59", False),
        ([NIGHT], "2026-02-02 23:00", True),
        ([NIGHT], "2026-02-03 05:59", True),
        ([NIGHT], "2026-02-03 06:00", False),
        ([NIGHT], "2026-02-03 23:00", False),
        ([NIGHT], "2026-02-02 05:00", False),
        ([DAY, NIGHT], "2026-02-02 23:00", True),
        ([{"hours": "00:00-24:00"}], "2026-02-08 23:59", True),
        ([{"days": ["sun"], "hours": "23:00-1:00"}], "2026-02-09 00:30", True),
        # An hour that is skipped or there twice, when clocks change.
        ([{"hours": "02:30-04:00"}], "2026-03-29 03:30", True),
        ([{"hours": "02:00-03:00"}], "2026-10-25 02:30", True),
    ],
)
def test_a_schedule_holds(schedule: list[Any], local: str, *, expected: bool) -> None:
    zone = "Europe/Berlin"
    at = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).timestamp()
    assert is_in_force(rule(schedule=schedule, time_zone=zone), at) is expected


def test_a_schedule_is_of_its_time_zone() -> None:
    at = datetime(2026, 2, 2, 23, 30, tzinfo=ZoneInfo("UTC")).timestamp()
    early = [{"days": ["tue"], "hours": "08:00-09:00"}]
    assert is_in_force(rule(schedule=early, time_zone="Asia/Tokyo"), at)
    assert not is_in_force(rule(schedule=early, time_zone="UTC"), at)


@pytest.mark.parametrize(
    ("not_again_s", "since_last", "expected"),
    [
        (300, None, False), (300, 0.0, True), (300, 299.9, True), (300, 300.0, False),
        (0, 0.0, False), (300, -2.0, True), (300, -3600.0, False),
    ],
)  # fmt: skip
def test_not_again(not_again_s: float, since_last: float | None, *, expected: bool) -> None:
    last = None if since_last is None else 1e9 - since_last
    assert is_too_soon(rule(not_again_s=not_again_s), 1e9, last) is expected


MAIL = {"host": "m", "sender": "a@b", "to": ["c@d"]}
RULE = {"name": "r", "channels": ["email"]}


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"rules": [RULE]}, r"channel 'email' is not configured \(configured: mqtt\)$"),
        ({"rules": [RULE, RULE], "email": MAIL}, "'r' is there twice"),
        ({"rules": [{**RULE, "chanels": []}], "email": MAIL}, "unknown key 'chanels'"),
        ({"rules": [{**RULE, "channels": []}]}, "at least 1"),
        ({"rules": [{**RULE, "time_zone": "Mars/Crater"}], "email": MAIL}, "tz database"),
        ({"rules": [{**RULE, "time_zone": "/etc/passwd"}], "email": MAIL}, "tz database"),
        ({"rules": [{**RULE, "schedule": [{"hours": "22-6"}]}], "email": MAIL}, "HH:MM"),
        ({"rules": [{**RULE, "schedule": [{"hours": "6:00-6:00"}]}], "email": MAIL}, "different"),
        ({"rules": [{**RULE, "schedule": [{"days": ["mo"]}]}], "email": MAIL}, "'mon'"),
        ({"email": {**MAIL, "to": ["c@d\nBcc: e@f"]}}, "want addresses"),
        ({"email": {**MAIL, "sender": "a@b\n"}}, "matches"),
        ({"email": {**MAIL, "to": []}}, "at least 1"),
        ({"email": {**MAIL, "password": "p"}}, "does nothing without username"),
        ({"email": {**MAIL, "security": "none", "username": "u", "password": "p"}}, "readable"),
        ({"web_push": {"contact": "me"}}, "matches"),
    ],
)
def test_a_section_that_cannot_be_is_refused(section: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^alerts.*{reason}"):
        validated(AlertOptions, section, "alerts")


SECRETS = {
    "HOOK": "https://h/hunter2", "PASSWORD": "hunter2", "ME": "me@example.org", "KEY": "hunter2",
}  # fmt: skip


@pytest.mark.slow
def test_secrets_of_alerts_are_filled_in_and_never_shown() -> None:
    section = {
        "email": {**MAIL, "to": ["${ME}"], "username": "u", "password": "${PASSWORD}"},
        "webhooks": [
            {"url": "${HOOK}", "name": "h", "secret": "${KEY}"},
            {"url": "https://hunter2@h/"},
        ],
        "rules": [RULE],
    }
    config = validated(Config, {"alerts": section}, "", context=Secrets(SECRETS))
    filled = alert_options(config)
    assert filled.email is not None
    assert (filled.email.password, filled.email.to) == ("hunter2", ("me@example.org",))
    assert filled.webhooks[0].url == "https://h/hunter2"
    assert "hunter2" not in json.dumps(effective(resolve_config(config)))
    assert "hunter2" not in repr(config)
    for wrong in ("no address", "a@b\nBcc: c@d", "a@b\n"):
        bad = validated(Config, {"alerts": section}, "", context=Secrets({**SECRETS, "ME": wrong}))
        with pytest.raises(ConfigError, match=r"alerts\.email\.to: want addresses"):
            alert_options(bad)
    with pytest.raises(ConfigError, match=r"alerts: '\$\{PASSWORD\}': not in the environment"):
        alert_options(validated(Config, {"alerts": section}, "", context=Secrets({})))
