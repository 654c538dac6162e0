"""Paths: `~` expanded, and names with special characters as FFmpeg takes them."""

from __future__ import annotations

import os
from pathlib import Path


def ffmpeg_path(path: str | os.PathLike[str]) -> str:
    """Return the name under which FFmpeg opens this very file, for reading and for writing.

    FFmpeg takes what stands before a colon for a protocol: `12:30.mp4` is not found and
    `concat:a|b` is two other files. Behind `file:` everything is the path.
    https://ffmpeg.org/ffmpeg-protocols.html#file
    """
    return f"file:{os.fspath(path)}"


def home_path(path: str | os.PathLike[str]) -> Path:
    """Return the path with a leading `~` or `~name` as that user's folder.

    A file or folder that is really called `~name` is that file, and `~name` of an unknown user
    stays as it is: `Path.expanduser` raises RuntimeError there.
    """
    plain = Path(path)
    first = plain.parts[0] if plain.parts else ""
    if not first.startswith("~") or (first != "~" and os.path.lexists(plain)):
        return plain
    try:
        return plain.expanduser()
    except RuntimeError:
        return plain
