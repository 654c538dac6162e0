"""Passwords: where they come from, and what is shown in their place.

What may be shown of a text goes through `masked`. Every `PipelineError` and every log line of the
command does so by itself, so nobody has to remember; an address that is an option is a
`SecretUrl`, whose text is masked and whose real value has to be asked for by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MASK = "***"
FILE_NAME = "secrets.yaml"
"""Keys and values beside the configuration; looked at where the environment has no such name."""

# Up to the last @, wherever it stands: a password that was not percent-encoded may hold anything,
# and to mask too much is no harm.
_ADDRESS = re.compile(r"\b(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>\S*@[^\s'\"]*|[^\s'\"]*)")
_USER = re.compile(r"[\w.%+${}-]+")
# Some cameras want it in the path: /user=admin_password=1234_channel=1
_NAMED = re.compile(
    r"(?P<key>\b|_)(?P<name>pass(?:word|wd)?|pwd|token|secret|api_?key)=(?P<value>[^&#_/\s'\"]+)",
    re.I,
)
_PLACE = re.compile(r"\$(?P<escaped>\$)?\{(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\}")


def masked(text: str) -> str:
    """Return `text` with the login and the query's values of every address in it masked.

    A value that is a placeholder, `${NAME}`, stays: it says where the secret is, not what it is.
    """
    if "://" in text:
        text = _ADDRESS.sub(lambda m: m["scheme"] + _rest_masked(m["rest"]), text)
    if "=" in text:
        text = _NAMED.sub(_named_masked, text)
    return text


def masked_all(tree: Any) -> Any:
    """Return lists and mappings with every text in them masked."""
    if isinstance(tree, str):
        return masked(tree)
    if isinstance(tree, Mapping):
        return {key: masked_all(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [masked_all(value) for value in tree]
    return tree


def _rest_masked(rest: str) -> str:
    """Return what follows `scheme://` with its login and its query's values masked."""
    login, at, place = rest.rpartition("@")
    if at and re.search(r"[?#]", login):  # which @ is whose cannot be known any more
        return f"{MASK}@{MASK}"
    address, mark, query = place.partition("?")
    query, sharp, fragment = query.partition("#")
    query = f"{mark}{_query_masked(query)}{sharp}{fragment}"
    if not at:
        return address + query
    user, colon, password = login.partition(":")
    if not colon or not _USER.fullmatch(user):  # a token alone, or a name: nobody can know
        return f"{login if _PLACE.fullmatch(login) else MASK}@{address}{query}"
    return f"{user}:{password if _PLACE.fullmatch(password) else MASK}@{address}{query}"


def _query_masked(query: str) -> str:
    parts = []
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        shown = value if _PLACE.fullmatch(value) else MASK
        parts.append(f"{key}={shown}" if equals else (MASK if part else part))
    return "&".join(parts)


def _named_masked(match: re.Match[str]) -> str:
    shown = match["value"] if match["value"].startswith("$") else MASK
    return f"{match['key']}{match['name']}={shown}"


class SecretUrl:
    """An address whose text, dump and repr are masked; `reveal()` gives the real one.

    Equal to another one only where the real addresses are.
    """

    __slots__ = ("_address",)

    def __init__(self, address: str) -> None:
        self._address = address

    def reveal(self) -> str:
        """Return the address as it was given, for whoever connects to it."""
        return self._address

    def __str__(self) -> str:
        scheme, mark, rest = self._address.partition("://")
        # Of all that follows, for there may be spaces or quotes in a password.
        return masked(f"{scheme}{mark}{_rest_masked(rest)}" if mark else scheme)

    def __repr__(self) -> str:
        return f"SecretUrl('{self}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretUrl) and other._address == self._address

    def __hash__(self) -> int:
        return hash(self._address)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema: made of text, dumped as the masked text."""
        del source, handler
        from_text = core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(min_length=1)
        )
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema(
                [core_schema.is_instance_schema(cls), from_text]
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema()
            ),
        )


class UnknownSecretError(LookupError):
    """A placeholder whose name neither the environment nor the secrets file has."""


class Secrets:
    """What `${NAME}` stands for: the environment's value, or else the secrets file's."""

    def __init__(self, values: Mapping[str, str] | None = None, file: Path | None = None) -> None:
        self._values = dict(values or {})
        self._file = file

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and other._values == self._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def filled(self, value: Any) -> Any:
        """Return `value` with the placeholders in all its texts filled in; `$${NAME}` is literal.

        Raises UnknownSecretError naming the placeholder.
        """
        if isinstance(value, str):
            return self._filled_text(value)
        if isinstance(value, Mapping):
            return {key: self.filled(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.filled(each) for each in value]
        return value

    def _filled_text(self, text: str) -> str:
        def fill(match: re.Match[str]) -> str:
            if match["escaped"]:
                return match[0][1:]
            found = self._find(match["name"])
            # An @ or a / in a password would end the login of the address it is put in.
            return quote(found, safe="") if _is_in_login_or_query(text, match) else found

        return _PLACE.sub(fill, text)

    def _find(self, name: str) -> str:
        found = os.environ.get(name, self._values.get(name))
        if found is None:
            where = f"nor {self._file}" if self._file else f"and there is no {FILE_NAME}"
            raise UnknownSecretError(f"'${{{name}}}': the environment does not have it, {where}")
        return found


def has_placeholder(text: str) -> bool:
    """Return whether a `${NAME}` in `text` is to be filled in."""
    return any(not match["escaped"] for match in _PLACE.finditer(text))


def _is_in_login_or_query(text: str, match: re.Match[str]) -> bool:
    before, after = text[: match.start()], text[match.end() :]
    _, mark, rest = before.partition("://")
    if not mark:
        return False
    if "?" in rest:
        return True
    return "/" not in rest and "@" in re.split(r"[/?#]", after, maxsplit=1)[0]
