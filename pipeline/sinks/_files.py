"""The output folder of a run: file names without collisions, write checks, text files of rows."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

from pipeline.core.errors import OutputError, WriteError, writing
from pipeline.core.paths import folded, safe_stem, unused_name
from pipeline.core.run_info import RunInfo
from pipeline.sinks._folder_lock import FolderUse, use_folder

log = logging.getLogger("trackline")

FLUSH_S = 0.5  # so that a killed process loses clearly less than a second
FLUSH_BYTES = 1 << 16
RESERVED = frozenset({"clips", "events", "labels", "tracks"})
"""Reserved names in the output folder: those of clips, labels, and tables in parts."""


class OutputFolder:
    """The run's output folder: created if missing, removed again if nothing was written to it.

    From `make` to `drop_if_empty` no other program may write there.
    """

    def __init__(self, run: RunInfo) -> None:
        self.path = run.output
        self._inputs = [Path(text) for text in _texts(run.metadata.get("sources"))]
        self._inputs += [Path(info.file) for info in run.sources.values() if info.file]
        self._made: list[Path] = []
        self._paths: dict[tuple[str, str], Path] = {}
        self._use: FolderUse | None = None

    def make(self) -> None:
        """Create the folder, check that it is writable and lock it; raises OutputError."""
        with writing(self.path):
            self._made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: want a folder to write to, got a file")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._try(self.path / ".trackline-can-write")
        with writing(self.path):
            self._use = use_folder(self.path)

    def check(self, path: Path, *, appends: bool = False) -> None:
        """Check that this run may write `path`; raises OutputError, leaves the disk unchanged.

        Refused are its own sources and files that another run in this process writes. An existing
        file will be reported as replaced. One that the sink `appends` to, a database, has its own
        lock.
        """
        if any(is_same_file(path, each) for each in self._inputs):
            raise OutputError(f"{path}: is a source of this run; choose another output folder")
        self._try(path)
        if self._use is not None and not appends:
            self._use.claim(path, self)

    def claim(self, folder: Path) -> None:
        """Reserve a subfolder for this run; raises OutputError if another run writes there."""
        if self._use is not None:
            self._use.claim(folder, self)

    def begin(self, path: Path) -> None:
        """Check `path` just before it is created, and log once which files this run replaces."""
        self.check(path)
        if self._use is not None:
            self._use.log_replaced()

    def _try(self, path: Path) -> None:
        """Check that `path` can be written; raises OutputError, leaves the disk as it was."""
        with writing(path):
            existed = path.exists()
            path.open("ab").close()
            if not existed:
                path.unlink()

    def path_of(self, source: str, suffix: str) -> Path:
        """Return this source's file: always the same, never that of another source.

        Names that differ only in case or in the encoding of an accent count as equal, as on some
        file systems. `suffix` includes its dot.
        """
        if (source, suffix) not in self._paths:
            taken = {folded(path.name) for path in self._paths.values()} | RESERVED
            name = unused_name(source, suffix, taken)
            if name != f"{safe_stem(source)}{suffix}":
                log.info("source %s: its file is %s", source, name)
            self._paths[source, suffix] = self.path / name
        return self._paths[source, suffix]

    def drop_if_empty(self) -> None:
        """Unlock the folder, and remove the folders this object created if they are still empty."""
        use, self._use = self._use, None
        if use is not None:
            use.leave(self)
        with suppress(OSError):
            for path in self._made:
                path.rmdir()


class LineFile:
    """A text file that contains only complete rows at any moment, at most a second behind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path, WriteError):
            self._file = path.open("wb", buffering=0)
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._flushed_at = time.monotonic()

    def write(self, rows: Iterable[str]) -> None:
        """Append whole rows, each with its line end; they are written now or by a later call."""
        encoded = [row.encode("utf-8", "backslashreplace") for row in rows]
        self._waiting += encoded
        self._bytes += sum(map(len, encoded))
        if self._bytes > FLUSH_BYTES or time.monotonic() - self._flushed_at > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows to the file; raises WriteError, for a full disk say.

        After an error the file ends with the last row that was written whole.
        """
        rows, self._waiting = self._waiting, []
        self._bytes = 0
        self._flushed_at = time.monotonic()
        block = memoryview(b"".join(rows))
        written = 0
        with writing(self.path, WriteError):
            try:
                while written < len(block):
                    written += self._file.write(block[written:]) or 0
            except OSError:
                whole = max(n for n in accumulate(map(len, rows), initial=0) if n <= written)
                self._cut(written - whole)
                raise

    def _cut(self, surplus: int) -> None:
        """Remove the last `surplus` bytes, and the file if nothing else is in it."""
        with suppress(OSError):  # a pipe or a device has no end to move
            end = self._file.seek(0, os.SEEK_END) - surplus
            self._file.truncate(end)
            self._file.seek(end)
            if end == 0 and self.path.is_file():
                self.path.unlink()

    def close(self) -> None:
        """Flush and close."""
        try:
            self.flush()
        finally:
            self._file.close()


def close_all(folder: OutputFolder | None, closes: Iterable[Callable[[], object]]) -> None:
    """Finish all files of a sink, the last first, then its folder; raises the first error.

    A file that cannot be closed must not keep the others open.
    """
    with ExitStack() as stack:
        if folder is not None:
            stack.callback(folder.drop_if_empty)
        for close in closes:
            stack.callback(close)


def _texts(tree: Any) -> Iterator[str]:
    """Yield every text in nested lists and mappings."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        yield from _texts(list(tree.values()))
    elif isinstance(tree, Iterable):
        for each in tree:
            yield from _texts(each)


def is_same_file(path: Path, other: Path) -> bool:
    """Return whether both name one existing file, links followed."""
    with suppress(OSError, ValueError):
        return path.samefile(other)
    return False
