"""MQTT with a real broker: events once, states for Home Assistant, outages, good-bye, TLS."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from support.event_results import event, result, run_info
from support.event_servers import Broker, broker, eventually
from support.fault_proxy import proxied
from support.mqtt_listener import listening
from support.programs import program

from pipeline.events.camera_states import CameraStateTable
from pipeline.events.delivery.homeassistant import Topics, by_slug, device, slug
from pipeline.events.delivery.options import MqttOptions
from pipeline.events.delivery.outbox import Message, Outbox
from pipeline.events.delivery.pictures import CameraPictures
from pipeline.events.delivery.status import queue_status
from pipeline.events.store.records import EventQuery, StoredEvent
from pipeline.events.store.store import EventStore
from pipeline.sinks import events as plugin


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path) as started:
        yield started


@contextmanager
def publishing(
    output: Path, port: int, *, clips: bool = False, **options: object
) -> Iterator[tuple[plugin.EventsSink, EventStore]]:
    mqtt = {"host": "127.0.0.1", "port": port, **options}
    # Long enough that no clip ends by itself: a test says when one does.
    usual = {"clips": clips, "after_s": 60}
    sink = plugin.build(plugin.Options(mqtt=mqtt, **usual))  # type: ignore[arg-type]
    sink.open(run_info(output, "gate"))
    assert sink.store is not None
    try:
        yield sink, sink.store
    finally:
        sink.close()


def sent(store: EventStore, count: int) -> None:
    outbox = Outbox(store, "mqtt")
    eventually(lambda: outbox.states() == {"sent": count}, f"{count} sent")


def test_events_arrive_once_and_in_order(running: Broker, tmp_path: Path) -> None:
    with listening(running.port) as listener, publishing(tmp_path, running.port) as (sink, store):
        for index in range(20):
            sink.write(result(index, event(index, track_id=index)))
        sent(store, 20)
        eventually(lambda: len(listener.on("trackline/gate/event")) == 20, "all events")
        heard = listener.on("trackline/gate/event")
        assert [one["track_id"] for one in heard] == list(range(20))
        assert {one["attempt"] for one in heard} == {1}
        assert {one["event_type"] for one in heard} == {"enter"}
        kept = [k for topic, _, k, _ in listener.heard if topic == "trackline/gate/event"]
        assert not any(kept), "who comes later must not hear an old event as a new one"


@pytest.mark.slow
def test_home_assistant_finds_a_device_per_camera_and_its_states(
    running: Broker, tmp_path: Path
) -> None:
    topic = "homeassistant/device/trackline_gate/config"
    with listening(running.port) as listener, publishing(tmp_path, running.port) as (sink, _):
        sink.write(result(0, event(0), event(0, track_id=2)))
        sink.write(result(1, event(1, kind="cross", area="line", direction="out")))
        state = "trackline/gate/state"
        expected = {
            "connected": True,
            "objects": 1,
            "areas": {
                "lawn": {"name": "lawn", "inside": 2, "enter": 2, "leave": 0},
                "line": {"name": "line", "in": 0, "out": 1},
            },
        }
        eventually(lambda: expected in listener.on(state), f"{expected} in {listener.on(state)}")
        parts = {
            "connected", "objects", "event", "alert", "lawn_inside", "lawn_enter", "lawn_leave",
            "line_in", "line_out",
        }  # fmt: skip
        eventually(lambda: set(listener.on(topic)[-1]["components"]) == parts, "its parts")
        # Home Assistant starts anew and says so: everything is told again.
        before = len(listener.on(topic))
        listener.client.publish("homeassistant/status", "online", qos=1)
        eventually(lambda: len(listener.on(topic)) > before, "the device again")
    # Whoever comes now finds what is so, kept by the broker.
    with listening(running.port) as later:
        eventually(lambda: later.on(topic), "the kept device")
        eventually(lambda: later.texts("trackline/status") == ["offline"], "we said good-bye")


@pytest.mark.slow
def test_pictures_of_visits_and_cameras_are_kept_by_the_broker(
    running: Broker, tmp_path: Path
) -> None:
    """Raw JPEG, the newest visit's and each camera's, with entities for them."""
    topic = "homeassistant/device/trackline_gate/config"
    with (
        listening(running.port) as listener,
        publishing(tmp_path, running.port, clips=True, thumbnails=True, snapshot_s=1) as (
            sink,
            store,
        ),
    ):
        sink.write(result(0, event(0)))
        eventually(lambda: len({name for name, *_ in listener.pictures}) == 2, "both pictures")
        path = store.thumbnail_path(store.visits()[0].id)
        assert path is not None
        assert path.read_bytes() in [jpeg for _, jpeg, _ in listener.pictures]
        parts = listener.on(topic)[-1]["components"]
        assert parts["thumbnail"]["image_topic"] == "trackline/gate/thumbnail"
        assert parts["thumbnail"]["platform"] == "image"
        assert (parts["snapshot"]["platform"], parts["snapshot"]["topic"]) == (
            "camera", "trackline/gate/snapshot",
        )  # fmt: skip
    with listening(running.port) as later:
        eventually(lambda: len(later.pictures) == 2, "the kept pictures")
        assert all(jpeg.startswith(b"\xff\xd8") and kept for _, jpeg, kept in later.pictures)


def test_pictures_go_to_a_broker_only_where_asked_for() -> None:
    """With an update, pictures of people went to brokers that had been given figures only."""
    options = MqttOptions(host="broker.local")
    assert (options.thumbnails, options.snapshot_s) == (False, None)


def test_an_older_visits_better_picture_does_not_replace_the_newest_visits() -> None:
    pictures = CameraPictures(None)
    pictures.set_thumbnail("gate", 100.0, b"first")
    pictures.set_thumbnail("gate", 200.0, b"second")
    pictures.set_thumbnail("gate", 100.0, b"first, better")
    pictures.note(result(0))
    assert pictures.newest() == {("gate", "thumbnail"): b"second"}


def test_a_snapshot_is_small_and_not_too_often() -> None:
    pictures = CameraPictures(3600.0)
    pictures.note(result(0, size=(1080, 1920)))
    first = pictures.newest()["gate", "snapshot"]
    assert cv2.imdecode(np.frombuffer(first, np.uint8), 1).shape == (720, 1280, 3)
    pictures.note(result(1))
    assert pictures.newest()["gate", "snapshot"] == first


@pytest.mark.slow
def test_a_clip_that_is_ready_has_a_topic_of_its_own(running: Broker, tmp_path: Path) -> None:
    """On the topic of events Home Assistant would take it for the same thing happening twice."""
    with (
        listening(running.port) as listener,
        publishing(tmp_path, running.port, clips=True) as (sink, store),
    ):
        sink.write(result(0, event(0)))
        sent(store, 1)
        eventually(store.unfinished_clips, "the recording")
        store.finish_clip(store.unfinished_clips()[0], 3)
        sent(store, 2)
        eventually(lambda: listener.on("trackline/gate/clip"), "the clip")
        (told,) = listener.on("trackline/gate/clip")
        assert told["uid"] == listener.on("trackline/gate/event")[0]["uid"]
        assert (told["clip"], told["event_type"]) == (True, "enter")
        assert told["clip_url"] == "/api/events/1/clip.mp4"
        assert len(listener.on("trackline/gate/event")) == 1
        device_topic = "homeassistant/device/trackline_gate/config"
        eventually(lambda: listener.on(device_topic), "the device")
        (part,) = [listener.on(device_topic)[-1]["components"]["clip"]]
        assert (part["platform"], part["state_topic"]) == ("event", "trackline/gate/clip")


def test_a_camera_without_pictures_is_shown_as_not_connected(
    running: Broker, tmp_path: Path
) -> None:
    with (
        listening(running.port) as listener,
        publishing(tmp_path, running.port, camera_lost_s=0.5) as (sink, _),
    ):
        sink.write(result(0, event(0)))
        states = [True, False]

        def seen() -> list[bool]:
            found = [one["connected"] for one in listener.on("trackline/gate/state")]
            return [a for n, a in enumerate(found) if n == 0 or found[n - 1] != a]

        eventually(lambda: seen()[-2:] == states or seen() == [False], f"{states}")
        eventually(lambda: listener.on("trackline/gate/state")[-1]["areas"], "areas")
        state = listener.on("trackline/gate/state")[-1]
        assert state["objects"] is state["areas"]["lawn"]["inside"] is None


@pytest.mark.slow
def test_a_broker_that_dies_and_comes_back_gets_everything(running: Broker, tmp_path: Path) -> None:
    with publishing(tmp_path / "out", running.port) as (sink, store):
        sink.write(result(0, event(0, track_id=0)))
        sent(store, 1)
        running.kill()
        for index in range(1, 8):
            sink.write(result(index, event(index, track_id=index)))
        eventually(lambda: sum(Outbox(store, "mqtt").states().values()) == 8, "kept")
        running.start()
        with listening(running.port) as listener:
            sent(store, 8)
            heard = listener.on("trackline/gate/event")
            unmarked = [one["track_id"] for one in heard if one["attempt"] == 1]
            assert len(set(unmarked)) == len(unmarked)
            eventually(lambda: "online" in listener.texts("trackline/status"), "online again")


def test_a_broken_connection_is_reported_offline_by_the_broker(
    running: Broker, tmp_path: Path
) -> None:
    """Home Assistant must not show the counts of a machine without power as if they were true."""
    from pipeline.events.delivery.mqtt import Mqtt
    from pipeline.events.delivery.options import MqttOptions

    with proxied(running.port) as between, listening(running.port) as listener:
        options = MqttOptions(host="127.0.0.1", port=between.port)
        mqtt = Mqtt(options, CameraStateTable(10), "vanishing")
        mqtt.start()
        eventually(mqtt.ready, "connected")
        mqtt.publish_states()
        eventually(lambda: "online" in listener.texts("trackline/status"), "online")
        between.set("refuse")  # no good-bye, and no way back
        eventually(lambda: listener.texts("trackline/status")[-1] == "offline", "the last will")
        mqtt.stop()


@pytest.mark.slow
def test_a_broker_that_is_away_or_hangs_holds_up_nothing(running: Broker, tmp_path: Path) -> None:
    with publishing(tmp_path / "out", running.port) as (sink, store):
        sink.write(result(0, event(0)))
        sent(store, 1)
        running.hang()
        for index in range(1, 200):
            sink.write(result(index, event(index)))
        eventually(lambda: len(store.query(EventQuery(limit=300))) == 200, "all kept")
        sink.close()
    assert queue_status(store, "mqtt").last_error == "ended before the acknowledgement", "cut off"
    assert Outbox(store, "mqtt").states()["sent"] == 1
    assert sum(Outbox(store, "mqtt").states().values()) == 200


@pytest.mark.slow
def test_signing_in_over_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", str(key), "-out", str(certificate),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    passwords = tmp_path / "passwords"
    subprocess.run(
        [program("mosquitto_passwd"), "-b", "-c", str(passwords), "camera", "hunter2"],
        check=True,
        capture_output=True,
    )
    for file in (key, passwords):
        file.chmod(0o644)
    tmp_path.chmod(0o755)
    extra = f"certfile {certificate}\nkeyfile {key}\npassword_file {passwords}\nuser root\n"
    with broker(tmp_path, extra) as secured:
        options = {
            "host": "localhost", "tls": True, "username": "camera",
            "password": "hunter2",
        }  # fmt: skip
        with publishing(tmp_path / "out", secured.port, **options, ca_file=certificate) as (
            sink,
            store,
        ):
            sink.write(result(0, event(0)))
            sent(store, 1)
        # Without that authority the certificate is nobody's, and nothing is sent.
        with publishing(tmp_path / "out2", secured.port, **options) as (sink, store):
            sink.write(result(0, event(0)))
            eventually(lambda: store.query(), "kept")
            eventually(
                lambda: sink.delivery_status()[0].problem == "cannot be reached", "a refusal"
            )
            assert Outbox(store, "mqtt").states() == {"waiting": 1}


def test_what_a_report_shows_of_the_broker_holds_no_password() -> None:
    options = plugin.Options(mqtt={"host": "h", "username": "${U}", "password": "hunter2"})  # type: ignore[arg-type]
    shown = f"{options.model_dump(mode='json')} {options!r}"
    assert "hunter2" not in shown
    assert "'username': '${U}'" in shown


class AnotherIsAcknowledged:
    """paho's client where another message's acknowledgement comes while one is published.

    Like paho it calls `on_publish` with the lock that `publish` takes, too.
    """

    def __init__(self, *_: object, **__: object) -> None:
        self._lock = threading.Lock()
        self.on_publish: Any = None
        self.on_connect: Any = None

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None

    def loop_start(self) -> None:
        self.on_connect(self, None, None, SimpleNamespace(is_failure=False), None)

    def publish(self, *_: object, **__: object) -> SimpleNamespace:
        is_held = threading.Event()

        def acknowledge() -> None:
            with self._lock:
                is_held.set()
                for number in (1, 2):
                    self.on_publish(self, None, number, None, None)

        threading.Thread(target=acknowledge, daemon=True).start()
        is_held.wait()
        if not self._lock.acquire(timeout=5):
            raise AssertionError("both wait for each other")
        self._lock.release()
        return SimpleNamespace(mid=2, rc=0)


def test_an_acknowledgement_while_an_event_is_published_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With states and pictures on the way, too, delivery stood still for ever after a minute.

    The sending thread held our lock and waited for the one of paho, whose thread waited for ours.
    """
    from pipeline.events.delivery.mqtt import Mqtt

    monkeypatch.setattr("paho.mqtt.client.Client", AnotherIsAcknowledged)
    mqtt = Mqtt(MqttOptions(host="broker.local", discovery=False), CameraStateTable(10), "one")
    mqtt.start()
    happened = StoredEvent(
        id=1, uid="a", time=0, kind="enter", camera="gate", area="", direction="", track_id=1,
        class_name="", dwell_s=0, index=0, pts_s=0, xyxy=(0, 0, 0, 0), clip=False, visit=None,
    )  # fmt: skip
    assert mqtt.send(Message(1, 1, happened)).kind == "delivered"
    mqtt.stop()


