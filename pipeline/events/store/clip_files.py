"""Clips and thumbnails on the disk: their names and paths, listed, created and deleted."""

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


def is_clip_name(name: str) -> bool:
    """Return whether a file is named as clips are: 20260131-235959-0123abcd.mp4, or its part.

    Thumbnails are named alike: 20260131-235959-0123abcd.jpg.
    """
    return _NAME.fullmatch(name) is not None


def clip_files(folder: Path) -> Iterator[str]:
    """Yield the paths, below the folder, of files named as clips in the cameras' folders.

    A link is never one of them, nor what a link leads to. No file is asked for but in its folder's
    list: a hundred thousand take a fraction of a second.
    """
    for camera in _listed(folder):
        if camera.is_dir(follow_symlinks=False):
            for file in _listed(camera):
                if is_clip_name(file.name) and file.is_file(follow_symlinks=False):
                    yield f"{camera.name}/{file.name}"


def _listed(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """Return what is in a folder; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def make_private(file: Path) -> None:
    """Make a file that its owner alone can read, unless it is there; raises OSError."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
