"""The base of every configuration model, and its errors turned into one line for people."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import ConfigError


class OptionsModel(BaseModel):
    """Base for a plug-in's `Options` and for the sections of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Return `model` made of `values`; raises ConfigError naming the key below `where`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise ConfigError("; ".join(_explain(model, where, each) for each in problems)) from None


def unknown(what: str, came: str, known: list[str]) -> str:
    """Return "unknown WHAT 'CAME'", the near ones first where there are any, and all known."""
    near = get_close_matches(came, known, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"unknown {what} '{came}'{hint} (known: {', '.join(sorted(known))})"


def _explain(model: type[BaseModel], where: str, problem: ErrorDetails) -> str:
    """Return one problem as "section.key: what came and what is allowed"."""
    # Pydantic adds the tried member of a union as a part of its own; people only know their keys.
    path = [str(part) for part in problem["loc"] if not _names_a_type(part)]
    if problem["type"] == "extra_forbidden":
        owner = _model_at(model, path[:-1])
        known = [*owner.model_fields] if owner else []
        return f"{'.'.join([where, *path[:-1]]).strip('.')}: {unknown('key', path[-1], known)}"
    place = ".".join([where, *path]).strip(".")
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{place}: needed but not given"
    came = problem["input"]
    shown = f", got {came!r}" if isinstance(came, str | int | float | bool | None) else ""
    return f"{place}: {message[0].lower()}{message[1:]}{shown}"


def _names_a_type(part: int | str) -> bool:
    return isinstance(part, str) and (not part.isidentifier() or part in _TYPE_TAGS)


_TYPE_TAGS = {"str", "int", "float", "bool", "PluginChoice"}


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    """Return the model of the section at `path` below `model`, if it is one."""
    for part in path:
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        kinds = (annotation, *get_args(annotation))  # `Rule | None` holds a section too
        sections = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not sections:
            return None
        model = sections[0]
    return model
