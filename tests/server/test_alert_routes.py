"""REST of alerts: rules with their state, tests, browsers that get notifications."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("http_ece")
pytest.importorskip("py_vapid")

from starlette.testclient import TestClient
from support.event_servers import Hook, eventually, webhook
from support.fake_backend import ALERTS, ServerParts

from pipeline.events.alerts.options import AlertOptions
from pipeline.events.store.records import EventRecord
from pipeline.server.routes.alerts import MAX_TESTS

SUBSCRIPTIONS = "/api/push/subscriptions"
# A point of P-256 (that of RFC 8291's example) and 16 bytes.
KEYS = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORc"
    "xaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}  # fmt: skip
BROWSER = {"endpoint": "https://push.example.org/1", "expirationTime": None, "keys": KEYS}


def test_rules_are_shown_with_what_became_of_them(made: ServerParts, client: TestClient) -> None:
    then = 1e9
    some = [
        EventRecord(time=at, kind="enter", camera="yard", area="lawn", class_name="person")
        for at in (then, then + 1)
    ]
    always = ALERTS.rules[0].model_copy(update={"schedule": (), "per": "rule", "name": "always"})
    made.alerts.use(ALERTS.model_copy(update={"rules": (*ALERTS.rules, always)}))
    made.alerts.add(some)
    answer = client.get("/api/alerts").json()
    night, shown = answer["rules"]
    assert night["channels"] == ["alert-webhook:house", "web_push"]
    assert night["schedule"] == [{"days": ["mon"], "hours": "22:00-06:00"}]
    assert (shown["in_force"], shown["suppressed"]) == (True, 1)
    assert shown["last"] == answer["alerts"][0]
    assert (shown["last"]["area"], shown["last"]["class_name"]) == ("lawn", "person")
    assert answer["push"]["browsers"] == 0
    assert "127.0.0.1:9" not in str(answer), "an address may be as good as a key"


def test_alerts_are_in_the_metrics(client: TestClient) -> None:
    line = 'trackline_alerts_total{channel="email",outcome="delivered",rule="Yard at night"} 3.0'
    assert line in client.get("/metrics").text.splitlines()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as running:
        yield running


def test_a_test_says_what_became_of_it(made: ServerParts, client: TestClient, hook: Hook) -> None:
    tree: dict[str, Any] = {
        "webhooks": [{"url": hook.url, "name": "house"}],
        "web_push": {"contact": "mailto:me@example.org"},
        "rules": [{"name": "Tür & Tor", "channels": ["webhook", "web_push"]}],
    }
    failures: list[BaseException] = []
    made.alerts.start(failures.append, None)
    made.alerts.use(AlertOptions.model_validate(tree))
    try:
        answer = client.post("/api/alerts/T%C3%BCr%20%26%20Tor/test")
    finally:
        made.alerts.end(0.1)
        made.alerts.join()
    assert failures == []
    assert answer.json()["results"] == [
        {"channel": "alert-webhook:house", "problem": None},
        {"channel": "web_push", "problem": "no browser has switched notifications on"},
    ]
    assert len(hook.requests) == 1


def test_tests_that_wait_do_not_take_all_threads_of_the_server(
    made: ServerParts, client: TestClient, hook: Hook
) -> None:
    """Forty tests against a dead web server held every thread that answers requests."""
    hook.answers += ["hang"] * MAX_TESTS
    tree = {
        "webhooks": [{"url": hook.url}],
        "rules": [{"name": "Yard", "channels": ["webhook"]}],
    }
    made.alerts.start(lambda error: None, None)
    made.alerts.use(AlertOptions.model_validate(tree))

    def ask() -> int:
        return client.post("/api/alerts/Yard/test").status_code

    try:
        with ThreadPoolExecutor(MAX_TESTS + 1) as pool:
            asked = [pool.submit(ask) for _ in range(MAX_TESTS + 1)]
            eventually(lambda: any(one.done() for one in asked), "a refusal")
            hook.released.set()
            assert sorted(one.result() for one in asked) == [200] * MAX_TESTS + [429]
        assert ask() == 200
    finally:
        hook.released.set()
        made.alerts.end(0.1)
        made.alerts.join()


def test_a_test_of_no_rule_is_404(client: TestClient) -> None:
    assert client.post("/api/alerts/none/test").status_code == 404


def test_a_browser_subscribes_and_leaves(made: ServerParts, client: TestClient) -> None:
    for _ in range(2):
        assert client.post(SUBSCRIPTIONS, json=BROWSER).status_code == 204
    assert client.get("/api/alerts").json()["push"]["browsers"] == 1
    gone = {"endpoint": BROWSER["endpoint"]}
    codes = [client.request("DELETE", SUBSCRIPTIONS, json=gone).status_code for _ in range(2)]
    assert codes == [204, 404]


def test_a_subscription_that_cannot_be_is_refused(client: TestClient) -> None:
    changes: list[dict[str, Any]] = [
        {"endpoint": "http://push.example.org/1"},
        {"endpoint": "https://192.168.1.1/1"},
        {"endpoint": "https://localhost@10.0.0.1/"},
        {"endpoint": "file:///etc/passwd"},
        {"keys": {**KEYS, "auth": "AAAA"}},
        {"keys": {**KEYS, "p256dh": "B" + "A" * 86}},
        {"keys": {"auth": KEYS["auth"]}},
    ]
    for change in changes:
        answer = client.post(SUBSCRIPTIONS, json={**BROWSER, **change})
        assert answer.status_code == 422, change
        assert "\n" not in answer.json()["detail"]
    assert client.get("/api/alerts").json()["push"]["browsers"] == 0


def test_where_nothing_is_configured_there_is_nothing(
    made: ServerParts, client: TestClient
) -> None:
    made.alerts.use(AlertOptions())
    assert client.get("/api/alerts").json() == {"rules": [], "alerts": [], "push": None}
    assert client.post(SUBSCRIPTIONS, json=BROWSER).status_code == 404


def test_only_those_who_signed_in_see_alerts_and_subscribe(made: ServerParts) -> None:
    with TestClient(made.app, base_url="http://127.0.0.1:8642") as stranger:
        assert stranger.get("/api/alerts").status_code == 401
        assert stranger.post(SUBSCRIPTIONS, json=BROWSER).status_code == 401
        assert stranger.post("/api/alerts/x/test").status_code == 401
