"""Plain data through JSON: what goes in comes out to the last bit, and nothing else goes in."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from pipeline.core.errors import UsageError
from pipeline.core.state_json import from_json, to_json


def through_json(value):
    return from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))


@given(
    st_numpy.arrays(
        st.sampled_from(["f8", "f4", "i8", "u1", "?", "U5"]),
        st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0),
    )
)
@pytest.mark.slow
def test_arrays_are_kept_to_the_last_bit(array):
    got = through_json({"x": array})["x"]
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    assert got.tobytes() == np.ascontiguousarray(array).tobytes()
    assert got.flags.writeable


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -0.1, 1e-300, math.inf, -math.inf, "ä", [1, [2]], {"a": {"b": []}}],
)
def test_the_rest_is_kept(value):
    assert through_json(value) == value


def test_what_is_not_a_number_stays_so():
    assert math.isnan(through_json({"x": math.nan})["x"])
    assert through_json(np.float64(0.5)) == 0.5


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {"$array": 1}, np.array([object()]), {"x": {1, 2}}]
)
def test_other_things_are_refused(value):
    with pytest.raises(TypeError):
        to_json(value)


@pytest.mark.parametrize(
    "damage",
    [
        {"zlib": "AAAA"},
        {"zlib": "not base64!"},
        {"shape": [7]},
        {"$array": "O"},
        {"$array": "nonsense"},
    ],
)
def test_a_damaged_array_is_one_line(damage):
    with pytest.raises(UsageError, match="saved array: damaged"):
        from_json({**to_json(np.arange(3.0)), **damage})
