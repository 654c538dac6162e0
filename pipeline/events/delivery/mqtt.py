"""Delivery of events and camera states to an MQTT broker (3.1.1), with paho-mqtt 2."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from pipeline.core.errors import ConfigError
from pipeline.events.camera_states import CameraStateTable
from pipeline.events.delivery.homeassistant import OFFLINE, ONLINE, Topics, by_slug, device
from pipeline.events.delivery.options import MqttOptions
from pipeline.events.delivery.outbox import Message
from pipeline.events.delivery.pictures import CameraPictures
from pipeline.events.delivery.worker import Outcome

log = logging.getLogger("trackline")

ACK_S = 20.0
DISCONNECT_S = 1.0
CONNECT_S = 4.0
KEEPALIVE_S = 30
MAX_QUEUED = 1000
MAX_RECONNECT_S = 60


class Mqtt:
    """One broker: events at QoS 1, and retained states with Home Assistant discovery.

    The connection lives on paho's own thread, which reconnects with back-off. An event is handed
    over only while connected, and counts as delivered with the broker's acknowledgement; if the
    connection breaks in between, paho sends it again with MQTT's duplicate flag.
    """

    def __init__(
        self, options: MqttOptions, camera_states: CameraStateTable, client_id: str
    ) -> None:
        self.name = "mqtt"
        self.problem = ""
        self._port = options.port or (8883 if options.tls else 1883)
        self.address = f"{options.host}:{self._port}"
        self._options = options
        self._camera_states = camera_states
        self.pictures = CameraPictures(options.snapshot_s)
        self._topics = Topics(options.topic, options.discovery_prefix)
        self._connected = threading.Event()
        self._ending = threading.Event()
        self._is_down_logged = False
        self._published: dict[str, str | bytes] = {}
        self._republish_all = threading.Event()
        self._acked: set[int] = set()  # messages acknowledged since the last event was sent
        self._acknowledged = threading.Condition()
        self._client = self._make(client_id)

    def start(self) -> None:
        """Start connecting; returns at once, and retries for ever."""
        self._client.connect_async(self._options.host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Publish "offline" and disconnect."""
        self._ending.set()
        if self._connected.is_set():
            sent = self._hand_over(self._topics.status, OFFLINE, retain=True)
            with self._acknowledged:
                self._acknowledged.wait_for(lambda: sent.mid in self._acked, DISCONNECT_S)
        self._client.disconnect()
        # It may just wait for a broker that does not answer; the thread is a daemon.
        ending = threading.Thread(target=self._stop_loop, daemon=True)
        ending.start()
        ending.join(DISCONNECT_S)

    def _stop_loop(self) -> None:
        # paho forgets its thread as that ends, perhaps just before it would wait for it.
        with suppress(AttributeError):
            self._client.loop_stop()

    # -- events -----------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Return whether the broker is connected."""
        return self._connected.is_set()

    def send(self, message: Message) -> Outcome:
        """Publish the message and wait for the broker's acknowledgement."""
        event = message.event
        text = {**message.as_dict(), "event_type": event.kind, "attempt": message.attempt}
        topics = self._topics
        topic = (topics.event if message.about == "event" else topics.clip)(event.camera)
        if message.rule is not None:
            topic = topics.alert(event.camera)
        if not self._connected.is_set():
            return Outcome("unsent")
        sent = self._hand_over(topic, _json(text))
        if sent.rc == paho.MQTT_ERR_QUEUE_SIZE:
            return Outcome("again", "too many messages in flight")
        until = time.monotonic() + ACK_S
        with self._acknowledged:
            while not self._ending.is_set():
                if self._acknowledged.wait_for(lambda: sent.mid in self._acked, 0.5):
                    return Outcome("delivered")
                if not self._connected.is_set():
                    until = time.monotonic() + ACK_S  # paho sends it again when it is back
                elif time.monotonic() > until:
                    return Outcome("again", f"no acknowledgement within {ACK_S:g} s")
        return Outcome("again", "ended before the acknowledgement")

    def _hand_over(self, topic: str, text: str, retain: bool = False) -> paho.MQTTMessageInfo:
        """Publish a message for the waiting caller; its acknowledgement is recorded from now on.

        Outside the lock: paho holds a lock of its own while it calls `_on_publish`, and takes that
        one here. The two threads would wait for each other for ever.
        """
        with self._acknowledged:
            self._acked.clear()
        return self._client.publish(topic, text, qos=1, retain=retain)

    def abort(self) -> None:
        """Stop waiting for an acknowledgement."""
        self._ending.set()
        with self._acknowledged:
            self._acknowledged.notify_all()

    # -- states -----------------------------------------------------------------------------------

    def publish_states(self) -> None:
        """Publish what has changed since the last time; everything on a new connection."""
        if not self._connected.is_set():
            return
        if self._republish_all.is_set():
            self._republish_all.clear()
            self._published.clear()
        if self._options.discovery:
            for camera, zones in self._camera_states.zones().items():
                discovery = device(
                    self._topics,
                    camera,
                    zones,
                    clips=self._options.clips,
                    pictures=self._kinds_of_pictures(),
                )
                self._publish(self._topics.config(camera), _json(discovery))
        for camera, state in self._camera_states.states(time.monotonic()).items():
            self._publish(self._topics.state(camera), _json(by_slug(state)))
        for (camera, kind), jpeg in self.pictures.newest().items():
            self._publish(self._topics.picture(camera, kind), jpeg)
        self._publish(self._topics.status, ONLINE)

    def _publish(self, topic: str, payload: str | bytes) -> None:
        if self._published.get(topic) != payload:
            self._client.publish(topic, payload, qos=1, retain=True)
            self._published[topic] = payload

    @property
    def wants_thumbnails(self) -> bool:
        """Return whether thumbnails are published."""
        return self._options.thumbnails

    def _kinds_of_pictures(self) -> list[str]:
        wanted = {
            "thumbnail": self._options.thumbnails,
            "snapshot": self._options.snapshot_s is not None,
        }
        return [kind for kind, is_wanted in wanted.items() if is_wanted]

    # -- connection -------------------------------------------------------------------------------

    def _make(self, client_id: str) -> paho.Client:
        options = self._options
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
        if options.username:
            client.username_pw_set(options.username, options.password or None)
        if options.tls:
            client.tls_set_context(_tls(options))
        client.will_set(self._topics.status, OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(1, MAX_RECONNECT_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.connect_timeout = CONNECT_S
        client.max_queued_messages_set(MAX_QUEUED)
        return client

    def _on_connect(
        self, client: paho.Client, data: Any, flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        del data, flags, properties
        if code.is_failure:
            self._set_down(f"refuses the connection: {code}")
            return
        if self._options.discovery:
            client.subscribe(self._topics.birth, qos=1)
        if self._is_down_logged:
            log.info("events: mqtt: connected")
        self._is_down_logged = False
        self.problem = ""
        self._republish_all.set()
        self._connected.set()

    def _on_connect_fail(self, client: paho.Client, data: Any) -> None:
        del client, data
        self._set_down("cannot be reached")

    def _on_disconnect(
        self, client: paho.Client, data: Any, flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        del client, data, flags, properties
        self._connected.clear()
        if not self._ending.is_set():
            self._set_down(f"connection lost: {code}")

    def _on_message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        del client, data
        if message.topic == self._topics.birth and message.payload == ONLINE.encode():
            self._republish_all.set()  # Home Assistant has started and needs it all again

    def _on_publish(
        self, client: paho.Client, data: Any, number: int, code: ReasonCode, properties: Any
    ) -> None:
        del client, data, code, properties
        with self._acknowledged:
            self._acked.add(number)
            self._acknowledged.notify_all()

    def _set_down(self, problem: str) -> None:
        self.problem = problem
        if not self._is_down_logged:
            log.warning("events: mqtt %s: %s; trying again", self._options.host, problem)
        self._is_down_logged = True


def _tls(options: MqttOptions) -> ssl.SSLContext:
    """Return a context that checks certificates; raises ConfigError for an invalid file."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.client_cert is not None:
            context.load_cert_chain(options.client_cert, options.client_key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"mqtt: a certificate file cannot be used: {reason}") from error
    return context


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