def test_the_entity_of_alerts_has_the_alert_without_its_picture() -> None:
    import jinja2

    parts = device(Topics("trackline", "homeassistant"), "gate", {})["components"]
    template = jinja2.Template(parts["alert"]["value_template"])
    told = {"event_type": "enter", "rule": 'Yard\'s "night"', "thumbnail": "/9j/4AA" * 4000}
    shown = json.loads(template.render(value_json=told))
    assert shown == {**told, "thumbnail": None}
    assert parts["alert"]["state_topic"] == "trackline/gate/alert"


# -- pure parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Front Door", "a/b", "#", "+", "", "ünï", "{{ 1 }}", "x" * 300])
def test_names_become_safe_topics_that_differ(name: str) -> None:
    assert all(letter in "abcdefghijklmnopqrstuvwxyz0123456789_" for letter in slug(name))
    assert slug(name)
    assert slug(name) != slug(name + " ")


def test_no_name_gets_into_a_template() -> None:
    """Home Assistant evaluates templates: an area's name must not be able to say what they do."""
    evil = "'] }}{{ states }}"
    message = device(Topics("trackline", "homeassistant"), "gate", {evil: False, "line": True})
    for part in message["components"].values():
        template = part.get("value_template", "{{ ok }}")
        assert (template.count("{"), template.count("}"), "'']" in template) == (2, 2, False)
        assert "{{ states" not in template
    ids = [part["unique_id"] for part in message["components"].values()]
    assert len(set(ids)) == len(ids)


