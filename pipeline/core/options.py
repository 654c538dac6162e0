"""Base of every options model, and validation errors as one line in plain words."""

from __future__ import annotations

import ast
import csv
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import (
    Any,
    ClassVar,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    runtime_checkable,
)

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

from pipeline.core.errors import ConfigError
from pipeline.core.secret_masking import masked_address

_MAX_LISTED = 100
"""Limit of names listed in a message: a longer line is unreadable."""


class Needs(NamedTuple):
    """Rule: `options` have no effect unless `other` has a value that `suits`.

    `how` describes that value of `other` in words.
    """

    options: tuple[str, ...]
    other: str
    suits: Callable[[Any], object]
    how: str


class OptionsModel(BaseModel):
    """Base for a plug-in's `Options` and for the sections of the configuration file.

    `needs` lists options that have no effect without another one: giving one alone is an error.
    Rules of base classes apply too. The string below a field documents it: see `descriptions`.
    """

    # Built on first use, and described on request: a third of the time that importing them took.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    needs: ClassVar[tuple[Needs, ...]] = ()

    @model_validator(mode="after")
    def _check_needs(self) -> Self:
        rules = [rule for base in type(self).__mro__ for rule in vars(base).get("needs", ())]
        for rule in rules:
            if rule.suits(getattr(self, rule.other)):
                continue
            for name in rule.options:
                value = getattr(self, name)
                # A whole section may be written out, with every option at its default.
                said = rule.other in self.model_fields_set
                default = type(self).model_fields[name].default
                if name in self.model_fields_set and not (said and value == default):
                    raise useless(name, value, f"does nothing without {rule.how}")
        return self

    @classmethod
    def keys_below(cls) -> dict[str, list[str]]:
        """Return the keys of each section, to tell where a misplaced one belongs."""
        sections = {name: _model_at(cls, [name]) for name in cls.model_fields}
        return {name: [*model.model_fields] for name, model in sections.items() if model}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        """Return the JSON schema, with descriptions."""
        made = handler(schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, text in descriptions(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return made


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return the descriptions of an options model's fields by name, without undocumented ones.

    A description is the field's `description`, or the string below it in an OptionsModel's class.
    """
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, OptionsModel):
            texts |= _strings_below_fields(base)
    found = {
        name: field.description or texts.get(name, "") for name, field in model.model_fields.items()
    }
    return {name: text for name, text in found.items() if text}


@cache
def _strings_below_fields(model: type[BaseModel]) -> dict[str, str]:
    """Return the string below each field in a class's source, "" for a field without one."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, SyntaxError, TypeError):
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(_string(below) or "")
        for field, below in pairwise([*body, ast.Pass()])
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def _string(statement: ast.stmt) -> str | None:
    """Return the string of a statement that is only a string, None for any other statement."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        value = statement.value.value
        return value if isinstance(value, str) else None
    return None


class PluginChoice(BaseModel):
    """A plug-in by name, with its options; a bare string is a name without options."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    kind: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """Return all options except the name."""
        return dict(self.model_extra or {})


@runtime_checkable
class HasConf(Protocol):
    """Optional for a detector's `Options`: `conf`, the lowest score it reports."""

    conf: float


@runtime_checkable
class HasClasses(Protocol):
    """Optional for a detector's `Options`: `classes`, the only classes it reports, None for all."""

    classes: tuple[int | str, ...] | None


@runtime_checkable
class HasModel(Protocol):
    """Optional for a detector's `Options`: `model`, its weights, None for the built-in ones."""

    model: object


@runtime_checkable
class HasWantedConf(Protocol):
    """Optional for a tracker's `Options`: the lowest detection score that the tracker uses."""

    @property
    def wanted_conf(self) -> float:
        """Return the score, from 0 to 1; the detector's `conf` is lowered to it."""


@runtime_checkable
class HasEmbedder(Protocol):
    """Optional for a tracker's `Options`: the embedder passed to `build(options, embedder)`.

    If it is None, `build(options)` is called as for every tracker.
    """

    embedder: PluginChoice | None


@runtime_checkable
class HasGround(Protocol):
    """Optional for a tracker's `Options`: the homography of the ground, or one per source."""

    ground: Path | dict[str, Path] | None


M = TypeVar("M", bound=BaseModel)


def validated(
    model: type[M], values: Mapping[str, Any], where: str, *, context: object = None
) -> M:
    """Return `model` made of `values`; raises ConfigError naming the key below `where`.

    `context` is Pydantic's validation context.
    """
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # One place has one problem for each type of a union that was tried.
    by_place: dict[str, list[str]] = {}
    for problem in problems:
        if _is_beside_the_point(problem, problems):
            continue
        place, message = _explain(model, where, problem)
        messages = by_place.setdefault(place, [])
        if message not in messages:
            messages.append(message)
    shown = [
        f"{place}: {_either(messages)}" if place else _either(messages)
        for place, messages in by_place.items()
    ]
    raise ConfigError("; ".join(shown))


def useless(option: str, value: object, why: str) -> PydanticCustomError:
    """Return the error for an option, given with `value`, that has no effect beside the others."""
    return PydanticCustomError(
        "useless", "{option}: {why}", {"option": option, "came": value, "why": why}
    )


def split_names(text: str) -> list[str]:
    """Return the names in "person,car"; one that holds a comma is quoted: '"car, small",person'."""
    rows = csv.reader([text.replace("\n", " ")], skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


def several_names(value: object) -> object:
    """Return a list for text such as "person,car" or a single number; anything else unchanged."""
    if isinstance(value, str):
        return split_names(value)
    return [value] if isinstance(value, int) else value


def unknown(what: str, came: str, known: list[str]) -> str:
    """Return "unknown WHAT 'CAME'" with similar names first, if any, and the known names."""
    near = get_close_matches(came, known, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"unknown {what} '{came}'{hint} (known: {listed(known)})"


def listed(names: Collection[str]) -> str:
    """Return names in order for a message: the first hundred, and how many there are."""
    more = f", ... ({len(names)} in all)" if len(names) > _MAX_LISTED else ""
    return ", ".join(sorted(names)[:_MAX_LISTED]) + more


def _explain(model: type[BaseModel], where: str, problem: ErrorDetails) -> tuple[str, str]:
    """Describe one problem: its key, what came and what is allowed."""
    if problem["type"] == "extra_forbidden":
        *above, key = problem["loc"]
        path = _keys(above)
        return _place(where, path), _unknown_key(_model_at(model, path), str(key))
    place = _place(where, _keys(problem["loc"]))
    if problem["type"] == "useless":
        found = problem["ctx"]
        return _place(place, [found["option"]]), _with_value(found["why"], found["came"])
    if problem["type"] == "missing":
        return place, "needed but not given"
    text = problem["msg"].removeprefix("Value error, ")
    message = f"{text[0].lower()}{text[1:]}"
    context = problem.get("ctx", {})
    if want := _WANT.get(problem["type"]):
        message = f"want {want.format_map(context)}"
    if context.get("class_name") == "PluginChoice":
        message = "want a name or a section"
    came = problem["input"]
    if problem["type"] == "too_short" and not isinstance(came, str):
        return place, message
    return place, _with_value(message, came)


def _with_value(message: str, came: object) -> str:
    """Return a message followed by the value that came, if it can be shown."""
    if isinstance(came, str) and "://" in came:
        came = masked_address(came)
    if isinstance(came, str | int | float | bool | None):
        return f"{message}, got {came!r}"
    # That it was a list or a section is worth saying only where something else was wanted.
    if isinstance(came, list | tuple | dict) and message.startswith("want "):
        return f"{message}, got a {'section' if isinstance(came, dict) else 'list'}"
    return message


_WANT = {
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "at least {min_length}",
    "model_type": "a section",
    "model_attributes_type": "a section",
    "dict_type": "a section",
    "invalid_key": "text as a key",
    "mapping_type": "a section",
    "path_type": "a path",
    "string_type": "text",
    "string_too_short": "some text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text that matches {pattern}",
}
"""Pydantic's error types, in words for authors of YAML."""


def _is_beside_the_point(problem: ErrorDetails, problems: Sequence[ErrorDetails]) -> bool:
    """Return whether an error says "could have been text" about a section with an error inside."""
    *union, member = problem["loc"] or ("",)
    depth = len(union)
    return _names_a_type(member) and any(
        list(each["loc"][:depth]) == union and len(each["loc"]) > depth + 1 for each in problems
    )


def _keys(location: Sequence[int | str]) -> list[str]:
    """Return the keys of a place as users know them: Pydantic adds the tried member of a union."""
    return [str(part) for part in location if not _names_a_type(part)]


def _place(where: str, path: list[str]) -> str:
    return ".".join([where, *path]).strip(".")


def _either(messages: list[str]) -> str:
    """Merge the messages about one place; "want A, got X" and "want B, got X" become one."""
    parts = [message.partition(", got ") for message in messages]
    if len(parts) > 1 and all(p[0].startswith("want ") and p[2] == parts[0][2] for p in parts):
        wants = dict.fromkeys(want.removeprefix("want ") for want, _, _ in parts)
        _, got, came = parts[0]
        return f"want {' or '.join(wants)}{got}{came}"
    return "; ".join(messages)


def _unknown_key(owner: type[BaseModel] | None, key: str) -> str:
    """Describe an unknown key, with the section it belongs to if there is one."""
    known = [*owner.model_fields] if owner else []
    if owner is not None and issubclass(owner, OptionsModel):
        places = [f"{name}.{key}" for name, keys in owner.keys_below().items() if key in keys]
        if places:
            hint = " or ".join(places)
            return f"unknown key '{key}'; did you mean {hint}? (known: {', '.join(sorted(known))})"
    return unknown("key", key, known)


def _names_a_type(part: int | str) -> bool:
    return isinstance(part, str) and (not part.isidentifier() or part in _TYPE_TAGS)


_TYPE_TAGS = {"str", "int", "float", "bool", "PluginChoice"}


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    """Return the model of the section at `path` below `model`, if it is one."""
    here: Any = model
    for part in path:
        if not _is_model(here):
            here = next((each for each in reversed(get_args(here)) if each is not ...), None)
        else:
            field = here.model_fields.get(part)
            here = field.annotation if field else None
        if get_origin(here) in (Union, UnionType):  # `Rule | None` holds a section too
            here = next((each for each in get_args(here) if _is_model(each)), here)
    return here if _is_model(here) else None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
