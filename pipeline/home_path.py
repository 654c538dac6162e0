"""The user's own folder in paths: `~` and `~name`."""

from __future__ import annotations

import os
from pathlib import Path


def home_path(path: str | os.PathLike[str]) -> Path:
    """Return the path with a leading `~` or `~name` as that user's folder.

    A file or folder that is really called `~name` is that file, and `~name` of nobody stays as it
    is: `Path.expanduser` raises RuntimeError there.
    """
    plain = Path(path)
    first = plain.parts[0] if plain.parts else ""
    if not first.startswith("~") or (first != "~" and os.path.lexists(plain)):
        return plain
    try:
        return plain.expanduser()
    except RuntimeError:
        return plain
