"""Saved state as JSON: mappings, lists, text, numbers, and NumPy arrays without loss.

Tracker and watcher states are stored this way. Nothing in such a file is ever executed.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.errors import UsageError

_ARRAY = "$array"
_NUMBER = "$number"
_KINDS = "biufU"  # dtypes allowed: booleans, numbers, text; nothing that needs unpickling
_MAX_BYTES = 1 << 30


def to_json(value: Any) -> Any:
    """Return `value` in the types that `json` writes; raises TypeError for anything but plain data.

    An array becomes its dtype, shape and compressed bytes. Numbers that JSON lacks (NaN, infinity)
    are kept too.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"want an array of numbers or text, got {value.dtype}")
        array = np.ascontiguousarray(value).reshape(value.shape)
        packed = base64.b64encode(zlib.compress(array.tobytes(), 1)).decode("ascii")
        return {_ARRAY: array.dtype.str, "shape": list(array.shape), "zlib": packed}
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {_key(key): to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    raise TypeError(f"want plain data, got {type(value).__name__}")


def from_json(value: Any) -> Any:
    """Reverse `to_json`, with tuples as lists; raises UsageError if the data is damaged."""
    if isinstance(value, list):
        return [from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    if _NUMBER in value:
        return float(value[_NUMBER])
    if _ARRAY not in value:
        return {key: from_json(each) for key, each in value.items()}
    try:
        dtype = np.dtype(value[_ARRAY])
        if dtype.kind not in _KINDS:
            raise ValueError(f"type {dtype}")
        unpack = zlib.decompressobj()
        data = unpack.decompress(base64.b64decode(value["zlib"], validate=True), _MAX_BYTES)
        return np.frombuffer(data, dtype).reshape(value["shape"]).copy()
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise UsageError(f"saved array: damaged ({error})") from None


def _key(key: Any) -> str:
    if not isinstance(key, str) or key in (_ARRAY, _NUMBER):
        raise TypeError(f"want a name as key, got {key!r}")
    return key
