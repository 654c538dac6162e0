"""The section `alerts`: fills in its secrets and passes it to the sink that stores events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from pipeline.config.schema import Config
from pipeline.config.secrets import UnknownSecretError
from pipeline.core.errors import ConfigError
from pipeline.core.interfaces import Sink
from pipeline.core.options import validated
from pipeline.events.alerts.options import AlertOptions, AlertSink


def alert_options(config: Config) -> AlertOptions:
    """Return the section with secrets in place of `${NAME}`; not to be shown.

    Raises ConfigError for a name without a value.
    """
    try:
        values = config.secrets.filled(_written(config.alerts))
    except UnknownSecretError as error:
        raise ConfigError(f"alerts: {error}") from None
    return validated(AlertOptions, values, "alerts")


def alert_sink(config: Config, sinks: Mapping[str, Sink]) -> AlertSink | None:
    """Return the sink that sends alerts, with the configured rules.

    None if there is no such sink; raises ConfigError if there are rules then.
    """
    found: list[object] = list(sinks.values())
    sink = next((one for one in found if isinstance(one, AlertSink)), None)
    if sink is not None:
        sink.set_alerts(alert_options(config))
    elif config.alerts.rules:
        raise ConfigError("alerts.rules: they need the sink events, which keeps what happens")
    return sink


def _written(value: Any) -> Any:
    """Return a section as plain values, with its secrets as written in the file."""
    if isinstance(value, BaseModel):
        return {name: _written(each) for name, each in value}
    if isinstance(value, tuple):
        return [_written(each) for each in value]
    return value