def test_occupancy_is_forgotten_when_a_camera_comes_back() -> None:
    """Zones forget without an event then; a count that never falls again would stay."""
    table = CameraStateTable(10)
    table.update(result(0, event(0), event(0, track_id=2)), 0.0)
    table.update(result(1, event(1, kind="leave", track_id=2)), 0.1)
    assert table.states(0.2)["gate"]["areas"]["lawn"] == {
        "inside": 1,
        "enter": 2,
        "leave": 1,
    }
    table.update(result(2, epoch=1), 1.0)
    assert table.states(1.1)["gate"]["areas"]["lawn"] == {
        "inside": 0,
        "enter": 2,
        "leave": 1,
    }


def test_a_lost_camera_reports_unknown_instead_of_zero() -> None:
    """The state said 0 of a lost camera, and automations on an empty zone began."""
    table = CameraStateTable(10)
    table.expect("door")
    table.update(result(0, event(0)), 0.0)
    states = table.states(11.0)
    assert states["gate"]["areas"]["lawn"] == {"inside": None, "enter": 1, "leave": 0}
    assert [(one["connected"], one["objects"]) for one in states.values()] == [(False, None)] * 2
    table.update(result(1), 12.0)
    assert table.states(12.0)["gate"]["objects"] == 1
    assert table.states(12.0)["gate"]["areas"]["lawn"] == {
        "inside": 1,
        "enter": 1,
        "leave": 0,
    }


