"""Masking of passwords in addresses, for all output.

All text shown to users goes through `masked`. Every `PipelineError` and every log line of the
command is masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
PLACE = re.compile(r"\$(?P<escaped>\$)?\{(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\}")
"""Placeholder of a secret, `${NAME}`; `$${NAME}` is the literal text."""

# Up to the last @, wherever it is: a password that is not percent-encoded may contain anything,
# and masking too much does no harm.
_ADDRESS = re.compile(
    r"(?<![A-Za-z])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>\S*@[^\s'\"]*|[^\s'\"]*)"
)
_USER = re.compile(r"[\w.%+${}-]+")
# Some cameras want it in the path: /user=admin_password=1234_channel=1. A / or _ may also be
# part of it, as in base64, where a = at the end has no value.
_NAMES = r"(?:pass(?:word|wd)?|pwd|token|secret|api_?key)="
_NAMED = re.compile(
    rf"(?P<key>(?:\b|_){_NAMES})"
    r"(?P<value>\$\{[^}\s]*\}(?=[&#_/\s'\"]|$)"
    rf"|(?:\$\{{[^}}\s]*\}}|(?![_/](?:{_NAMES}|[a-z][a-z0-9-]*=[^=&#_/\s'\"]))[^&#\s'\"])+)",
    re.I,
)
_WORDS = "pas|pw|token|secret|key|auth|sig"
"""Parts of query keys whose values are secret; some cameras use `loginpas` and `p` for
passwords."""
_PLAIN = re.compile(r"[\w.,/-]{0,24}")
"""A harmless value: no address with a login, no second pair after a `;`, no long random text."""
# A query without its address, as in "GET /snapshot?my_key=1".
_QUERIED = re.compile(
    rf"(?P<key>[?&](?:[^=&#\s]*(?:{_WORDS})[^=&#\s]*|p)=)(?P<value>[^&#\s]+)", re.I
)


def masked(text: str, *, users: bool = False) -> str:
    """Return `text` with passwords and query values of every address in it masked.

    Placeholders, `${NAME}`, stay: they name a secret but do not contain it. With `users` the user
    names are masked too.
    """
    if "://" in text:
        text = _ADDRESS.sub(lambda m: m["scheme"] + _rest_masked(m["rest"], users=users), text)
    if "=" in text:
        text = _NAMED.sub(_named_masked, _QUERIED.sub(_named_masked, text))
    return text


def masked_address(address: str) -> str:
    """Like `masked` for a text that is one address as a whole: spaces and quotes belong to it."""
    scheme, mark, rest = address.partition("://")
    return masked(f"{scheme}{mark}{_rest_masked(rest)}" if mark else scheme)


def masked_keys(address: str) -> str:
    """Return one address with its login masked and, of its query, only what looks secret.

    For addresses whose other values, such as `channel=2`, users need to read and change.
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
    """Return the part after `scheme://` with its login and query values masked.

    With `keys_only` query values are masked only if their keys are those of secrets.
    """
    login, at, place = rest.rpartition("@")
    # Which @ belongs to which is ambiguous now.
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
    if not colon or not _USER.fullmatch(user):  # either a token or a name
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
