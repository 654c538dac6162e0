"""Alerts through the sink `events`: decided as events are kept, delivered to real servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.event_results import event, result, run_info
from support.event_servers import Hook, broker, eventually, free_port, webhook
from support.mqtt_listener import listening

from pipeline.core.data import Event
from pipeline.core.errors import ConfigError
from pipeline.events.alerts.options import AlertOptions
from pipeline.events.delivery.outbox import Outbox
from pipeline.sinks import events as plugin

HOOK = "alert-webhook:house"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as running:
        yield running


def options(url: str, *rules: dict[str, Any], **more: Any) -> AlertOptions:
    complete = [{"name": "yard", "channels": ["webhook"], **rule} for rule in rules or ({},)]
    hooks = [{"url": url, "name": "house"}]
    return AlertOptions.model_validate({"webhooks": hooks, "rules": complete, **more})


@contextmanager
def running(
    output: Path, alerts: AlertOptions, **values: Any
) -> Iterator[tuple[plugin.EventsSink, Any]]:
    """The sink, and its alerts."""
    usual = {"clips": False, "public_url": "https://cams.example.org", **values}
    sink = plugin.build(plugin.Options(**usual))  # type: ignore[arg-type]
    sink.set_alerts(alerts)
    sink.open(run_info(output, "gate"))
    try:
        yield sink, sink.alerts
    finally:
        sink.close()


def write(sink: plugin.EventsSink, *events: Event) -> None:
    for one in events:
        sink.write(result(one.index, one))


def kept(sink: plugin.EventsSink, count: int) -> None:
    store = sink.store
    assert store is not None
    eventually(lambda: len(store.query()) == count, f"{count} events")


def told(hook: Hook, count: int) -> Sequence[dict[str, Any]]:
    eventually(lambda: len(hook.requests) >= count, f"{count} requests")
    return [json.loads(body) for _, body in hook.requests]


def test_an_alert_says_what_happened_and_where_to_look(tmp_path: Path, hook: Hook) -> None:
    with running(tmp_path, options(hook.url)) as (sink, alerts):
        write(sink, event(0))
        (one,) = told(hook, 1)
        eventually(lambda: alerts.counts(), "counted")
        assert alerts.counts() == {("yard", HOOK, "delivered"): 1}
        assert [(each.rule, each.kind, each.area) for each in alerts.newest(5)] == [
            ("yard", "enter", "lawn")
        ]
    assert (one["type"], one["rule"], one["test"]) == ("alert", "yard", False)
    assert one["text"].startswith("person entered lawn, camera gate, ")
    assert one["visit_url"] == f"https://cams.example.org/#visit/{one['visit']}"
    assert one["uid"] == hook.requests[0][0]["webhook-id"]


@pytest.mark.parametrize(
    ("rule", "alerted", "suppressed"),
    [
        ({}, [1], 4),
        ({"not_again_s": 0}, [1, 2, 4], 2),
        ({"not_again_s": 0, "every_event": True}, [1, 1, 2, 2, 4], 0),
        ({"not_again_s": 2}, [1, 4], 3),
        ({"not_again_s": 0, "kinds": ["dwell"], "min_dwell_s": 3}, [2], 0),
        ({"not_again_s": 0, "min_visit_s": 0.15}, [2], 0),
    ],
)
def test_which_visits_alert_and_which_are_too_soon(
    tmp_path: Path, hook: Hook, rule: dict[str, Any], alerted: list[int], suppressed: int
) -> None:
    """Three visits; the first two at once, the third 4 s later."""
    happened = [
        event(0, track_id=1), event(1, "dwell", track_id=1, dwell_s=2.0),
        event(2, track_id=2), event(4, "dwell", track_id=2, dwell_s=3.0), event(40, track_id=4),
    ]  # fmt: skip
    with running(tmp_path, options(hook.url, rule)) as (sink, alerts):
        write(sink, *happened)
        kept(sink, 5)
        assert [one["track_id"] for one in told(hook, len(alerted))] == alerted
        assert alerts.counts().get(("yard", "", "suppressed"), 0) == suppressed


def test_a_rule_counts_for_each_camera_or_for_all(tmp_path: Path, hook: Hook) -> None:
    rules = {"name": "each"}, {"name": "all", "per": "rule"}
    with running(tmp_path, options(hook.url, *rules)) as (sink, _):
        write(sink, event(0), event(1, source="door", track_id=2))
        kept(sink, 2)
        found = {(one["rule"], one["camera"]) for one in told(hook, 3)}
    assert found == {("each", "gate"), ("each", "door"), ("all", "gate")}


@pytest.mark.slow
def test_a_restart_delivers_what_waits_and_remembers_the_last_alert(tmp_path: Path) -> None:
    """A power cut at night brought an alert a minute, as each start began anew."""
    port = free_port()
    alerts = options(f"http://127.0.0.1:{port}/hook")
    with running(tmp_path, alerts) as (sink, _):
        write(sink, event(0))
        kept(sink, 1)
    with webhook(port) as hook, running(tmp_path, alerts) as (sink, again):
        write(sink, event(5, track_id=7))
        kept(sink, 2)
        (one,) = told(hook, 1)
        assert one["track_id"] == 1
        assert again.counts()["yard", "", "suppressed"] == 1


@pytest.mark.slow
def test_rules_and_channels_change_while_it_runs(tmp_path: Path, hook: Hook) -> None:
    away = options(f"http://127.0.0.1:{free_port()}/hook")
    with running(tmp_path, away) as (sink, service), webhook() as other:
        store = sink.store
        assert store is not None
        write(sink, event(0))
        kept(sink, 1)
        changed = AlertOptions.model_validate(
            {
                "webhooks": [{"url": hook.url, "name": "a"}, {"url": other.url, "name": "b"}],
                "rules": [{"name": "new", "channels": ["webhook:b"], "not_again_s": 0}],
            }
        )
        sink.set_alerts(changed)
        write(sink, event(1, track_id=2))
        (one,) = told(other, 1)
        assert (one["rule"], one["track_id"]) == ("new", 2)
        assert hook.requests == []
        eventually(lambda: Outbox(store, HOOK).states() == {"failed": 1}, "given up")
        failed = ("yard", HOOK, "failed")  # they vanished from the counts of /metrics
        eventually(lambda: service.counts().get(failed) == 1, "counted")
        bad = options("ftp://nowhere/")
        with pytest.raises(ConfigError, match="want http"):
            sink.set_alerts(bad)
        write(sink, event(2, track_id=3))
        assert told(other, 2)[1]["track_id"] == 3, "what was in force stays"


def test_a_test_goes_to_every_channel_and_says_what_became_of_it(
    tmp_path: Path, hook: Hook
) -> None:
    hooks = [{"url": hook.url, "name": "a"}, {"url": f"http://127.0.0.1:{free_port()}"}]
    rule = {"name": "yard", "channels": ["webhook"], "cameras": ["gate"]}
    alerts = AlertOptions.model_validate({"webhooks": hooks, "rules": [rule]})
    with running(tmp_path, alerts) as (_, service):
        outcomes = service.test("yard")
        assert service.test("other") is None
    assert [one.kind for one in outcomes.values()] == ["delivered", "again"]
    assert "refused" in [*outcomes.values()][1].problem.lower()
    (one,) = told(hook, 1)
    assert (one["test"], one["rule"], one["camera"]) == (True, "yard", "gate")


@pytest.mark.slow
def test_an_alert_waits_for_its_thumbnail_a_moment(tmp_path: Path, hook: Hook) -> None:
    with running(tmp_path, options(hook.url), clips=True, after_s=60) as (sink, _):
        for index in range(8):
            sink.write(result(index, *([event(index)] if index == 5 else [])))
        (one,) = told(hook, 1)
    assert base64.b64decode(one["thumbnail"]).startswith(b"\xff\xd8")
    assert one["thumbnail_url"].endswith(f"/api/visits/{one['visit']}/thumbnail.jpg")


@pytest.mark.slow
def test_alerts_go_to_the_broker_of_events(tmp_path: Path) -> None:
    alerts = AlertOptions.model_validate({"rules": [{"name": "yard", "channels": ["mqtt"]}]})
    with pytest.raises(ConfigError, match="wants a broker"), running(tmp_path, alerts):
        pass
    with broker(tmp_path) as started, listening(started.port) as listener:
        mqtt = {"host": "127.0.0.1", "port": started.port}
        with running(tmp_path, alerts, mqtt=mqtt) as (sink, service):
            write(sink, event(0), event(1, track_id=2))
            eventually(lambda: len(listener.on("trackline/gate/event")) == 2, "events")
            eventually(lambda: listener.on("trackline/gate/alert"), "the alert")
            eventually(lambda: len(service.counts()) == 2, "counted")
            assert service.counts()["yard", "mqtt", "delivered"] == 1
            assert [one.kind for one in service.test("yard").values()] == ["delivered"]
            eventually(lambda: len(listener.on("trackline/gate/alert")) == 2, "the test")
        first, test = listener.on("trackline/gate/alert")
    assert (first["rule"], first["track_id"], first["test"]) == ("yard", 1, False)
    assert test["test"]
