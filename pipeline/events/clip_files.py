"""Clips on the disk: where a stored path leads, which files there are, how one goes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("trackline")

_SUFFIXES = (".mp4", ".part")


def file_below(folder: Path, path: str) -> Path | None:
    """Return the file of a path that a database gave; None if it leads out of the folder."""
    root = folder.resolve()
    file = (root / path).resolve()
    return file if file.is_relative_to(root) and file != root else None


def remove(file: Path) -> bool:
    """Delete a clip's file if it is there; return whether it was. One that stays is tried later."""
    try:
        file.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        log.warning("events: %s: cannot be deleted: %s", file, error.strerror)
        return False
    return True


def clip_files(folder: Path) -> Iterator[Path]:
    """Yield what looks like a clip: in a camera's folder, never a link that leads elsewhere."""
    for file in folder.glob("*/*"):
        linked = file.is_symlink() or file.parent.is_symlink()
        if file.suffix in _SUFFIXES and not linked and file.is_file():
            yield file
