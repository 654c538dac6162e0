"""Options models: what their fields mean, and that they are built where they are first used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import BaseModel, Field

from pipeline.core.options import OptionsModel, descriptions


class Sides(OptionsModel):
    """Two sides and what has no description."""

    width: int = 1
    """How wide it is, in
    pixels."""
    height: int = Field(1, description="how high it is")
    """Not this one."""
    unsaid: int = 1


class Box(Sides):
    """A box: its own fields and those of its base."""

    height: int = 2
    depth: int = 3
    """How deep it is."""


class Plain(BaseModel):
    """Not an options model: a third party's."""

    width: int = Field(1, description="how wide")
    height: int = 1
    """No description: Pydantic does not read it."""


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Sides, {"width": "How wide it is, in\npixels.", "height": "how high it is"}),
        (Box, {"width": "How wide it is, in\npixels.", "depth": "How deep it is."}),
        (Plain, {"width": "how wide"}),
    ],
)
def test_what_fields_mean(model: type[BaseModel], expected: dict[str, str]) -> None:
    assert descriptions(model) == expected


def test_the_json_schema_says_what_fields_mean() -> None:
    properties = Box.model_json_schema()["properties"]
    assert {key: each.get("description") for key, each in properties.items()} == {
        "width": "How wide it is, in\npixels.",
        "height": None,
        "unsaid": None,
        "depth": "How deep it is.",
    }


def test_a_model_made_at_run_time_has_no_descriptions() -> None:
    space: dict[str, type[OptionsModel]] = {}
    code = "class Made(OptionsModel):\n    a: int = 1\n    'what a is'\n"
    exec(code, {"OptionsModel": OptionsModel, "__name__": "made"}, space)
    assert descriptions(space["Made"]) == {}


def test_threads_may_use_a_model_first_at_the_same_time() -> None:
    """Older versions of Pydantic checked one thread's values by the base of the model that another
    thread was just building, and found unknown keys in them."""
    for n in range(20):
        model = type(f"Made{n}", (OptionsModel,), {"__annotations__": {"a": int}})
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda a, made=model: made(a=a), range(8)))
        assert [each.a for each in found] == [*range(8)]
