"""Webhooks over real sockets: a server that fails, hangs, drips, is away and comes back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.event_servers import Hook, eventually, free_port, webhook

from pipeline.core.backoff import retry_delay_s
from pipeline.core.errors import ConfigError
from pipeline.events.delivery.http_post import Deadline, outcome_of, retry_after
from pipeline.events.delivery.options import WebhookOptions
from pipeline.events.delivery.outbox import MAX_WAIT_S, Outbox
from pipeline.events.delivery.status import queue_status
from pipeline.events.delivery.webhook import Webhook, name_of, signature
from pipeline.events.delivery.worker import FIRST_PAUSE_S, MAX_PAUSE_S, DeliveryWorker
from pipeline.events.store.records import EventRecord
from pipeline.events.store.store import EventStore

KEY = "whsec_" + base64.b64encode(b"a key of the test").decode()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    return EventStore(str(tmp_path / "events.db"), tmp_path / "clips")


@contextmanager
def delivering(
    store: EventStore, url: str, *, patience_s: float = 5.0, timeout_s: float = 5.0
) -> Iterator[Outbox]:
    """Deliver on a thread, and end in order."""
    target = Webhook(
        WebhookOptions(url=url, secret=KEY, name="test", timeout_s=timeout_s), "webhooks.0"
    )
    outbox = Outbox(store, target.name)
    deliverer = DeliveryWorker(outbox, target)
    failures: list[BaseException] = []
    deliverer.start(failures.append)
    try:
        yield outbox
    finally:
        deliverer.end(patience_s)
        deliverer.join()
        assert failures == []


def add(store: EventStore, count: int = 1, *, clips: bool = False) -> list[str]:
    store.deliver_to({"webhook:test": ()}, {"webhook:test"} if clips else ())
    some = [EventRecord(time=1.0, kind="enter", camera="gate", track_id=n) for n in range(count)]
    store.add(some)
    return [one.uid for one in some]


def settled(outbox: Outbox, **states: int) -> None:
    eventually(lambda: outbox.states() == states, f"{states}, but {outbox.states()}")


def test_each_event_arrives_once_in_order_and_signed(store: EventStore, hook: Hook) -> None:
    uids = add(store, 20)
    began = int(time.time())
    with delivering(store, hook.url) as outbox:
        settled(outbox, sent=20)
    assert hook.uids == uids
    for uid, (headers, body) in zip(uids, hook.requests, strict=True):
        signed = f"{uid}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(b"a key of the test", signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert headers["webhook-id"] == headers["idempotency-key"] == uid
        assert headers["trackline-attempt"] == "1"
        assert began <= int(headers["webhook-timestamp"]) <= time.time()
    assert json.loads(hook.requests[0][1])["camera"] == "gate"


@pytest.mark.slow
def test_a_clip_is_a_second_message_of_its_event_under_its_own_name(
    store: EventStore, hook: Hook
) -> None:
    """Receivers drop what has an id they have seen, so a second message needs one of its own."""
    uids = add(store, 1, clips=True)
    store.link_clip("gate/one.mp4", 1.0, uids)
    hook.answers = [(500, {"Retry-After": "0"}), 204, (500, {"Retry-After": "0"})]
    with delivering(store, hook.url) as outbox:
        settled(outbox, sent=1)
        store.finish_clip("gate/one.mp4", 3)
        settled(outbox, sent=2)
    told = [json.loads(body) for _, body in hook.requests]
    assert [(one["type"], one["uid"], one["clip"]) for one in told] == [
        ("event", uids[0], False), ("event", uids[0], False),
        ("clip", uids[0], True), ("clip", uids[0], True),
    ]  # fmt: skip
    assert told[0]["clip_url"] is None
    assert told[2]["clip_url"] == f"/api/events/{told[2]['id']}/clip.mp4"
    marks = [(h["webhook-id"], h["trackline-attempt"]) for h, _ in hook.requests]
    second = f"{uids[0]}-clip"
    assert marks == [(uids[0], "1"), (uids[0], "2"), (second, "1"), (second, "2")]
    for headers, body in hook.requests:
        stamp = int(headers["webhook-timestamp"])
        made = signature(b"a key of the test", headers["webhook-id"], stamp, body)
        assert headers["webhook-signature"] == made["webhook-signature"]


@pytest.mark.parametrize("answer", [500, 503, 429, 408])
def test_what_may_pass_is_tried_again_and_says_so(
    store: EventStore, hook: Hook, answer: int
) -> None:
    uids = add(store)
    hook.answers = [(answer, {"Retry-After": "0"})]
    with delivering(store, hook.url) as outbox:
        settled(outbox, sent=1)
    assert hook.uids == uids * 2
    assert [headers["trackline-attempt"] for headers, _ in hook.requests] == ["1", "2"]


@pytest.mark.parametrize("answer", [400, 401, 404, 410, 422])
def test_what_is_refused_is_given_up_and_marked(store: EventStore, hook: Hook, answer: int) -> None:
    uids = add(store, 2)
    hook.answers = [answer]
    with delivering(store, hook.url) as outbox:
        settled(outbox, failed=1, sent=1)
    assert hook.uids == uids


def test_a_redirect_is_not_followed(store: EventStore, hook: Hook) -> None:
    """Whoever may redirect would get the events, and could point into the network behind us."""
    add(store)
    with webhook() as elsewhere:
        hook.answers = [(307, {"Location": elsewhere.url})]
        with delivering(store, hook.url) as outbox:
            settled(outbox, failed=1)
        assert elsewhere.requests == []
    assert len(hook.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("way", ["hang", "drip"])
def test_a_server_that_never_finishes_its_answer_is_left(
    store: EventStore, hook: Hook, way: str
) -> None:
    add(store)
    hook.answers = [way]
    with delivering(store, hook.url, timeout_s=1.5) as outbox:
        settled(outbox, sent=1)
    assert [headers["trackline-attempt"] for headers, _ in hook.requests] == ["1", "2"]


@pytest.mark.slow
def test_events_wait_on_the_disk_while_the_server_is_away(
    store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    uids = add(store, 5)
    with delivering(store, f"http://127.0.0.1:{port}/") as outbox:
        eventually(lambda: "cannot be reached" in caplog.text, "the first failure")
    assert sum(outbox.states().values()) == outbox.states()["waiting"] == 5
    with (
        webhook(port) as hook,
        delivering(EventStore(str(store), store.clips_folder), hook.url) as later,
    ):
        settled(later, sent=5)
        # The one that was tried has to wait its turn, behind some of the others.
        assert sorted(hook.uids) == sorted(uids)


def test_one_event_that_always_fails_does_not_hold_up_the_rest(
    store: EventStore, hook: Hook
) -> None:
    add(store, 3)
    hook.answers = [(500, {"Retry-After": "0"})] * 3 + [(500, {"Retry-After": "60"})]
    with delivering(store, hook.url) as outbox:
        eventually(lambda: len(hook.requests) == 4, "the fourth failure of the first")
        settled(outbox, waiting=3)
        message = outbox.take(time.time() + 61)
        assert message is not None
        assert message.event.track_id == 1, "after three failures others come first"
        outbox.unsend(message)


@pytest.mark.slow
@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_a_clock_that_is_set_holds_up_no_delivery(
    store: EventStore, hook: Hook, by_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set back by an hour, it made all that waited wait for an hour more."""
    uids = add(store, 2)
    hook.answers = [500]
    real = time.time
    with delivering(store, hook.url) as outbox:
        eventually(lambda: hook.requests and outbox.states() == {"waiting": 2}, "a failure")
        monkeypatch.setattr(time, "time", lambda: real() + by_s)
        settled(outbox, sent=2)
    assert sorted(hook.uids) == sorted([uids[0], *uids])


