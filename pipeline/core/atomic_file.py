"""Atomic writing: a file or folder is replaced in one step, so that no reader sees half of it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, *, concurrent: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write a file to, which then replaces `path`.

    After an error inside nothing is left of it and `path` is as before. Where several threads or
    processes may write the same file at once, say `concurrent`: the last one wins. Raises OSError.
    """
    own = f".{os.getpid()}-{threading.get_ident()}" if concurrent else ""
    partial = path.with_name(f".{path.name}{own}.part")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield the path of an empty folder beside `path`, which then replaces it with all it holds.

    After an error inside nothing is left of it and `path` is as before. Raises OSError.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.mkdir()
        yield partial
        if path.is_dir():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)  # no folder can be renamed over one that holds something
            partial.rename(path)
            shutil.rmtree(old)
        else:
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file in one step, its folder made where it is missing; raises OSError.

    Surrogates, as in a file's name that is not UTF-8, are written escaped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(text, "utf-8", "backslashreplace")


def sync_folder(folder: Path) -> None:
    """Wait until what was renamed into a folder, or made in it, outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
