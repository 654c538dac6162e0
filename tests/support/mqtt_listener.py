"""A client of an MQTT broker that notes every message."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Listener:
    """Somebody at the broker who hears everything, Home Assistant say."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, str, bool, bool]] = []  # topic, text, kept, sent again
        self.pictures: list[tuple[str, bytes, bool]] = []
        self._lock = threading.Lock()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self.client.on_message = self._note
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.reconnect_delay_set(1, 1)
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(60)

    def _note(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        with self._lock:
            if message.topic.endswith(("/thumbnail", "/snapshot")):
                self.pictures.append((message.topic, message.payload, message.retain))
                return
            text = message.payload.decode()
            self.heard.append((message.topic, text, message.retain, message.dup))

    def on(self, topic: str) -> list[Any]:
        with self._lock:
            return [json.loads(text) for name, text, *_ in self.heard if name == topic]

    def texts(self, topic: str) -> list[str]:
        with self._lock:
            return [text for name, text, *_ in self.heard if name == topic]

    def close(self) -> None:
        self.client.disconnect()
        with suppress(AttributeError):  # its thread ends meanwhile, and paho forgets it
            self.client.loop_stop()


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.close()