def test_what_was_put_back_by_a_clock_that_was_ahead_is_due(store: EventStore) -> None:
    """Nobody asks for more than two hours; a day of waiting comes from a clock set back since."""
    add(store, 2)
    outbox = Outbox(store, "webhook:test")
    parcels = [outbox.take(0.0), outbox.take(0.0)]
    for message, ahead_s in zip(parcels, (MAX_WAIT_S - 1, 86_400), strict=True):
        assert message is not None
        outbox.put_back(message, 1e6 + ahead_s, "HTTP 503")
    found = outbox.take(1e6)
    assert found is not None
    assert found.event.track_id == 1
    assert outbox.take(1e6) is None, "the other one waits as it was asked to"


@pytest.mark.slow
def test_ending_does_not_wait_for_a_server_that_hangs(store: EventStore, hook: Hook) -> None:
    add(store)
    hook.usual = "hang"  # type: ignore[assignment]
    with delivering(store, hook.url, patience_s=0.2, timeout_s=25) as outbox:
        eventually(lambda: hook.requests, "a request")
    assert outbox.states() == {"waiting": 1}
    told = queue_status(store, "webhook:test").last_error
    assert told.startswith("cannot be reached"), "cut off, long before the request's own timeout"


def test_what_was_being_sent_at_a_crash_is_sent_again_and_marked(
    store: EventStore, hook: Hook
) -> None:
    """It may have arrived: the receiver is told that this is the second attempt."""
    uids = add(store, 2)
    assert Outbox(store, "webhook:test").take(2.0) is not None  # and the program is gone
    with delivering(store, hook.url) as outbox:
        settled(outbox, sent=2)
    marks = {u: h["trackline-attempt"] for u, (h, _) in zip(hook.uids, hook.requests, strict=True)}
    assert marks == {uids[0]: "2", uids[1]: "1"}


