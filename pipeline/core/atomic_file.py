"""Atomic writing: a file or folder is replaced in one step, so no reader ever sees half of it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, *, concurrent: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file written there then replaces `path`.

    After an error in the block nothing is left behind and `path` is unchanged. Set `concurrent` if
    several threads or processes may write the same file at once: the last one wins. Raises OSError.
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
    """Yield an empty folder beside `path`, which then replaces `path` with everything in it.

    After an error in the block nothing is left behind and `path` is unchanged. Raises OSError.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.mkdir()
        yield partial
        if path.is_dir():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)  # a folder cannot be renamed over one that is not empty
            partial.rename(path)
            shutil.rmtree(old)
        else:
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file in one step, creating its folder if missing; raises OSError.

    Surrogates, as in a file name that is not UTF-8, are written escaped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(text, "utf-8", "backslashreplace")


def rewrite(path: Path, text: str, *, new_mode: int = 0o644, mode: int | None = None) -> None:
    """Replace a UTF-8 file that people edit as well, in one step; raises OSError.

    A symbolic link stays a link, and a missing folder is created. An existing file keeps its
    permissions, a new one gets `new_mode`. With `mode` the file has exactly these permissions and
    never wider ones, not even for a moment.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode is None:
        mode = path.stat().st_mode & 0o777 if path.exists() else new_mode
    with replacing(path, concurrent=True) as partial:
        partial.unlink(missing_ok=True)  # a leftover of a crash may be readable by others
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
            os.fchmod(descriptor, mode)


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that renamed and new files in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems do not support it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
