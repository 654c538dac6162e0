"""Configuration as it may be shown: a second look after the models have hidden their secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.core.masking import MASK, masked

_SECRET_KEY = re.compile(r"(^|_)(password|passwd|token|secret|secrets|key|auth|credentials)($|_)")
_FILE_KEY = re.compile(r"_(file|path)$")


def without_secrets(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's plain values with passwords, tokens and keys as `***`."""
    return {name: _shown(each, name) for name, each in tree.items()}


def _shown(value: Any, key: str) -> Any:
    """Return plain values with passwords, tokens and keys as `***`, in addresses too."""
    if isinstance(value, dict):
        return {name: _shown(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(each, key) for each in value]
    if not isinstance(value, str):
        return value
    if value and _SECRET_KEY.search(key.lower()) and not _FILE_KEY.search(key.lower()):
        return MASK
    return masked(value, users=True)
