"""The file of passwords beside a configuration: KEY: VALUE, for `${KEY}` in a source's options."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import yaml

from pipeline.errors import ConfigError
from pipeline.secrets import Secrets

log = logging.getLogger("trackline")


def read_secrets(path: Path) -> Secrets:
    """Return the keys and values of the secrets file, none where there is no such file.

    Warns where other users can read it; raises ConfigError, which holds none of what is in it.
    """
    if not path.exists():
        return Secrets(file=path)
    try:
        # As text, each of them: 0123 is a password, not a number.
        tree = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: want lines of KEY: VALUE, values with special signs in quotes")
    for key, value in tree.items():
        if not isinstance(value, str):
            raise ConfigError(f"{path}: {key}: want text, got a list or section")
    if _read_by_others(path):
        log.warning("%s: other users can read it; chmod 600 keeps it to you", path)
    return Secrets(tree, path)


def _read_by_others(file: Path) -> bool:
    return os.name == "posix" and bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
