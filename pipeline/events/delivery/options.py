"""Options of the delivery targets: webhooks and MQTT."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, get_args

from pydantic import Field

from pipeline.core.options import Needs, OptionsModel
from pipeline.core.secret_types import Address, Secret

EventName = Literal["enter", "leave", "dwell", "cross", "appeared", "lost", "live"]
"""Kinds of events: of zones and lines, of the whole picture, then of cameras."""
EVENT_NAMES: tuple[str, ...] = get_args(EventName)


class HookOptions(OptionsModel):
    """An address that gets messages in signed POST requests."""

    url: Address = Field(min_length=1)
    """`https://...`; `${NAME}` is filled in. Reports show the host only."""
    secret: Secret = ""
    """Key of the signature (Standard Webhooks, HMAC-SHA256): text, or `whsec_` and base64."""
    authorization: Secret = ""
    """Value of an Authorization header, `Bearer ${TOKEN}` say."""
    name: str = Field("", pattern=r"^[\w.-]*$", max_length=60)
    """What its queue is called; without it a name made of the address."""
    timeout_s: float = Field(10.0, gt=0, le=60)
    """How long one request may take from first to last."""


class WebhookOptions(HookOptions):
    """An address that gets each event in a POST request of its own."""

    kinds: tuple[EventName, ...] = ()
    """Only these kinds (enter, leave, dwell, cross, appeared, lost, live); all if empty."""
    clips: bool = True
    """Post a second message of an event once its clip is ready."""


class MqttOptions(OptionsModel):
    """A broker that gets events, and the state of every camera in Home Assistant's way."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(("password",), "username", bool, "username"),
        Needs(("ca_file", "client_cert", "client_key"), "tls", bool, "tls: true"),
        Needs(("client_key",), "client_cert", bool, "client_cert"),
    )

    host: str = Field(min_length=1)
    """Name or address of the broker."""
    port: int | None = Field(None, ge=1, le=65535)
    """1883, or 8883 with `tls`, unless said."""
    username: Secret = ""
    """Who signs in; `${NAME}` is filled in from the environment or `secrets.yaml`."""
    password: Secret = ""
    """With what; best as `${NAME}`."""
    tls: bool = False
    """Encrypt, and refuse a broker whose certificate is not valid for `host`."""
    ca_file: Path | None = None
    """Certificate of the authority to trust instead of the system's."""
    client_cert: Path | None = None
    """Certificate to show to the broker, with its key in the same file or in `client_key`."""
    client_key: Path | None = None
    """Key of `client_cert`."""
    topic: str = Field("trackline", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    """First part of every topic; two Tracklines at one broker need two."""
    kinds: tuple[EventName, ...] = ()
    """Only these kinds of event; all if empty."""
    clips: bool = True
    """Publish an event again below `CAMERA/clip` once its clip is ready."""
    thumbnails: bool = False
    """Publish the picture of the newest visit below `CAMERA/thumbnail`; with clips only."""
    snapshot_s: float | None = Field(None, ge=1, le=86_400)
    """Publish a picture of each camera below `CAMERA/snapshot` every so often; null for none."""
    discovery: bool = True
    """Announce cameras to Home Assistant."""
    discovery_prefix: str = Field("homeassistant", pattern=r"^[^+#\s]+$")
    """Home Assistant's discovery prefix, which is also where its birth message comes."""
    camera_lost_s: float = Field(10.0, gt=0)
    """A camera without a picture for so long is shown as not connected."""
