"""The configured delivery targets, built but not started."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.core.data import Result
from pipeline.core.errors import ConfigError, MissingExtraError
from pipeline.core.install_hints import install_command
from pipeline.events.delivery.options import MqttOptions, WebhookOptions
from pipeline.events.delivery.webhook import Webhook
from pipeline.events.delivery.worker import Target

if TYPE_CHECKING:
    from pipeline.events.camera_states import CameraStateTable
    from pipeline.events.delivery.mqtt import Mqtt


@dataclass(slots=True)
class Targets:
    """All delivery targets; `kinds` maps a target's name to the kinds it wants, all if empty.

    `with_clips` are the names of those that get a message per clip.
    """

    all: list[Target] = field(default_factory=list)
    kinds: dict[str, Sequence[str]] = field(default_factory=dict)
    with_clips: set[str] = field(default_factory=set)
    mqtt: Mqtt | None = None
    camera_states: CameraStateTable | None = None

    def note(self, result: Result) -> None:
        """Update the camera states and snapshots for the broker."""
        if self.camera_states is not None:
            self.camera_states.update(result, time.monotonic())
        if self.mqtt is not None:
            self.mqtt.pictures.note(result)

    def set_thumbnail(self, camera: str, began: float, jpeg: bytes) -> None:
        """Pass the picture of a visit that began at this Unix time to the broker."""
        if self.mqtt is not None and self.mqtt.wants_thumbnails:
            self.mqtt.pictures.set_thumbnail(camera, began, jpeg)

    def stop(self) -> None:
        """Disconnect from the broker."""
        if self.mqtt is not None:
            self.mqtt.stop()


def make_targets(
    mqtt: MqttOptions | None,
    webhooks: Sequence[WebhookOptions],
    cameras: Iterable[str],
    store_uid: str,
    *,
    clips: bool,
) -> Targets:
    """Return the targets, not started; raises ConfigError, MissingExtraError.

    `clips`: whether clips are recorded at all.
    """
    made = Targets()
    for number, options in enumerate(webhooks):
        _add(made, Webhook(options, f"events.webhooks.{number}"), options)
    if mqtt is not None:
        update = {"clips": mqtt.clips and clips, "thumbnails": mqtt.thumbnails and clips}
        mqtt = mqtt.model_copy(update=update)
        try:
            from pipeline.events.delivery.mqtt import Mqtt
        except ImportError as error:
            raise MissingExtraError(
                f"events.mqtt: needs paho-mqtt: {install_command('live')}"
            ) from error
        from pipeline.events.camera_states import CameraStateTable

        made.camera_states = CameraStateTable(mqtt.camera_lost_s)
        for camera in cameras:
            made.camera_states.expect(camera)
        made.mqtt = Mqtt(mqtt, made.camera_states, f"trackline-{store_uid[:12]}")
        _add(made, made.mqtt, mqtt)
    return made


def _add(made: Targets, target: Target, options: MqttOptions | WebhookOptions) -> None:
    if target.name in made.kinds:
        raise ConfigError(
            "events.webhooks: two have the same name or address; give each a name of its own"
        )
    made.all.append(target)
    made.kinds[target.name] = options.kinds
    if options.clips:
        made.with_clips.add(target.name)
