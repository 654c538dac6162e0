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


def rewrite(path: Path, text: str, *, new_mode: int = 0o644, mode: int | None = None) -> None:
    """Write a UTF-8 file that people edit too, in one step; raises OSError.

    A link stays a link, the folder is made where it is missing. The file keeps its permissions, a
    new one gets `new_mode`; with `mode` it has those in any case, at no moment more.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode is None:
        mode = path.stat().st_mode & 0o777 if path.exists() else new_mode
    with replacing(path, concurrent=True) as partial:
        partial.unlink(missing_ok=True)  # one that a crash left may be readable by others
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
            os.fchmod(descriptor, mode)


def sync_folder(folder: Path) -> None:
    """Wait until what was renamed into a folder, or made in it, outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
