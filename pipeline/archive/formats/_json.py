"""JSON of any length: written item by item, read with one-line errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from pipeline.core.errors import UsageError, reading

HEAD_BYTES = 1 << 16
Hook = Callable[[dict[str, Any]], Any]


def write_array(file: IO[str], items: Iterable[Any]) -> None:
    """Write a JSON array, one item per line, without holding all of them in memory."""
    file.write("[")
    separator = "\n"
    for item in items:
        file.write(separator + compact(item))
        separator = ",\n"
    file.write("]")


def compact(item: Any) -> str:
    """Return a value as JSON in one line; raises ValueError for NaN, which JSON does not allow."""
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def read_json(path: Path, hook: Hook | None = None) -> Any:
    """Return the content of a JSON file; `hook` may replace each object as it is read.

    Raises UsageError for invalid JSON, and for a ValueError, KeyError or TypeError of the hook.
    """
    with reading(path):
        text = path.read_text("utf-8-sig")
    try:
        return json.loads(text, object_hook=hook)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not whole JSON: {error.msg}") from None
    except KeyError as error:
        raise UsageError(f"{path}: an object has no {error}") from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise UsageError(f"{path}: {error}") from None
    except RecursionError:
        raise UsageError(f"{path}: objects are too deep within each other") from None


def head_of(path: Path) -> str:
    """Return the beginning of a .json file as text, "" for other or missing files."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def member(tree: Any, key: str, kind: type, where: object) -> Any:
    """Return a member of a mapping; raises UsageError unless it has that type."""
    value = tree.get(key) if isinstance(tree, Mapping) else None
    if not isinstance(value, kind):
        came = "nothing" if value is None else type(value).__name__
        raise UsageError(f"{where}: want '{key}' as {_KINDS[kind]}, got {came}")
    return value


_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "text"}
