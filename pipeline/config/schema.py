"""Schema and loading of the configuration: a YAML file with overrides, as frozen models.

Every section that chooses a plug-in is either its name (`tracker: sort`) or a mapping with `kind`
and that plug-in's own options, which `pipeline.config.build` checks against the plug-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import PrivateAttr, model_validator

from pipeline.config.plugins import plugin
from pipeline.config.secrets import FILE_NAME, Secrets, read_secrets
from pipeline.config.web import WebOptions
from pipeline.core.errors import ConfigError
from pipeline.core.options import OptionsModel, PluginChoice, validated
from pipeline.core.paths import home_path
from pipeline.core.yaml_file import parse_yaml, read_yaml
from pipeline.engine import RunOptions
from pipeline.events.alerts.options import AlertOptions

FROM_TEXT = "auto"
"""The kind of a source given as text, `{source: a.mp4, name: a}`; see resolve.py."""


class Config(OptionsModel):
    """The configuration of a run: sources, detector, tracker, sinks and how to run them."""

    sources: tuple[str | PluginChoice, ...] = ()
    """Files, folders, devices or addresses; or mappings with `kind` and the source's options."""
    detector: PluginChoice = PluginChoice(kind="yolo")
    """Finds objects in each frame."""
    tracker: PluginChoice = PluginChoice(kind="trackline")
    """Tracks objects from frame to frame."""
    sinks: tuple[PluginChoice, ...] = (PluginChoice(kind="video"), PluginChoice(kind="csv"))
    """What is written, all of it into `run.output`."""
    zones: Path | None = None
    """File of zones and lines, by source; a relative path starts at this file's folder."""
    alerts: AlertOptions = AlertOptions()
    """Which events call for an alert, and who gets it."""
    run: RunOptions = RunOptions()
    """How much to process, and where to."""
    web: WebOptions = WebOptions()
    """Where `trackline live` serves its page, and who may use it; other commands ignore it."""

    _secrets: Secrets = PrivateAttr(default_factory=Secrets)

    def model_post_init(self, context: Any) -> None:
        """Take the secrets from the validation context: they are not a key of the file."""
        if isinstance(context, Secrets):
            self._secrets = context

    @property
    def secrets(self) -> Secrets:
        """Return the values that replace `${NAME}` in options."""
        return self._secrets

    @model_validator(mode="before")
    @classmethod
    def _with_kinds(cls, tree: Any) -> Any:
        """Add the default kind to sections that give only options."""
        return _with_default_kinds(tree) if isinstance(tree, Mapping) else tree

    @classmethod
    def keys_below(cls) -> dict[str, list[str]]:
        """Return the keys of each section; a plug-in's are those of the default kind."""
        defaults = {
            name: plugin(f"{name}s", _default_kind(name), name) for name in _PLUGIN_SECTIONS
        }
        options = {name: [*module.Options.model_fields] for name, module in defaults.items()}
        sections: dict[str, type[OptionsModel]]
        sections = {"alerts": AlertOptions, "run": RunOptions, "web": WebOptions}
        own = {name: [*model.model_fields] for name, model in sections.items()}
        return {**options, **own}


_PLUGIN_SECTIONS = ("detector", "tracker")


def _default_kind(section: str) -> str:
    kind: str = Config.model_fields[section].default.kind
    return kind


def _with_default_kinds(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tree` with the default kind in each plug-in section that has only options."""
    full = dict(tree)
    for name in _PLUGIN_SECTIONS:
        if isinstance(full.get(name), Mapping):
            full[name] = {"kind": _default_kind(name), **full[name]}
    if isinstance(sources := full.get("sources"), list | tuple):
        full["sources"] = [
            {"kind": FROM_TEXT, **each} if isinstance(each, Mapping) and "source" in each else each
            for each in sources
        ]
    return full


def load_config(path: str | Path | None, changes: Mapping[str, Any] | None = None) -> Config:
    """Load the YAML file at `path` with `changes` applied over it.

    `changes` maps dotted keys ("detector.conf", "sources.0.name") to values. Raises ConfigError
    with the file's name and line if it is not YAML, and with the key if a value is wrong.
    """
    tree = _with_default_kinds(read_yaml(Path(path)) if path is not None else {})
    if path is not None:
        _start_paths_at(Path(path).parent, tree)
    # Whole sections before their keys, and a kind before its options, in whatever order they came.
    by_depth = sorted(
        (changes or {}).items(), key=lambda one: (one[0].count("."), not one[0].endswith(".kind"))
    )
    for key, value in by_depth:
        _set(tree, key, value)
    secrets = None if path is None else read_secrets(Path(path).with_name(FILE_NAME))
    return validated(Config, tree, "", context=secrets)


def _start_paths_at(folder: Path, tree: dict[str, Any]) -> None:
    """Resolve relative paths of files that accompany a configuration against its folder."""

    def placed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: placed(path) for key, path in value.items()}
        return str(folder / home_path(value)) if isinstance(value, str) else value

    if "zones" in tree:
        tree["zones"] = placed(tree["zones"])
    if isinstance(tracker := tree.get("tracker"), Mapping) and "ground" in tracker:
        tree["tracker"] = {**tracker, "ground": placed(tracker["ground"])}


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return (dotted key, value) of "section.key=value"; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set: want section.key=value, got '{text}'")
    try:
        return key.strip(), parse_yaml(value)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"--set {key}: value is not valid YAML: '{value}'") from None


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key, creating missing sections.

    A new `kind` drops the options of the old one.
    """
    *sections, last = key.split(".")
    if not all([*sections, last]):
        raise ConfigError(f"'{key}': want section.key")
    if sections and tree.get(sections[0]) is None and sections[0] in Config.model_fields:
        # A key in a section that the file lacks changes the section's default.
        tree.update(Config().model_dump(mode="json", include={sections[0]}))
    node: Any = tree
    for depth, section in enumerate(sections):
        child = _section(_child(node, section, key), sections[: depth + 1])
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


def _child(node: Any, name: str, key: str) -> Any:
    if not isinstance(node, list):
        return node.get(name)
    if not name.isdecimal() or int(name) >= len(node):
        if not node:
            raise ConfigError(f"{key}: the list is empty, there is no '{name}'")
        raise ConfigError(f"{key}: want a number below {len(node)}, got '{name}'")
    return node[int(name)]


def _section(value: Any, path: list[str]) -> Any:
    """Return a section for the value at `path`: a plug-in's name becomes a section."""
    if value is None:
        return {}
    if isinstance(value, dict | list):
        return value
    is_plugin = path[0] in _PLUGIN_SECTIONS and len(path) == 1
    if isinstance(value, str) and (is_plugin or path == ["tracker", "embedder"]):
        return {"kind": value}
    if isinstance(value, str) and path[0] == "sinks" and len(path) == 2:
        return {"kind": value}
    if isinstance(value, str) and path[0] == "sources" and len(path) == 2:
        return {"kind": FROM_TEXT, "source": value}
    raise ConfigError(f"{'.'.join(path)}: is a value, not a section")
