"""Configuration to Pipeline: the only place where a name becomes a plug-in."""

from __future__ import annotations

import glob
import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from pipeline.config import Config, PluginChoice
from pipeline.engine import Pipeline
from pipeline.errors import ConfigError, UsageError
from pipeline.interfaces import Sink, Source, Tracker
from pipeline.options import unknown, validated

ROOMS = ("sources", "detectors", "trackers", "sinks")


def plugin_names(room: str) -> list[str]:
    """Return the names of the plug-ins in a room, found by looking at its files."""
    package = import_module(f"pipeline.{room}")
    return [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]


def plugin(room: str, kind: str, where: str) -> ModuleType:
    """Return a plug-in's module: one of the room's, or anybody's as "package.module"."""
    if "." in kind:
        try:
            module = import_module(kind)
        except ImportError as error:
            raise ConfigError(f"{where}: cannot import '{kind}': {error}") from error
        if not (hasattr(module, "Options") and callable(getattr(module, "build", None))):
            raise ConfigError(f"{where}: module '{kind}' has no Options and build(options)")
        return module
    known = plugin_names(room)
    if kind not in known:
        raise ConfigError(f"{where}: {unknown(room.removesuffix('s'), kind, known)}")
    return import_module(f"pipeline.{room}.{kind}")


def build(config: Config) -> Pipeline:
    """Return the pipeline `config` describes; raises ConfigError before anything is opened."""
    if not config.sources:
        raise ConfigError("sources: needed but not given")
    detector = _make("detectors", config.detector, "detector")
    sinks: dict[str, Sink] = {}
    for index, choice in enumerate(config.sinks):
        if choice.kind in sinks:
            raise ConfigError(f"sinks.{index}: '{choice.kind}' is there twice")
        sinks[choice.kind] = _make("sinks", choice, f"sinks.{index}")
    return Pipeline(
        _sources(config),
        detector,
        _tracker_factory(config.tracker),
        sinks,
        options=config.run,
        metadata=effective(config),
    )


def effective(config: Config) -> dict[str, Any]:
    """Return the whole configuration with every default filled in, as plain values."""

    def filled(room: str, choice: PluginChoice, where: str) -> dict[str, Any]:
        options = _options(plugin(room, choice.kind, where), choice, where)
        return {"kind": choice.kind, **options.model_dump(mode="json")}

    sources = [source_choice(each, f"sources.{i}") for i, each in enumerate(config.sources)]
    return {
        "sources": [filled("sources", each, f"sources.{i}") for i, each in enumerate(sources)],
        "detector": filled("detectors", config.detector, "detector"),
        "tracker": filled("trackers", config.tracker, "tracker"),
        "sinks": [filled("sinks", each, f"sinks.{i}") for i, each in enumerate(config.sinks)],
        "run": config.run.model_dump(mode="json"),
    }


def source_choice(source: str | PluginChoice, where: str) -> PluginChoice:
    """Return the plug-in for a source given as text: a device, images, an address or a file."""
    if isinstance(source, PluginChoice):
        return source
    if source == "synthetic":
        return PluginChoice(kind="synthetic")
    if source.isdigit() or source.startswith("/dev/video"):
        return PluginChoice.model_validate({"kind": "camera", "device": source})
    if "://" in source and not source.startswith("file://"):
        if "stream" not in plugin_names("sources"):
            raise ConfigError(f"{where}: network streams are not supported yet: '{source}'")
        return PluginChoice.model_validate({"kind": "stream", "url": source})
    path = Path(source.removeprefix("file://"))
    images = plugin("sources", "images", where)
    if path.is_dir() or glob.has_magic(str(path)) or path.suffix.lower() in images.SUFFIXES:
        return PluginChoice.model_validate({"kind": "images", "path": str(path)})
    return PluginChoice.model_validate({"kind": "file", "path": str(path)})


def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file, plug-in options included, for editors."""
    tree = Config.model_json_schema()
    definitions = tree.setdefault("$defs", {})
    for room in ROOMS:
        choices: list[dict[str, Any]] = [{"enum": plugin_names(room)}]
        for kind in plugin_names(room):
            model: type[BaseModel] = plugin(room, kind, room).Options
            one = model.model_json_schema(ref_template="#/$defs/{model}")
            definitions.update(one.pop("$defs", {}))
            one["properties"] = {"kind": {"const": kind}, **one.get("properties", {})}
            one["required"] = ["kind", *one.get("required", [])]
            definitions[f"{room}.{kind}"] = one
            choices.append({"$ref": f"#/$defs/{room}.{kind}"})
        definitions[room] = {"anyOf": choices}
    fields = tree["properties"]
    fields["sources"]["items"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/sources"}]}
    fields["sinks"]["items"] = {"$ref": "#/$defs/sinks"}
    fields["detector"] = {"$ref": "#/$defs/detectors"}
    fields["tracker"] = {"$ref": "#/$defs/trackers"}
    return tree


def _options(module: ModuleType, choice: PluginChoice, where: str) -> BaseModel:
    options: BaseModel = validated(module.Options, choice.options, where)
    return options


def _make(room: str, choice: PluginChoice, where: str) -> Any:
    module = plugin(room, choice.kind, where)
    return module.build(_options(module, choice, where))


def _tracker_factory(choice: PluginChoice) -> Callable[[], Tracker]:
    module = plugin("trackers", choice.kind, "tracker")
    options = _options(module, choice, "tracker")
    return lambda: module.build(options)


def _sources(config: Config) -> list[Source]:
    """Return the sources with names that differ: a second "street" becomes "street-2"."""
    sources: list[Source] = []
    taken: Mapping[str, int] = {}
    for index, each in enumerate(config.sources):
        where = f"sources.{index}"
        choice = source_choice(each, where)
        source: Source = _make("sources", choice, where)
        count = taken.get(source.name, 0) + 1
        taken = {**taken, source.name: count}
        if count > 1:
            if choice.options.get("name"):
                raise UsageError(f"{where}.name: '{source.name}' is there twice")
            source.name = f"{source.name}-{count}"
        sources.append(source)
    return sources
