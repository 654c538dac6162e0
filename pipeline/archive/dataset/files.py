"""Files of a dataset, in a folder or in an object store: list, read, write and remove.

A store has no rename and no folders: an object exists, complete, once it is put. Until then work in
progress is on this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.archive.remote import is_remote, reaching, store_of
from pipeline.core.atomic_file import replacing, sync_folder

WORK = ".work"
_READS_AT_ONCE = 32


def work_root(dataset: Path) -> Path:
    """Return the folder of segments in progress: the dataset's own, or this machine's cache."""
    if not is_remote(dataset):
        return dataset / WORK
    from platformdirs import user_cache_path

    digest = hashlib.sha256(str(dataset).encode()).hexdigest()[:16]
    return user_cache_path("trackline") / "batch" / digest


def is_there(path: Path) -> bool:
    """Return whether a file exists; raises OSError if its store cannot be reached."""
    if not is_remote(path):
        return path.exists()
    fs, name = store_of(path)
    with reaching():
        return bool(fs.exists(name))


def names_in(folder: Path) -> list[str]:
    """Return the names of files and folders in a folder; none if it does not exist."""
    try:
        if not is_remote(folder):
            return os.listdir(folder)
        fs, name = store_of(folder)
        with reaching():
            found = fs.ls(name, detail=False)
    except FileNotFoundError:
        return []
    return [last for each in found if (last := each.rstrip("/").rpartition("/")[2])]


def files_below(folder: Path) -> dict[str, int]:
    """Return {file: its size} of all files below a folder, as relative paths with `/`."""
    if not is_remote(folder):
        paths = [Path(inside, name) for inside, _, names in os.walk(folder) for name in names]
        return {each.relative_to(folder).as_posix(): each.lstat().st_size for each in paths}
    fs, name = store_of(folder)
    try:
        with reaching():
            found = fs.find(name, detail=True)
    except FileNotFoundError:
        return {}
    start = len(fs._strip_protocol(name).rstrip("/")) + 1
    return {each[start:]: int(info.get("size") or 0) for each, info in found.items()}


def read_text(path: Path) -> str:
    """Return a file's text; raises OSError."""
    if not is_remote(path):
        return path.read_text("utf-8", "replace")
    fs, name = store_of(path)
    with reaching():
        return bytes(fs.cat_file(name)).decode("utf-8", "replace")


def read_texts(folder: Path, names: Sequence[str]) -> dict[str, str | OSError]:
    """Return the texts of a folder's files, or why one is unreadable; from stores many at once."""
    if not is_remote(folder) or len(names) < 2:
        return {name: _text_or_error(folder / name) for name in names}
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        return dict(
            zip(names, pool.map(lambda name: _text_or_error(folder / name), names), strict=True)
        )


def _text_or_error(path: Path) -> str | OSError:
    try:
        return read_text(path)
    except OSError as error:
        return error


def write_json(path: Path, value: Any, *, is_new: bool = False, indent: int | None = 1) -> None:
    """Write a JSON file in one step; it is on disk before this returns.

    Without `indent` it takes a fifth of the time. With `is_new` a store that supports it refuses to
    replace an existing object (FileExistsError). Raises OSError.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if is_remote(path):
        put_bytes(path, text.encode("utf-8"), is_new=is_new)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def put_bytes(path: Path, content: bytes, *, is_new: bool = False) -> None:
    """Put an object into a store; `is_new`: FileExistsError if it exists. Raises OSError."""
    fs, name = store_of(path)
    with reaching():
        try:
            fs.pipe_file(name, content, mode="create" if is_new else "overwrite")
        except OSError as error:
            # S3's response to a failed condition, as passed on by s3fs.
            if is_new and ("PreconditionFailed" in repr(error.__cause__) or "412" in str(error)):
                raise FileExistsError(str(error)) from error
            raise


def move_into_place(local: Path, target: Path) -> None:
    """Move a complete file of this machine to its place in the dataset; raises OSError."""
    if is_remote(target):
        fs, name = store_of(target)
        with reaching():
            fs.put_file(str(local), name)
        local.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    local.replace(target)


def remove_file(path: Path) -> None:
    """Remove a file if it exists; raises OSError."""
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    fs, name = store_of(path)
    with suppress(FileNotFoundError), reaching():
        fs.rm_file(name)


def remove_folder(folder: Path) -> None:
    """Remove a folder with its content if it exists; raises OSError."""
    if not is_remote(folder):
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
        return
    fs, name = store_of(folder)
    with suppress(FileNotFoundError), reaching():
        fs.rm(name, recursive=True)


def remove_empty_folders(folder: Path) -> None:
    """Remove a folder and its subfolders as far as they are empty; stores have no folders."""
    if is_remote(folder):
        return
    for inside, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # not empty
            os.rmdir(inside)


def children_with(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Yield the files `camera=*/date=*/NAME` below a table's folder that have these suffixes."""
    for name in files_below(folder):
        parts = name.split("/")
        if (
            len(parts) == 3
            and parts[0].startswith("camera=")
            and parts[1].startswith("date=")
            and name.endswith(tuple(suffixes))
        ):
            yield folder / name
