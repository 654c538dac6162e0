"""Files of a dataset, in a folder or in an object store: listed, read, put and removed.

A store has no rename and no folders: an object is there, whole, once it is put. What is in progress
lies on this machine until then.
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
    """Return whether a file exists; raises OSError where its store cannot be reached."""
    if not is_remote(path):
        return path.exists()
    fs, name = store_of(path)
    with reaching():
        return bool(fs.exists(name))


def names_in(folder: Path) -> list[str]:
    """Return the names of files and folders in a folder, none where it is missing."""
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
    """Return {file: its size} of all below a folder, relative to it, with `/` between folders."""
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
    """Return the texts of files of a folder, or why one could not be read; stores many at once."""
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
    """Write a JSON file in one step, so that it is stored for good before this returns.

    Without `indent` it takes a fifth of the time. With `is_new` a store refuses it where there is
    one already (FileExistsError), if it can.
    Raises OSError.
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
    """Put an object into a store; `is_new`: FileExistsError where there is one. Raises OSError."""
    fs, name = store_of(path)
    with reaching():
        try:
            fs.pipe_file(name, content, mode="create" if is_new else "overwrite")
        except OSError as error:
            # S3's answer to a condition that does not hold, as s3fs passes it on.
            if is_new and ("PreconditionFailed" in repr(error.__cause__) or "412" in str(error)):
                raise FileExistsError(str(error)) from error
            raise


def move_into_place(local: Path, target: Path) -> None:
    """Move a whole file of this machine to its place in the dataset; raises OSError."""
    if is_remote(target):
        fs, name = store_of(target)
        with reaching():
            fs.put_file(str(local), name)
        local.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    local.replace(target)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there; raises OSError."""
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    fs, name = store_of(path)
    with suppress(FileNotFoundError), reaching():
        fs.rm_file(name)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all in it, if it is there; raises OSError."""
    if not is_remote(folder):
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
        return
    fs, name = store_of(folder)
    with suppress(FileNotFoundError), reaching():
        fs.rm(name, recursive=True)


def remove_empty_folders(folder: Path) -> None:
    """Remove a folder and those in it as far as they are empty; a store has none."""
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