@pytest.mark.parametrize(
    ("now", "objects", "inside"), [(1.0, "1", "1"), (11.0, "None", "None"), (None, "None", "None")]
)
def test_home_assistant_gets_a_number_or_the_word_that_it_shows_as_unknown(
    now: float | None, objects: str, inside: str
) -> None:
    """Its MQTT sensors take "None" for unknown; an empty text would leave the last number there.

    The announcement stays at the broker, so the area is known to it before anything happens.
    """
    import jinja2

    table = CameraStateTable(10)
    table.expect("gate")
    if now is not None:
        table.update(result(0, event(0)), 0.0)
    parts = device(Topics("trackline", "homeassistant"), "gate", {"lawn": False})["components"]
    state = json.loads(json.dumps(by_slug(table.states(now or 0.0)["gate"])))

    def shown(part: str) -> str:
        return str(jinja2.Template(parts[part]["value_template"]).render(value_json=state))

    assert (shown("objects"), shown("lawn_inside")) == (objects, inside)


PLAN = {"gate": {"lawn": False, "kerb": True}}


def templates(state: object, areas: dict[str, bool]) -> dict[str, str]:
    """What each entity of a camera shows of a state; raises what Home Assistant would log."""
    import jinja2

    parts = device(Topics("trackline", "homeassistant"), "gate", areas)["components"]
    given = {} if state is None else {"value_json": state}
    strict = jinja2.Environment(undefined=jinja2.StrictUndefined)
    return {
        key: strict.from_string(part["value_template"]).render(**given)
        for key, part in parts.items()
        if part["state_topic"].endswith("/state") and "value_template" in part
    }


