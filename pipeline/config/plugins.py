"""The rooms of plug-ins: the only place where a name becomes a plug-in's module."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

from pipeline.core.errors import ConfigError
from pipeline.core.options import unknown

ROOMS = ("sources", "detectors", "trackers", "sinks")


def plugin_names(room: str) -> list[str]:
    """Return the names of the plug-ins in a room, found by looking at its files."""
    package = import_module(f"pipeline.{room}")
    return [
        m.name
        for m in pkgutil.iter_modules(package.__path__)
        if not m.ispkg and not m.name.startswith("_")
    ]


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
