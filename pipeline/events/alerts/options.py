"""Options of the configuration's section `alerts`: rules, schedules, e-mail, webhooks, web push."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from pipeline.core.options import Needs, OptionsModel
from pipeline.core.secret_types import Secret
from pipeline.events.delivery.options import EventName, HookOptions

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[str, ...] = get_args(Day)
DAY_MINUTES = 24 * 60
_HOURS = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_PLACE = r"\$\{\w+\}"
"""Placeholder of a secret, which is checked once it is filled in."""
_NAME = r"[^\s@<>,;:?()\[\]\\\"]+"  # no sign that has a meaning in a mail's header
_ADDRESS = rf"^({_NAME}@{_NAME}|{_PLACE})$"

MQTT, EMAIL, WEB_PUSH, WEBHOOK = "mqtt", "email", "web_push", "webhook"


class Schedule(OptionsModel):
    """Days and hours in which a rule is active."""

    days: tuple[Day, ...] = ()
    """Days on which these hours begin (mon ... sun); every day if empty."""
    hours: str = "00:00-24:00"
    """`"08:00-18:30"`, or over midnight `"22:00-06:00"`."""

    @field_validator("hours")
    @classmethod
    def _check_hours(cls, value: str) -> str:
        begin, end = minutes_of(value)
        if begin == end:
            raise ValueError('want two different times; the whole day is "00:00-24:00"')
        return value

    @property
    def minutes(self) -> tuple[int, int]:
        """Return begin and end in minutes of the day; over midnight the end is the smaller one."""
        return minutes_of(self.hours)


def minutes_of(hours: str) -> tuple[int, int]:
    """Return begin and end of "HH:MM-HH:MM" in minutes; raises ValueError."""
    found = _HOURS.fullmatch(hours.strip())
    if found is not None:
        h1, m1, h2, m2 = (int(each) for each in found.groups())
        begin, end = h1 * 60 + m1, h2 * 60 + m2
        if m1 < 60 and m2 < 60 and begin < DAY_MINUTES and end <= DAY_MINUTES:
            return begin, end
    raise ValueError('want "HH:MM-HH:MM", from 00:00 to 24:00')


class AlertRule(OptionsModel):
    """Which events cause an alert, when, how often, and where it is sent."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f/\\]+$")
    """Name in the alert and on the page."""
    channels: tuple[str, ...] = Field(min_length=1)
    """Channels: `mqtt`, `email`, `web_push`, `webhook` (all of them) or `webhook:NAME`."""
    enabled: bool = True
    """false disables the rule."""
    cameras: tuple[str, ...] = ()
    """Only these cameras; all if empty."""
    zones: tuple[str, ...] = ()
    """Only these zones and lines; if empty all events, including "appeared" of the whole
    picture."""
    kinds: tuple[EventName, ...] = ()
    """Only these kinds of event; if empty all but the camera events `lost` and `live`."""
    classes: tuple[str, ...] = ()
    """Only these classes, `[person, car]`; all if empty."""
    min_score: float = Field(0.0, ge=0, le=1)
    """Minimum best score of the track up to the event."""
    min_dwell_s: float = Field(0.0, ge=0)
    """Minimum seconds in the zone (known for events `dwell` and `leave`)."""
    min_visit_s: float = Field(0.0, ge=0)
    """Minimum seconds since the first event of the same track."""
    schedule: tuple[Schedule, ...] = ()
    """Days and hours in which the rule is active, one of which must match; always if empty."""
    time_zone: str = ""
    """Time zone of the schedule, such as `Europe/Berlin`; the server's if empty."""
    not_again_s: float = Field(300.0, ge=0, le=7 * 86_400)
    """Minimum seconds between two alerts of this rule."""
    per: Literal["camera", "rule"] = "camera"
    """Whether `not_again_s` applies per camera, or to all cameras together."""
    every_event: bool = False
    """Allow several alerts per track; otherwise a track causes one alert of this rule."""

    @field_validator("time_zone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        try:
            if value:
                ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("want a name of the tz database, Europe/Berlin") from None
        return value


class EmailOptions(OptionsModel):
    """A mail server (SMTP), and the recipients of alerts."""

    needs: ClassVar[tuple[Needs, ...]] = (
        Needs(("password",), "username", bool, "username"),
        Needs(("ca_file",), "security", lambda value: value != "none", "security: starttls or tls"),
    )

    host: str = Field(min_length=1)
    """Name or address of the mail server."""
    port: int | None = Field(None, ge=1, le=65535)
    """587 with `starttls`, 465 with `tls`, 25 with `none`, unless said."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """Encryption of the connection; a server with an invalid certificate is refused."""
    ca_file: Path | None = None
    """CA certificate to trust instead of the system's."""
    username: Secret = ""
    """User name; `${NAME}` is filled in from the environment or `secrets.yaml`."""
    password: Secret = ""
    """Password, best given as `${NAME}`."""
    sender: str = Field(pattern=_ADDRESS)
    """Sender address."""
    to: tuple[str, ...] = Field(min_length=1, max_length=50)
    """Recipient addresses."""
    picture: bool = True
    """Include the thumbnail in the mail."""
    timeout_s: float = Field(20.0, gt=0, le=60)
    """Maximum duration of sending one mail."""

    @field_validator("to")
    @classmethod
    def _check_to(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(re.fullmatch(_ADDRESS, one) is None for one in value):
            raise ValueError("want addresses, NAME@HOST each")
        return value

    @model_validator(mode="after")
    def _check_login(self) -> EmailOptions:
        if self.username and self.security == "none":
            raise ValueError(
                "username: want security: starttls or tls, otherwise the password is readable"
            )
        return self


class WebPushOptions(OptionsModel):
    """Notifications of browsers in which they are enabled on the page."""

    contact: str = Field(
        pattern=rf"^(mailto:[^\s@]+@[\w-]+(\.[\w-]+)+|https://[\w-]+(\.[\w-]+)+|{_PLACE})$"
    )
    """Contact for push services, `mailto:ADDRESS` or `https://HOST`; they require one."""
    private_services: bool = False
    """Also allow push services at private addresses, over http or https; others are https only."""
    timeout_s: float = Field(10.0, gt=0, le=60)
    """Maximum duration of one request to a push service."""


class AlertWebhookOptions(HookOptions):
    """An address to which each alert is sent in a POST request of its own."""


class AlertOptions(OptionsModel):
    """Rules that turn events into alerts, and the channels to send them to."""

    rules: tuple[AlertRule, ...] = ()
    """Rules that cause alerts; they need the sink `events`."""
    email: EmailOptions | None = None
    """The channel `email`."""
    webhooks: tuple[AlertWebhookOptions, ...] = ()
    """The channels `webhook:NAME`; `webhook` stands for all of them."""
    web_push: WebPushOptions | None = None
    """The channel `web_push`: notifications in browsers."""

    @model_validator(mode="after")
    def _check_rules(self) -> AlertOptions:
        names = [rule.name for rule in self.rules]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"rules: '{min(twice)}' is there twice")
        known = self.channels()
        for rule in self.rules:
            for channel in rule.channels:
                if channel not in known:
                    raise ValueError(
                        f"rules: '{rule.name}': channel '{channel}' is not configured "
                        f"(configured: {', '.join(known)})"
                    )
        return self

    def channels(self) -> tuple[str, ...]:
        """Return the names that a rule may send to; `mqtt` is the broker of the sink `events`."""
        hooks = [f"{WEBHOOK}:{one.name}" for one in self.webhooks if one.name]
        return (
            MQTT,
            *((EMAIL,) if self.email is not None else ()),
            *((WEB_PUSH,) if self.web_push is not None else ()),
            *((WEBHOOK,) if self.webhooks else ()),
            *hooks,
        )

    @property
    def uses_mqtt(self) -> bool:
        """Return whether a rule sends to the broker."""
        return any(MQTT in rule.channels for rule in self.rules)


@runtime_checkable
class AlertSink(Protocol):
    """Optional for a sink: it stores events and the alerts that they cause."""

    def set_alerts(self, options: AlertOptions) -> None:
        """Replace rules and channels, before `open` or later; raises ConfigError."""
