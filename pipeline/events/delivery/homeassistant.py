"""Home Assistant's MQTT discovery: topics, and the discovery message of each camera.

Device discovery as in https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload,
which Home Assistant has since 2024.11.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.events.camera_states import State
from pipeline.events.delivery.options import EVENT_NAMES

Component = dict[str, Any]
_OR_EMPTY = "default(dict(), true)"
_STATE = f"(value_json | {_OR_EMPTY})"
"""The state in a template; missing parts are unknown, not an error."""
_WITHOUT_PICTURE = f"{{{{ dict(value_json | {_OR_EMPTY}, thumbnail=none) | tojson }}}}"
"""An alert without its picture: Home Assistant does not keep attributes of more than 16 KB."""
ONLINE, OFFLINE = "online", "offline"


def slug(name: str) -> str:
    """Return a name for topics and ids: a-z, 0-9 and _, distinct for distinct names."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40]
    if name and plain == name:
        return plain
    return f"{plain or 'x'}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class Topics:
    """The MQTT topics, below `root`."""

    root: str
    discovery_prefix: str

    @property
    def status(self) -> str:
        """Return the topic of "online" and "offline" for Trackline as a whole."""
        return f"{self.root}/status"

    def event(self, camera: str) -> str:
        """Return the topic of a camera's events, one message each, not retained."""
        return f"{self.root}/{slug(camera)}/event"

    def clip(self, camera: str) -> str:
        """Return the topic where each event is published again once its clip is ready."""
        return f"{self.root}/{slug(camera)}/clip"

    def alert(self, camera: str) -> str:
        """Return the topic of the alerts about a camera's events, not retained."""
        return f"{self.root}/{slug(camera)}/alert"

    def picture(self, camera: str, kind: str) -> str:
        """Return the topic of a camera's "thumbnail" or "snapshot", a JPEG, retained."""
        return f"{self.root}/{slug(camera)}/{kind}"

    def state(self, camera: str) -> str:
        """Return the topic of a camera's state, retained."""
        return f"{self.root}/{slug(camera)}/state"

    def config(self, camera: str) -> str:
        """Return the topic of the camera's discovery message."""
        return f"{self.discovery_prefix}/device/{self.node(camera)}/config"

    def node(self, camera: str) -> str:
        """Return the device's id."""
        return f"{self.root.replace('/', '_')}_{slug(camera)}"

    @property
    def birth(self) -> str:
        """Return the topic of Home Assistant's birth message."""
        return f"{self.discovery_prefix}/status"


def by_slug(state: State) -> State:
    """Return a camera's state with its zones and lines by slug, which templates can name safely.

    Each keeps its name beside its figures.
    """
    zones = {slug(name): {"name": name, **known} for name, known in state["areas"].items()}
    return {**state, "areas": zones}


def device(
    topics: Topics,
    camera: str,
    zones: Mapping[str, bool],
    *,
    clips: bool = False,
    pictures: Collection[str] = (),
) -> dict[str, Any]:
    """Return the discovery message of a camera; `zones` maps each name to whether it is a line.

    With `clips` it has an entity for events whose clip is ready, and one for each of the `pictures`
    "thumbnail" and "snapshot". A null in the state becomes "None" in a template, which Home
    Assistant shows as unknown: not a number, so no trigger fires on 0.
    """
    node = topics.node(camera)
    parts: dict[str, Component] = {
        "connected": {
            "platform": "binary_sensor",
            "name": "Connected",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.state(camera),
            "value_template": (
                f"{{{{ 'ON' if {_STATE}['connected'] | default(false) else 'OFF' }}}}"
            ),
        },
        "objects": _sensor(topics, camera, "Objects", f"{_STATE}['objects']", "measurement"),
        "event": _event("Event", topics.event(camera)),
        "alert": _event("Alert", topics.alert(camera)) | {"value_template": _WITHOUT_PICTURE},
    }
    if clips:
        parts["clip"] = _event("Clip", topics.clip(camera))
    if "thumbnail" in pictures:
        parts["thumbnail"] = {
            "platform": "image",
            "name": "Last visit",
            "image_topic": topics.picture(camera, "thumbnail"),
            "content_type": "image/jpeg",
        }
    if "snapshot" in pictures:
        topic = topics.picture(camera, "snapshot")
        parts["snapshot"] = {"platform": "camera", "name": "Snapshot", "topic": topic}
    for zone, is_line in zones.items():
        known = f"(({_STATE}['areas'] | {_OR_EMPTY})['{slug(zone)}'] | {_OR_EMPTY})"
        if not is_line:
            inside = f"{known}['inside']"
            parts[f"{slug(zone)}_inside"] = _sensor(
                topics, camera, f"{zone} inside", inside, "measurement"
            )
        for what in ("in", "out") if is_line else ("enter", "leave"):
            value = f"{known}['{what}']"
            parts[f"{slug(zone)}_{what}"] = _sensor(
                topics, camera, f"{zone} {what}", value, "total_increasing"
            )
    for key, part in parts.items():
        part["unique_id"] = f"{node}_{key}"
    return {
        "device": {"identifiers": [node], "name": camera, "manufacturer": "Trackline"},
        "origin": {"name": "Trackline"},
        "availability": [{"topic": topics.status}],
        "qos": 1,
        "components": parts,
    }


def _event(name: str, topic: str) -> Component:
    return {
        "platform": "event",
        "name": name,
        "event_types": list(EVENT_NAMES),
        "state_topic": topic,
    }


def _sensor(topics: Topics, camera: str, name: str, value: str, state_class: str) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "icon": "mdi:counter",
        "state_class": state_class,
        "state_topic": topics.state(camera),
        "value_template": f"{{{{ {value} | default(none) }}}}",
    }
