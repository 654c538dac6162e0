"""Secrets: values for `${NAME}` in options, from the environment or from secrets.yaml."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from pipeline.core.atomic_file import rewrite
from pipeline.core.errors import ConfigError, writing
from pipeline.core.secret_masking import PLACE

log = logging.getLogger("trackline")

FILE_NAME = "secrets.yaml"
"""File of keys and values beside the configuration; the environment takes precedence."""


class UnknownSecretError(LookupError):
    """A placeholder whose name is in neither the environment nor the secrets file."""


class Secrets:
    """Values of `${NAME}`: from the environment, or else from the secrets file."""

    def __init__(self, values: Mapping[str, str] | None = None, file: Path | None = None) -> None:
        self._values = dict(values or {})
        self._file = file

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and other._values == self._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    @property
    def names(self) -> frozenset[str]:
        """Return the names that have a value: those of the file, and of the environment."""
        return frozenset(self._values) | frozenset(os.environ)

    @property
    def file_names(self) -> frozenset[str]:
        """Return the names that have a value in the file."""
        return frozenset(self._values)

    def filled(self, value: Any) -> Any:
        """Return `value` with all placeholders in its texts filled in; `$${NAME}` stays literal.

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
            # An @ or a / in a password would end the login of an address.
            return quote(found, safe="") if _is_in_login_or_query(text, match) else found

        return PLACE.sub(fill, text)

    def _find(self, name: str) -> str:
        found = os.environ.get(name, self._values.get(name))
        if found is None:
            where = f"nor {self._file}" if self._file else f"and there is no {FILE_NAME}"
            raise UnknownSecretError(f"'${{{name}}}': not in the environment, {where}")
        return found


def read_secrets(path: Path, *, warn: bool = True) -> Secrets:
    """Read the secrets file; {} if there is none.

    With `warn`, warns if other users can read it. Raises ConfigError, which contains none of the
    file's content.
    """
    if not path.exists():
        return Secrets(file=path)
    try:
        # All values as text: 0123 is a password, not a number.
        tree = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: want lines of KEY: VALUE, quote values with special characters")
    for key, value in tree.items():
        if not isinstance(value, str):
            raise ConfigError(f"{path}: {key}: want text, got a list or section")
    if warn and _read_by_others(path):
        log.warning("%s: other users can read it; protect it with chmod 600", path)
    return Secrets(tree, path)


def save_secret(path: Path, name: str, value: str | None) -> None:
    """Write a secret to the file, readable by its owner only; None removes it.

    Its other lines stay. Raises OutputError, and ConfigError if the existing file cannot be read.
    """
    wanted = dict(read_secrets(path, warn=False)._values)
    lines = range(0)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if wanted.pop(name, None) is not None:
        lines = _lines_of(text, name)
    kept = "".join(line for i, line in enumerate(text.splitlines(keepends=True)) if i not in lines)
    if value is not None:
        kept += "" if not kept or kept.endswith("\n") else "\n"
        quoted = yaml.dump(value, default_style='"', allow_unicode=True, width=1 << 20)
        kept += f"{name}: {quoted}"
        wanted[name] = value
    try:
        found = yaml.load(kept, yaml.BaseLoader) or {}
    except (yaml.YAMLError, ValueError):
        found = None
    if found != wanted:
        raise ConfigError(
            f"{path}: its layout cannot be edited automatically (want one KEY per line)"
        )
    with writing(path):
        rewrite(path, kept, mode=0o600)


def _lines_of(text: str, name: str) -> range:
    """Return the numbers of the lines of a secret."""
    root: Any = yaml.compose(text, yaml.SafeLoader)
    for key, value in root.value:
        if key.value == name:
            end: yaml.Mark = value.end_mark
            return range(key.start_mark.line, end.line + (end.column > 0))
    return range(0)


def _is_in_login_or_query(text: str, match: re.Match[str]) -> bool:
    before, after = text[: match.start()], text[match.end() :]
    _, mark, rest = before.partition("://")
    if not mark:
        return False
    if "?" in rest:
        return True
    return "/" not in rest and "@" in re.split(r"[/?#]", after, maxsplit=1)[0]


def _read_by_others(file: Path) -> bool:
    return os.name == "posix" and bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
