"""What the contracts of all plug-in rooms share: which plug-ins there are, what options keep."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
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


def check_all_have_options(room: ModuleType, options: Mapping[str, object]) -> None:
    """Fail unless there are plug-ins in a room, each with options for its contract."""
    assert plugins_in(room), f"no plug-in found in {room.__name__}"
    missing = {*plugins_in(room)} - {*options}
    assert not missing, f"add an entry to OPTIONS in the contract of {room.__name__} for {missing}"


def contract_fixtures(
    room: ModuleType, options_in: Mapping[str, Callable[[Path], dict[str, Any]]]
) -> tuple[Any, Any, Any]:
    """The fixtures of a room's contract: a plug-in's module, its options, and what it builds."""

    @pytest.fixture(params=plugins_in(room))
    def plugin(request: pytest.FixtureRequest) -> Any:
        return importlib.import_module(f"{room.__name__}.{request.param}")

    @pytest.fixture
    def options(plugin: Any, tmp_path: Path) -> Any:
        return plugin.Options(**options_in[plugin.__name__.rpartition(".")[2]](tmp_path))

    @pytest.fixture
    def built(plugin: Any, options: Any) -> Iterator[Any]:
        made = plugin.build(options)
        yield made
        made.close()

    return plugin, options, built


def check_options(plugin: Any, options: Any) -> None:
    """Fail unless a plug-in's options are strict, frozen and described, field by field."""
    with pytest.raises(ValidationError):
        plugin.Options(**options.model_dump(), no_such_option=1)
    with pytest.raises(ValidationError):
        setattr(options, next(iter(plugin.Options.model_fields)), None)
    assert descriptions(plugin.Options).keys() == plugin.Options.model_fields.keys()
