"""Passwords and addresses: read from the environment, never shown."""

from __future__ import annotations

import os
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer

from pipeline.errors import ConfigError

HIDDEN = "***"
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")


def expand(text: str, where: str) -> str:
    """Return `text` with each `${NAME}` replaced by that environment variable.

    Raises ConfigError that names the key `where` and the variable, and shows nothing else of it.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        found = os.environ.get(name)
        if found is None:
            raise ConfigError(f"{where}: the environment variable {name or '(no name)'} is not set")
        return found

    return _REFERENCE.sub(value, text)


def hidden(text: str) -> str:
    """Return a secret as it may be shown: references stay, everything else is `***`."""
    names = _REFERENCE.findall(text)
    if not text or _REFERENCE.sub("", text) == "":
        return text
    return HIDDEN + "".join(f"${{{name}}}" for name in names)


def hidden_address(url: str) -> str:
    """Return an address with its scheme and host only: path and query may be as good as a key."""
    if "://" not in url:
        return hidden(url)
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    rest = f"/{HIDDEN}" if parts.path.strip("/") or parts.query else parts.path
    user = f"{HIDDEN}@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{user}{host}{rest}"


def hidden_database(url: str) -> str:
    """Return a database's address without password and query; a path of SQLite stays as it is."""
    if url.startswith("sqlite:") or "://" not in url:
        return url
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    user = f"{user.partition(':')[0]}:{HIDDEN}" if ":" in user else user
    query = f"?{HIDDEN}" if parts.query else ""
    return f"{parts.scheme}://{user}{at}{host}{parts.path}{query}"


Secret = Annotated[str, PlainSerializer(hidden), Field(repr=False)]
"""Text that configuration dumps and reports show as `${NAME}` or `***`."""
Address = Annotated[str, PlainSerializer(hidden_address), Field(repr=False)]
"""An address of which dumps and reports show the host only."""
DatabaseAddress = Annotated[str, PlainSerializer(hidden_database), Field(repr=False)]
"""A database's address, shown without its password."""
