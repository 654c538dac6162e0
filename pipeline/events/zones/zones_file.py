"""Zones files loaded and saved; errors name the file and the line."""

from __future__ import annotations

from pathlib import Path

import yaml

from pipeline.core.atomic_file import rewrite
from pipeline.core.errors import ConfigError, writing
from pipeline.core.options import validated
from pipeline.core.yaml_file import dump, read_yaml
from pipeline.events.zones.schema import ZonesFile, plain


def load_zones(path: str | Path) -> ZonesFile:
    """Return the zones file at `path`; raises ConfigError with the file, line and key."""
    path = Path(path)
    tree = read_yaml(path)
    try:
        return validated(ZonesFile, tree, "")
    except ConfigError as error:
        raise ConfigError(f"{path}:{line_of(path, str(error))}: {error}") from None


def save_zones(path: str | Path, zones: ZonesFile) -> None:
    """Write a zones file in one step, so that no reader sees half of it; raises OutputError.

    What `load_zones` returns afterwards is equal to `zones`. Comments in the file are lost.
    """
    path = Path(path)
    with writing(path):
        rewrite(path, dump(plain(zones)))


def line_of(path: Path, message: str) -> int:
    """Return the line of the first key that an error message is about."""
    try:
        node = yaml.compose(path.read_text("utf-8"), yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return 1
    line, rest = 1, message
    while node is not None:
        node, rest, line = _step(node, rest, line)
    return line


def _step(node: yaml.Node, rest: str, line: int) -> tuple[yaml.Node | None, str, int]:
    """Return the part of `node` that the dotted place at the start of `rest` leads into."""
    if isinstance(node, yaml.MappingNode):
        parts = [(str(key.value), value, key.start_mark.line + 1) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        each = enumerate(node.value)
        parts = [(str(index), value, value.start_mark.line + 1) for index, value in each]
    else:
        return None, rest, line
    for name, value, at in sorted(parts, key=lambda part: -len(part[0])):  # "a.b" before "a"
        if rest.startswith((f"{name}.", f"{name}: ")):
            return value, rest[len(name) + 1 :], at
    for name, _, at in parts:
        if f"unknown key '{name}'" in rest.partition(";")[0]:
            return None, rest, at
    return None, rest, line
