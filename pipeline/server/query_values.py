"""Query parameters: times as Unix seconds or ISO 8601, and the cursor of a list."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BeforeValidator, WithJsonSchema

MAX_UNIX_S = 253402300799.0
"""The end of the year 9999, the last that ISO 8601 can say."""
_CURSOR = r"^\d{1,12}\.\d{9}_\d{1,19}$"


def unix_seconds(value: Any) -> float:
    """Return a time as Unix seconds; raises ValueError. Without a zone it is UTC."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        text = str(value)
        try:
            # "+" in an address stands for a space unless it was escaped.
            when = datetime.fromisoformat(re.sub(r" (?=\d\d:?\d\d$)", "+", text))
        except ValueError:
            raise ValueError("want Unix seconds or a time such as 2026-01-31T23:59:59Z") from None
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        seconds = (when - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    if not math.isfinite(seconds) or abs(seconds) > MAX_UNIX_S:
        raise ValueError("want Unix seconds or a time such as 2026-01-31T23:59:59Z")
    return seconds


Time = Annotated[
    float | None,
    BeforeValidator(lambda value: None if value is None else unix_seconds(value)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": -MAX_UNIX_S, "maximum": MAX_UNIX_S},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
    Query(description="Unix seconds, or ISO 8601; without a zone it is UTC."),
]
Seconds = Annotated[float | None, Query(ge=0, le=1e9, allow_inf_nan=False)]
Cursor = Annotated[
    str | None, Query(pattern=_CURSOR, description="`next` of an answer: goes on behind it.")
]


def cursor_of(time: float, number: int) -> str:
    """Return the cursor behind an item of a list."""
    return f"{time:.9f}_{number}"


def place_of(cursor: str | None) -> tuple[float, int] | None:
    """Return the (time, number) of the item that a cursor is behind."""
    if cursor is None:
        return None
    time, _, number = cursor.partition("_")
    return float(time), int(number)
