"""Search space: a tracker's options as ranges and choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

# An option may say itself where to search, with Field(json_schema_extra={"tune": ...}): a pair
# [lowest, highest], a list of three or more choices, or false for not at all. Here is the same for
# options by name, as far as their own bounds do not tell.
HINTS: Mapping[str, Any] = {
    "frames": False,  # counting frames would make the result good for one frame rate only
    "published": False,
    "nominal_fps": False,
    "coast_s": False,  # concerns rows that are not scored
    "classes": False,  # ground truth here has one class
    "remember_s": False,  # there are no pictures here to know objects again in
    "max_age_s": [0.1, 4.0],
    "confirm_s": [0.0, 0.5],
}
_SECONDS = (0.0, 2.0)
_AROUND = 4.0
_INSIDE = 1e-3


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]


Space = dict[str, Range | Choice]


def space_of(options: type[BaseModel]) -> Space:
    """Return {option: where to search} of what can be searched.

    A number needs a default; its bounds are those of its field, else those of HINTS, else 0 to 2
    for seconds ("..._s") and a quarter to four times the default for others.
    """
    space: Space = {}
    for name, field in options.model_fields.items():
        extra = field.json_schema_extra
        hint = extra.get("tune") if isinstance(extra, dict) else None
        hint = HINTS.get(name) if hint is None else hint
        where = None if hint is False else _where(name, field, hint)
        if where is not None:
            space[name] = where
    return space


def _where(name: str, field: FieldInfo, hint: Any) -> Range | Choice | None:
    kind, default = field.annotation, field.default
    if isinstance(hint, list) and len(hint) > 2:
        return Choice(tuple(hint))
    if kind is bool:
        return Choice((False, True))
    if get_origin(kind) is Literal:
        return Choice(get_args(kind))
    if isinstance(default, bool) or not isinstance(default, int | float):
        return None
    if hint is not None:
        return Range(hint[0], hint[1], kind is int)
    low, high = _bounds(field)
    if name.endswith("_s"):
        usual = _SECONDS
    else:
        around = sorted((default / _AROUND, default * _AROUND))
        usual = (around[0], around[1]) if default else (-1.0, 1.0)
    low = max(low, min(usual[0], default)) if math.isinf(low) else low
    high = max(usual[1], float(default)) if math.isinf(high) else high
    return Range(low, high, kind is int)


def _bounds(field: FieldInfo) -> tuple[float, float]:
    """Return the least and the greatest number a field takes, infinite where it does not say."""
    low, high = -math.inf, math.inf
    for rule in field.metadata:
        if isinstance(rule, Ge):
            low = float(rule.ge)  # type: ignore[arg-type]
        elif isinstance(rule, Gt):
            low = float(rule.gt) + _INSIDE  # type: ignore[arg-type]
        elif isinstance(rule, Le):
            high = float(rule.le)  # type: ignore[arg-type]
        elif isinstance(rule, Lt):
            high = float(rule.lt) - _INSIDE  # type: ignore[arg-type]
    return low, high