# -- pure parts -----------------------------------------------------------------------------------


def test_pauses_grow_to_a_minute_and_differ() -> None:
    pauses = [retry_delay_s(failures, FIRST_PAUSE_S, MAX_PAUSE_S) for failures in range(1, 40)]
    assert 0.8 <= pauses[0] <= 1
    assert all(0.8 * MAX_PAUSE_S <= pause <= MAX_PAUSE_S for pause in pauses[7:])
    assert len(set(pauses)) == len(pauses)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("99999999", 3600.0),
        ("-5", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, now=1000.0) == seconds


def test_signature_of_the_published_example() -> None:
    """Standard Webhooks' own example, which its libraries in every language are tested with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_redirect_is_refused_in_words(status: int) -> None:
    outcome = outcome_of(status, None, 0.0)
    assert (outcome.kind, "redirects" in outcome.problem) == ("refused", True)


@pytest.mark.parametrize(
    "values",
    [
        {"url": "ftp://hunter2.example/"},
        {"url": "https:///hunter2"},
        {"url": "http://h:99999/hunter2"},
        {"url": "http://h/hunter2\r\nX: y"},
        {"url": "http://h/", "secret": "whsec_hunter2!"},
        {"url": "http://h/", "authorization": "hunter2\r\nX: y"},
    ],
)
def test_a_wrong_webhook_is_one_line_that_shows_no_secret(values: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"^webhooks\.0") as caught:
        Webhook(WebhookOptions(**values), "webhooks.0")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_secret_is_dumped_and_all_are_used(hook: Hook, store: EventStore) -> None:
    options = WebhookOptions(
        url=f"{hook.url}/hunter2?key=hunter2", authorization="Bearer hunter2", secret="hunter2"
    )
    add(store)
    message = Outbox(store, "webhook:test").take(2.0)
    assert message is not None
    assert Webhook(options, "webhooks.0").send(message).kind == "delivered"
    assert hook.requests[0][0]["authorization"] == "Bearer hunter2"
    assert "hunter2" not in f"{options.model_dump(mode='json')} {options!r} {name_of(options)}"
    assert options.model_dump(mode="json")["url"] == f"http://127.0.0.1:{hook.port}/***"


def test_a_connection_that_is_made_late_is_cut_too() -> None:
    """A name server took all the time there was; a server that drips then held the thread."""
    cuts = list[int]()
    with Deadline(0.01).watching(lambda: cuts.append(1)) as is_over:
        eventually(lambda: len(cuts) >= 2, "cut again")
        assert is_over()
