"""What the contracts of all plug-in rooms share: which plug-ins there are, what options keep."""

from __future__ import annotations

import pkgutil
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.options import descriptions


def plugins_in(room: ModuleType) -> list[str]:
    """The names of the plug-ins in a room."""
    return [
        module.name
        for module in pkgutil.iter_modules(room.__path__)
        if not module.ispkg and not module.name.startswith("_")
    ]


def check_options(plugin: Any, options: Any) -> None:
    """Fail unless a plug-in's options are strict, frozen and described, field by field."""
    with pytest.raises(ValidationError):
        plugin.Options(**options.model_dump(), no_such_option=1)
    with pytest.raises(ValidationError):
        setattr(options, next(iter(plugin.Options.model_fields)), None)
    assert descriptions(plugin.Options).keys() == plugin.Options.model_fields.keys()
