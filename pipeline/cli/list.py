"""List the plug-ins of each type with their options."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pipeline.config.plugins import (
    CLASSIFIERS,
    EMBEDDERS,
    FORMATS,
    PLUGIN_TYPES,
    plugin,
    plugin_names,
)
from pipeline.core.options import descriptions

HELP = "list sources, detectors, trackers, sinks, classifiers, embedders, formats and their options"
LISTED = (*PLUGIN_TYPES, CLASSIFIERS, EMBEDDERS, FORMATS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("plugin_type", nargs="?", choices=LISTED, help="only this type of plug-in")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the plug-ins, as text or as JSON."""
    plugin_types = [args.plugin_type] if args.plugin_type else LISTED
    found = {
        plugin_type: {name: _describe(plugin_type, name) for name in plugin_names(plugin_type)}
        for plugin_type in plugin_types
    }
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2, default=str) + "\n")
        return 0
    for plugin_type, plugins in found.items():
        sys.stdout.write(f"{plugin_type}\n")
        for name, about in plugins.items():
            sys.stdout.write(f"  {name}: {about['summary']}\n")
            for option in about["options"]:
                default = option["default"]
                shown = "needed" if default is None and option["required"] else f"= {default}"
                sys.stdout.write(f"      {option['name']} {shown}  {option['help']}\n")
    return 0


def _describe(plugin_type: str, name: str) -> dict[str, Any]:
    module = plugin(plugin_type, name, plugin_type)
    summary = (inspect.getdoc(module) or "").partition("\n")[0]
    model: type[BaseModel] = module.Options
    meanings = descriptions(model)
    options = [
        {
            "name": key,
            "required": field.is_required(),
            "default": None if field.default is PydanticUndefined else field.default,
            "help": " ".join(meanings.get(key, "").split()),
        }
        for key, field in model.model_fields.items()
    ]
    return {"summary": summary, "options": options}
