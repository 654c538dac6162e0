"""Alerts to browsers: a push service on loopback, and a browser that reads what it passes on."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("http_ece")
pytest.importorskip("py_vapid")

import http_ece
import py_vapid
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.event_results import event, result, run_info
from support.event_servers import Hook, eventually, webhook

from pipeline.core.errors import ConfigError
from pipeline.core.options import validated
from pipeline.events.alerts.options import AlertOptions, WebPushOptions
from pipeline.events.delivery.outbox import Message
from pipeline.events.delivery.web_push import WebPush, checked_endpoint, checked_keys
from pipeline.events.store import subscriptions
from pipeline.events.store.records import StoredEvent
from pipeline.events.store.store import EventStore
from pipeline.events.store.subscriptions import (
    add_subscription,
    all_subscriptions,
    remove_subscription,
)
from pipeline.sinks import events as plugin


class Browser:
    """What a browser has for itself of a subscription, and the two keys that it gives away."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._secret = os.urandom(16)
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.p256dh, self.auth = _text(point), _text(self._secret)

    def read(self, body: bytes) -> dict[str, Any]:
        plain = http_ece.decrypt(
            body, private_key=self._key, auth_secret=self._secret, version="aes128gcm"
        )
        found: dict[str, Any] = json.loads(plain)
        return found


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    return EventStore(str(tmp_path / "events.db"), tmp_path / "clips")


@pytest.fixture
def service() -> Iterator[Hook]:
    with webhook() as running:
        running.usual = 201
        yield running


def target(store: EventStore, **values: Any) -> WebPush:
    usual = {"contact": "mailto:me@example.org", "private_services": True, "timeout_s": 5}
    return WebPush(WebPushOptions.model_validate({**usual, **values}), store)


def subscribe(store: EventStore, service: Hook, name: str) -> Browser:
    made = Browser()
    add_subscription(store, f"{service.url}/{name}?x=1", made.p256dh, made.auth, name)
    return made


def message(number: int = 1, **values: Any) -> Message:
    happened = StoredEvent(
        id=3, uid="a" * 32, time=1e9, kind="enter", camera="yard", area="lawn", direction="",
        track_id=1, class_name="person", dwell_s=0, index=0, pts_s=0, xyxy=(0, 0, 0, 0),
        clip=True, visit=7,
    )  # fmt: skip
    return Message(number, 1, happened, "alert:Nächtlicher Besuch", **values)


def test_only_the_browser_can_read_what_its_push_service_passes_on(
    store: EventStore, service: Hook
) -> None:
    browser = subscribe(store, service, "phone")
    push = target(store)
    assert push.send(message(thumbnail=Path("x.jpg"))).kind == "delivered"
    ((headers, body),) = service.requests
    assert b"lawn" not in body
    found = browser.read(body)
    assert (found["title"], found["visit"], found["picture"]) == ("Nächtlicher Besuch", 7, True)
    assert found["text"].startswith("person entered lawn, camera yard")
    assert headers["content-encoding"] == "aes128gcm"
    assert int(headers["ttl"]) > 0
    signed = headers["authorization"]
    assert py_vapid.Vapid02.verify(signed)
    token, key = signed.removeprefix("vapid t=").split(",k=")
    assert key == push.public_key() == target(store).public_key(), "made once"
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["aud"] == f"http://127.0.0.1:{service.port}"
    assert claims["sub"] == "mailto:me@example.org"


def test_what_failed_is_sent_again_and_nothing_twice(store: EventStore, service: Hook) -> None:
    browsers = [subscribe(store, service, name) for name in ("a", "b", "c")]
    push = target(store)
    service.answers = [201, 503, 410]
    outcome = push.send(message())
    assert (outcome.kind, outcome.problem) == ("again", "HTTP 503")
    assert [one.label for one in all_subscriptions(store)] == ["a", "b"], "the third is gone"
    assert push.send(message()).kind == "delivered"
    assert len(service.requests) == 4
    assert browsers[1].read(service.requests[3][1])["visit"] == 7
    assert push.send(message(2)).kind == "delivered"
    assert len(service.requests) == 6, "another alert goes to all"


def test_a_push_service_that_is_away_holds_up_no_other_browser(
    tmp_path: Path, service: Hook
) -> None:
    """One that asked for an hour of patience had all browsers go without alerts for that hour."""
    sink = plugin.build(plugin.Options(clips=False))
    rule = {"name": "yard", "channels": ["web_push"], "not_again_s": 0}
    web_push = {"contact": "mailto:me@example.org", "private_services": True}
    sink.set_alerts(AlertOptions.model_validate({"rules": [rule], "web_push": web_push}))
    sink.open(run_info(tmp_path, "gate"))
    try:
        assert sink.store is not None
        good = subscribe(sink.store, service, "good")
        subscribe(sink.store, service, "bad")
        service.answers = [201, (429, {"Retry-After": "3600"})]
        for number in range(2):
            sink.write(result(number, event(number, track_id=number + 1)))
        eventually(lambda: len(service.requests) == 3, "the second alert is sent")
        visits = [good.read(service.requests[at][1])["visit"] for at in (0, 2)]
        assert visits == [1, 2]
    finally:
        sink.close()


