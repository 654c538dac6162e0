"""Class ids for the class names or numbers that a user asks for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pipeline.core.data import ClassNames
from pipeline.core.errors import ModelError

MAX_SHOWN = 20


def wanted_ids(wanted: Sequence[int | str], names: ClassNames) -> list[int]:
    """Return the class ids for `wanted` names (in any case) or numbers.

    Several classes may share a name, which then selects all of them. Raises ModelError with the
    close matches, or with all names if there are few.
    """
    by_name: dict[str, list[int]] = {}
    for class_id, name in names.items():
        by_name.setdefault(name.strip().casefold(), []).append(class_id)
    ids: list[int] = []
    for item in wanted:
        text = str(item).strip()
        if text.casefold() in by_name:
            ids += by_name[text.casefold()]
        elif text.isdecimal() and int(text) in names:
            ids.append(int(text))
        else:
            raise ModelError(f"classes: the model has no class {text!r}; {_hint(text, names)}")
    return sorted(set(ids))


def _hint(text: str, names: ClassNames) -> str:
    known = {name.casefold(): name for name in names.values()}
    close = [known[key] for key in difflib.get_close_matches(text.casefold(), known, n=3)]
    if close:
        return f"close: {', '.join(close)}"
    listed = ", ".join(list(names.values())[:MAX_SHOWN])
    more = ", ..." if len(names) > MAX_SHOWN else ""
    return f"it knows {len(names)} (or their ids 0 to {max(names)}): {listed}{more}"
