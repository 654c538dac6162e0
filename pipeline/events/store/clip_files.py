"""Clip and thumbnail files: their names and paths; listing, creating and deleting them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("trackline")

_STEM = r"\d{8}-\d{6}-[0-9a-f]{8}\.(mp4|jpg)"
_NAME = re.compile(rf"{_STEM}|\.{_STEM}\.part")


def file_below(folder: Path, path: str) -> Path | None:
    """Return the file of a path from the database; None if it leads out of the folder."""
    root = folder.resolve()
    file = (root / path).resolve()
    return file if file.is_relative_to(root) and file != root else None


def remove(file: Path) -> bool:
    """Delete a clip's file; return whether it existed. If that fails, it is retried later."""
    try:
        file.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        log.warning("events: %s: cannot be deleted: %s", file, error.strerror)
        return False
    return True


def is_clip_name(name: str) -> bool:
    """Return whether a file is named like a clip: 20260131-235959-0123abcd.mp4, or its part file.

    Thumbnails are named likewise: 20260131-235959-0123abcd.jpg.
    """
    return _NAME.fullmatch(name) is not None


def clip_files(folder: Path) -> Iterator[str]:
    """Yield the relative paths of files named like clips in the cameras' folders.

    Links are skipped, and not followed. Only folders are listed, without a call per file: a hundred
    thousand files take a fraction of a second.
    """
    for camera in _listed(folder):
        if camera.is_dir(follow_symlinks=False):
            for file in _listed(camera):
                if is_clip_name(file.name) and file.is_file(follow_symlinks=False):
                    yield f"{camera.name}/{file.name}"


def _listed(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """Return a folder's entries; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def make_private(file: Path) -> None:
    """Create a file that only its owner can read, unless it exists; raises OSError."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
