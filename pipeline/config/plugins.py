"""Plug-in lookup: from a name in the configuration to the module that implements it."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from pipeline.core.errors import ConfigError
from pipeline.core.options import PluginChoice, unknown, validated

PLUGIN_TYPES = ("sources", "detectors", "trackers", "sinks")
"""Plug-in types that a configuration names."""
CLASSIFIERS = "classifiers"
"""Plug-in type that tags pictures."""
EMBEDDERS = "embedders"
"""Plug-in type for re-identification in a tracker."""
FORMATS = "formats"
"""Plug-in type that exports tracks."""
_PACKAGES = {FORMATS: "pipeline.archive.formats"}


def plugin_names(plugin_type: str) -> list[str]:
    """Return the names of the built-in plug-ins of one type ("sources"), by the files there."""
    package = import_module(_package(plugin_type))
    return [
        m.name
        for m in pkgutil.iter_modules(package.__path__)
        if not m.ispkg and not m.name.startswith("_")
    ]


def plugin(plugin_type: str, kind: str, where: str) -> ModuleType:
    """Return a plug-in's module: a built-in one by name, or a third party's as "package.module".

    Raises ConfigError naming `where`.
    """
    if "." in kind:
        try:
            module = import_module(kind)
        except ImportError as error:
            raise ConfigError(f"{where}: cannot import '{kind}': {error}") from error
        if not (hasattr(module, "Options") and callable(getattr(module, "build", None))):
            raise ConfigError(f"{where}: module '{kind}' has no Options and build(options)")
        return module
    known = plugin_names(plugin_type)
    if kind not in known:
        raise ConfigError(f"{where}: {unknown(plugin_type.removesuffix('s'), kind, known)}")
    return import_module(f"{_package(plugin_type)}.{kind}")


def _package(plugin_type: str) -> str:
    return _PACKAGES.get(plugin_type, f"pipeline.{plugin_type}")


def plugin_options(module: ModuleType, choice: PluginChoice, where: str) -> BaseModel:
    """Return a plug-in's options from the configuration; raises ConfigError naming `where`."""
    options: BaseModel = validated(module.Options, choice.options, where)
    return options


def make_plugin(plugin_type: str, choice: PluginChoice, where: str) -> Any:
    """Return a plug-in built from the configuration, not yet opened; raises ConfigError."""
    module = plugin(plugin_type, choice.kind, where)
    return module.build(plugin_options(module, choice, where))
