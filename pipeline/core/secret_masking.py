"""Masking of passwords in addresses, for everything that is shown.

What may be shown of a text goes through `masked`. Every `PipelineError` and every log line of the
command does so for every line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
PLACE = re.compile(r"\$(?P<escaped>\$)?\{(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\}")
"""Stands for a secret that comes from elsewhere, `${NAME}`; `$${NAME}` is the text itself."""

# Up to the last @, wherever it stands: a password that was not percent-encoded may hold anything,
# and to mask too much is no harm.
_ADDRESS = re.compile(
    r"(?<![A-Za-z])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>\S*@[^\s'\"]*|[^\s'\"]*)"
)
_USER = re.compile(r"[\w.%+${}-]+")
# Some cameras want it in the path: /user=admin_password=1234_channel=1. A / or _ may as well be
# part of it, as in base64, where a = at the end has no value.
_NAMES = r"(?:pass(?:word|wd)?|pwd|token|secret|api_?key)="
_NAMED = re.compile(
    rf"(?P<key>(?:\b|_){_NAMES})"
    r"(?P<value>\$\{[^}\s]*\}(?=[&#_/\s'\"]|$)"
    rf"|(?:\$\{{[^}}\s]*\}}|(?![_/](?:{_NAMES}|[a-z][a-z0-9-]*=[^=&#_/\s'\"]))[^&#\s'\"])+)",
    re.I,
)
_WORDS = "pas|pw|token|secret|key|auth|sig"
"""In keys of a query whose values are secrets; `loginpas` and `p` are passwords of some cameras."""
_PLAIN = re.compile(r"[\w.,/-]{0,24}")
"""A value that can be no address with a login, no second pair behind a `;`, no long random text."""
# A query without its address, as in "GET /snapshot?my_key=1".
_QUERIED = re.compile(
    rf"(?P<key>[?&](?:[^=&#\s]*(?:{_WORDS})[^=&#\s]*|p)=)(?P<value>[^&#\s]+)", re.I
)


def masked(text: str, *, users: bool = False) -> str:
    """Return `text` with the password and the query's values of every address in it masked.

    A value that is a placeholder, `${NAME}`, stays: it says where the secret is, not what it is.
    With `users` the names before the passwords are masked too.
    """
    if "://" in text:
        text = _ADDRESS.sub(lambda m: m["scheme"] + _rest_masked(m["rest"], users=users), text)
    if "=" in text:
        text = _NAMED.sub(_named_masked, _QUERIED.sub(_named_masked, text))
    return text


def masked_address(address: str) -> str:
    """Return `masked` of a text all of which is one address: spaces and quotes belong to it."""
    scheme, mark, rest = address.partition("://")
    return masked(f"{scheme}{mark}{_rest_masked(rest)}" if mark else scheme)


def masked_keys(address: str) -> str:
    """Return one address with its login masked and, of its query, only what seems to be a secret.

    For addresses whose other values people are to read and change, such as `channel=2`.
    """
    scheme, mark, rest = address.partition("://")
    return _NAMED.sub(_named_masked, f"{scheme}{mark}{_rest_masked(rest, keys_only=True)}")


def masked_all(tree: Any) -> Any:
    """Return lists and mappings with every text in them masked."""
    if isinstance(tree, str):
        return masked(tree)
    if isinstance(tree, Mapping):
        return {key: masked_all(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [masked_all(value) for value in tree]
    return tree


def _rest_masked(rest: str, *, users: bool = False, keys_only: bool = False) -> str:
    """Return what follows `scheme://` with its login and its query's values masked.

    With `keys_only` those of the query whose keys are not a secret's stay.
    """
    login, at, place = rest.rpartition("@")
    # Which @ is whose cannot be known any more.
    if at and (re.search(r"[?#]", login) or _NAMED.search(login)):
        return f"{MASK}@{MASK}"
    address, mark, query = place.partition("?")
    query, sharp, fragment = query.partition("#")
    query = f"{mark}{_query_masked(query, keys_only)}{sharp}{fragment}"
    if not at:
        return address + query
    if users:
        return f"{MASK}@{address}{query}"
    user, colon, password = login.partition(":")
    if not colon or not _USER.fullmatch(user):  # a token alone, or a name: cannot be known
        return f"{login if PLACE.fullmatch(login) else MASK}@{address}{query}"
    return f"{user}:{password if PLACE.fullmatch(password) else MASK}@{address}{query}"


def _query_masked(query: str, keys_only: bool) -> str:
    parts = []
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        is_shown = PLACE.fullmatch(value) or (
            keys_only and _PLAIN.fullmatch(value) and not re.search(f"{_WORDS}|^p$", key, re.I)
        )
        shown = value if is_shown else MASK
        parts.append(f"{key}={shown}" if equals else (MASK if part else part))
    return "&".join(parts)


def _named_masked(match: re.Match[str]) -> str:
    shown = match["value"] if PLACE.fullmatch(match["value"]) else MASK
    return f"{match['key']}{shown}"
