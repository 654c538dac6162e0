"""Files below the output folder: names that never clash, a check that leaves nothing behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.errors import OutputError, WriteError
from pipeline.interfaces import RunInfo

FLUSH_S = 0.5  # so that a killed process loses clearly less than a second
FLUSH_BYTES = 1 << 16
_NAME_BYTES = 200  # file systems take 255; a part number and a suffix must fit behind
_UNSAFE = re.compile(r"[^\w .()+=@-]+")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # not files on Windows


class OutputFolder:
    """The run's output folder: made when missing, removed again if nothing came into it."""

    def __init__(self, run: RunInfo) -> None:
        self.path = run.output
        self._inputs = [Path(text) for text in _texts(run.metadata.get("sources"))]
        self._made: list[Path] = []
        self._paths: dict[tuple[str, str], Path] = {}

    def make(self) -> None:
        """Make the folder and see that files can be made in it; raises OutputError."""
        with writing(self.path):
            self._made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: want a folder to write to, got a file")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.check(self.path / ".trackline-can-write")

    def check(self, path: Path) -> None:
        """Raise OutputError unless `path` can be written; leaves the disk as it was."""
        if any(_same(path, each) for each in self._inputs):
            raise OutputError(f"{path}: is a source of this run; choose another output folder")
        with writing(path):
            existed = path.exists()
            path.open("ab").close()
            if not existed:
                path.unlink()

    def path_of(self, source: str, suffix: str) -> Path:
        """Return this source's file, always the same and never that of another one.

        Case is ignored, as some file systems do. `suffix` includes its dot.
        """
        if (source, suffix) not in self._paths:
            stem = safe_stem(source)
            taken = {path.name.casefold() for path in self._paths.values()}
            name, count = f"{stem}{suffix}", 1
            while name.casefold() in taken:
                count += 1
                name = f"{stem}-{count}{suffix}"
            self._paths[source, suffix] = self.path / name
        return self._paths[source, suffix]

    def drop_if_empty(self) -> None:
        """Remove the folders this object made, if they are still empty."""
        with suppress(OSError):
            for path in self._made:
                path.rmdir()


class LineFile:
    """A text file that at any moment holds whole lines only, at most a second behind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path, WriteError):
            self._file = path.open("wb", buffering=0)
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._flushed_at = time.monotonic()

    def write(self, lines: str) -> None:
        """Take whole lines; they reach the file now or with one of the next calls."""
        if lines:
            encoded = lines.encode("utf-8", "backslashreplace")
            self._waiting.append(encoded)
            self._bytes += len(encoded)
        if self._bytes > FLUSH_BYTES or time.monotonic() - self._flushed_at > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system; raises WriteError, for a full disk say."""
        block = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._bytes = 0
        self._flushed_at = time.monotonic()
        with writing(self.path, WriteError):
            while block:
                block = block[self._file.write(block) or 0 :]

    def close(self) -> None:
        """Flush and close."""
        try:
            self.flush()
        finally:
            self._file.close()


class writing:  # noqa: N801 - reads as a word: with writing(path)
    """Turn an OSError inside the block into an OutputError that names the path.

    Once frames flow it is a WriteError: the user's arguments were right, the run has failed.
    """

    def __init__(self, path: Path, kind: type[OutputError] = OutputError) -> None:
        self._path = path
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise self._kind(f"{self._path}: cannot be written: {reason}") from error


def safe_stem(name: str) -> str:
    """Return `name` as a file name without suffix that every system takes; never empty."""
    stem = _UNSAFE.sub("_", name).encode("utf-8", "ignore")[:_NAME_BYTES].decode("utf-8", "ignore")
    stem = stem.strip(" .") or "source"
    return f"_{stem}" if _DEVICES.fullmatch(stem) else stem


def _texts(tree: Any) -> Iterator[str]:
    """Yield every text in nested lists and mappings."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        yield from _texts(list(tree.values()))
    elif isinstance(tree, Iterable):
        for each in tree:
            yield from _texts(each)


def _same(path: Path, other: Path) -> bool:
    """Return whether both name one existing file, links followed."""
    with suppress(OSError, ValueError):
        return path.samefile(other)
    return False
