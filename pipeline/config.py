"""The configuration file's shape: a YAML file, overridden by the command line, as frozen models.

Every section that chooses a plug-in is either its name (`tracker: sort`) or a mapping with `kind`
and that plug-in's own options, which `pipeline.build` checks against the plug-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.engine import RunOptions
from pipeline.errors import ConfigError
from pipeline.options import OptionsModel, validated


class PluginChoice(BaseModel):
    """A plug-in by name, with its options; a bare string is a name without options."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """Return everything but the name."""
        return dict(self.model_extra or {})


class Config(OptionsModel):
    """A whole run: what goes in, what happens to it, what comes out."""

    sources: tuple[str | PluginChoice, ...] = ()
    """Files, folders, devices or addresses; or mappings with `kind` and the source's options."""
    detector: PluginChoice = PluginChoice(kind="yolo")
    """Finds objects in each frame."""
    tracker: PluginChoice = PluginChoice(kind="trackline")
    """Follows them from frame to frame."""
    sinks: tuple[PluginChoice, ...] = (PluginChoice(kind="video"), PluginChoice(kind="csv"))
    """What is written, all of it into `run.output`."""
    run: RunOptions = RunOptions()
    """How much to process, and where to."""

    @model_validator(mode="before")
    @classmethod
    def _with_kinds(cls, tree: Any) -> Any:
        """Add the usual plug-in where only its options are given."""
        if not isinstance(tree, Mapping):
            return tree
        usual = {name: cls.model_fields[name].default.kind for name in ("detector", "tracker")}
        named = {
            name: {"kind": usual[name], **value}
            for name, value in tree.items()
            if name in usual and isinstance(value, Mapping)
        }
        return {**tree, **named}


def load_config(path: str | Path | None, changes: Mapping[str, Any] | None = None) -> Config:
    """Return the configuration in the YAML file at `path` with `changes` applied over it.

    `changes` maps dotted keys ("detector.conf", "sources.0.name") to values. Raises ConfigError
    with the file's name and line where it is not YAML, and with the key where a value is wrong.
    """
    tree = read_yaml(Path(path)) if path is not None else {}
    for key, value in (changes or {}).items():
        _set(tree, key, value)
    return validated(Config, tree, "")


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; raises ConfigError naming the file and line."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: want sections (sources, detector, ...), got {_kind(tree)}")
    return tree


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return (dotted key, value) of "section.key=value"; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set: want section.key=value, got '{text}'")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: value is not valid YAML: '{value}'") from None


def dump(tree: Mapping[str, Any]) -> str:
    """Return `tree` as YAML that `load_config` reads back."""
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True)


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key, making sections on the way.

    A new `kind` drops the options that belonged to the old one.
    """
    *sections, last = key.split(".")
    node: Any = tree
    for depth, section in enumerate(sections):
        child = _child(node, section, ".".join(sections[: depth + 1]))
        if isinstance(child, str):
            child = {"kind": child}
        elif child is None:
            child = {}
        node[int(section) if isinstance(node, list) else section] = child
        node = child
    if isinstance(node, list):
        _child(node, last, key)
        node[int(last)] = value
    elif last == "kind" and node.get("kind") != value:
        node.clear()
        node["kind"] = value
    else:
        node[last] = value


def _child(node: Any, name: str, where: str) -> Any:
    if isinstance(node, list):
        if not name.isdigit() or int(name) >= len(node):
            raise ConfigError(f"{where}: want a number below {len(node)}, got '{name}'")
        return node[int(name)]
    child = node.get(name)
    if child is not None and not isinstance(child, dict | list | str):
        raise ConfigError(f"{where}: is a value, not a section")
    return child


def _kind(tree: object) -> str:
    return "a list" if isinstance(tree, list) else f"'{tree}'"