def test_a_browser_that_fails_again_and_again_is_left_alone_for_a_while(
    store: EventStore, service: Hook
) -> None:
    subscribe(store, service, "good")
    subscribe(store, service, "bad")
    push = target(store)
    service.answers = [201, 503, 503, 503]
    assert [push.send(message()).is_partial for _ in range(3)] == [True] * 3
    outcome = push.send(message(2))
    assert (outcome.kind, outcome.is_partial, outcome.problem) == ("again", True, "HTTP 503")
    assert 0 < (outcome.after_s or 0) <= 4
    assert len(service.requests) == 5, "to the good one only"


@pytest.mark.parametrize(
    ("answer", "kind", "left"),
    [(404, "refused", 0), (410, "refused", 0), (403, "refused", 1), (413, "refused", 1),
     (429, "again", 1), (500, "again", 1)],
)  # fmt: skip
def test_what_an_answer_means(
    store: EventStore, service: Hook, answer: int, kind: str, left: int
) -> None:
    subscribe(store, service, "a")
    service.usual = answer
    assert target(store).send(message()).kind == kind
    assert len(all_subscriptions(store)) == left


def test_without_a_browser_an_alert_is_refused(store: EventStore) -> None:
    assert target(store).send(message()).problem == "no browser has switched notifications on"


def test_a_subscription_leads_to_no_private_address(
    store: EventStore, service: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A viewer could have had this server post to the router, by a name that leads there."""
    browser = Browser()
    add_subscription(store, "https://rebound.example.org/x", browser.p256dh, browser.auth, "a")
    subscribe(store, service, "b")
    connected = list[object]()
    where = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443)),
             (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))]  # fmt: skip
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: where)
    monkeypatch.setattr(socket, "create_connection", lambda *where: connected.append(where))
    outcome = target(store, private_services=False).send(message())
    assert (outcome.kind, connected) == ("refused", [])
    assert "not at a public address" in outcome.problem


def test_a_push_service_at_many_addresses_takes_no_longer(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with a hundred addresses that do not answer would have held all alerts for minutes."""
    browser = Browser()
    add_subscription(store, "https://many.example.org/x", browser.p256dh, browser.auth, "a")
    tried = list[float]()

    def connect(where: object, timeout: float) -> None:
        tried.append(timeout)
        time.sleep(timeout)
        raise TimeoutError

    where = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"93.184.216.{k}", 443))
             for k in range(100)]  # fmt: skip
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: where)
    monkeypatch.setattr(socket, "create_connection", connect)
    outcome = target(store, private_services=False, timeout_s=0.05).send(message())
    assert outcome.kind == "again"
    assert len(tried) < 4


@pytest.mark.parametrize(
    ("endpoint", "private", "fine"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc:def", False, True),
        ("https://updates.push.services.mozilla.com/wpush/v2/x?y=1", False, True),
        ("https://93.184.216.34/x", False, True),
        ("http://fcm.googleapis.com/x", False, False),
        ("https://127.0.0.1/x", False, False),
        ("https://10.1.2.3/x", False, False),
        ("https://169.254.169.254/latest", False, False),
        ("https://100.64.0.1/x", False, False),
        ("https://[::1]/x", True, False),
        ("https://[::ffff:10.0.0.1]/x", False, False),
        ("https://user:pass@push.example.org/x", False, False),
        ("https://push.example.org:0/x", False, False),
        ("https://push.example.org:/x", False, False),
        ("https://.push.example.org/x", False, False),
        ("https://push_.example.org./x", False, False),
        ("https://Push.Example.org:8443/x", False, True),
        ("https://push.example.org:99999/x", False, False),
        ("https://push.example.org/x#y", False, False),
        ("https://push.example.org/\r\nX: y", False, False),
        ("https://push.example.org/" + "x" * 1000, False, False),
        ("file:///etc/passwd", True, False),
        ("http://10.0.0.1:8080/x", True, True),
        ("", False, False),
    ],
)
def test_addresses_of_push_services(endpoint: str, private: bool, fine: bool) -> None:
    if fine:
        assert checked_endpoint(endpoint, private=private).hostname
    else:
        with pytest.raises(ValueError, match="endpoint"):
            checked_endpoint(endpoint, private=private)


@pytest.mark.parametrize("change", ["", "AAAA", "not base64!", "é"])
def test_keys_that_no_browser_gives_are_refused(change: str) -> None:
    good = Browser()
    checked_keys(good.p256dh, good.auth)
    for keys in ((change, good.auth), (good.p256dh, change), (good.p256dh[:-4] + "AAAA", change)):
        with pytest.raises(ValueError, match="keys: want"):
            checked_keys(*keys)


def test_browsers_are_remembered_once_and_not_too_many(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIPTIONS", 3)
    for number in range(5):
        add_subscription(store, f"https://p/{number}", "k", "a", "x")
    add_subscription(store, "https://p/3", "new", "a", "x")
    kept = all_subscriptions(store)
    assert [(one.endpoint[-1], one.p256dh) for one in kept] == [
        ("2", "k"),
        ("3", "new"),
        ("4", "k"),
    ]
    assert remove_subscription(store, "https://p/3")
    assert not remove_subscription(store, "https://p/3")


@pytest.mark.parametrize("contact", ["", "me", "mailto:me", "https://a.b/path", "http://a.b"])
def test_a_contact_that_push_services_refuse(contact: str) -> None:
    with pytest.raises(ConfigError, match="contact"):
        validated(WebPushOptions, {"contact": contact}, "alerts.web_push")