@pytest.mark.parametrize(
    "state", [None, {}, "", {"areas": {}}, {"areas": {"lawn": {}}, "connected": False}]
)
def test_a_template_survives_an_empty_state(state: object) -> None:
    """After a restart the retained state had no areas, and every template logged an error."""
    shown = templates(state, PLAN["gate"])
    assert shown.pop("connected") == "OFF"
    assert set(shown.values()) == {"None"}


def test_what_is_announced_are_the_zones_of_the_file_whatever_has_happened() -> None:
    """After a restart 11 entities were 4 until something had happened in each zone again."""
    areas = {"gate": dict(PLAN["gate"])}
    table = CameraStateTable(10)
    table.expect("gate")
    table.plan(lambda: areas)
    assert table.zones() == areas
    table.update(result(0, event(0)), 0.0)
    assert table.zones() == areas
    state = json.loads(json.dumps(by_slug(table.states(0.0)["gate"])))
    shown = templates(state, areas["gate"])
    assert shown == {
        "connected": "ON", "objects": "1", "lawn_inside": "1", "lawn_enter": "1",
        "lawn_leave": "0", "kerb_in": "0", "kerb_out": "0",
    }  # fmt: skip
    del areas["gate"]["lawn"]  # deleted on the page
    assert table.zones() == areas
