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
    """An address to which messages are sent in signed POST requests."""

    url: Address = Field(min_length=1)
    """`https://...`; `${NAME}` is filled in. Reports show only the host."""
    secret: Secret = ""
    """Signing key (Standard Webhooks, HMAC-SHA256): text, or `whsec_` and base64."""
    authorization: Secret = ""
    """Value of an Authorization header, such as `Bearer ${TOKEN}`."""
    name: str = Field("", pattern=r"^[\w.-]*$", max_length=60)
    """Name of its queue; by default derived from the address."""
    timeout_s: float = Field(10.0, gt=0, le=60)
    """Maximum duration of one request."""


class WebhookOptions(HookOptions):
    """An address to which each event is sent in a POST request of its own."""

    kinds: tuple[EventName, ...] = ()
    """Only these kinds (enter, leave, dwell, cross, appeared, lost, live); all if empty."""
    clips: bool = True
    """Post a second message for an event once its clip is ready."""


class MqttOptions(OptionsModel):
    """A broker for events and the state of every camera, with Home Assistant discovery."""

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
    """User name; `${NAME}` is filled in from the environment or `secrets.yaml`."""
    password: Secret = ""
    """Password, best given as `${NAME}`."""
    tls: bool = False
    """Use TLS, and refuse a broker without a valid certificate for `host`."""
    ca_file: Path | None = None
    """CA certificate to trust instead of the system's."""
    client_cert: Path | None = None
    """Client certificate, with its key in the same file or in `client_key`."""
    client_key: Path | None = None
    """Key of `client_cert`."""
    topic: str = Field("trackline", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    """First part of every topic; two Trackline instances at one broker need different ones."""
    kinds: tuple[EventName, ...] = ()
    """Only these kinds of event; all if empty."""
    clips: bool = True
    """Publish an event again below `CAMERA/clip` once its clip is ready."""
    thumbnails: bool = False
    """Publish the picture of the newest visit below `CAMERA/thumbnail`; needs clips."""
    snapshot_s: float | None = Field(None, ge=1, le=86_400)
    """Interval in seconds for publishing a picture of each camera below `CAMERA/snapshot`; null for
    none."""
    discovery: bool = True
    """Announce cameras to Home Assistant."""
    discovery_prefix: str = Field("homeassistant", pattern=r"^[^+#\s]+$")
    """Home Assistant's discovery prefix, under which its birth message comes, too."""
    camera_lost_s: float = Field(10.0, gt=0)
    """Seconds without a picture after which a camera is shown as not connected."""
