"""A folder or zip file of text files: written line by line, read without unpacking."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from pipeline.core.atomic_file import replacing
from pipeline.core.errors import UsageError

MAX_UNPACKED_BYTES = 3 << 30
"""Maximum size of one file in a zip file: more is not annotations, or meant to fill the memory."""
MAX_LINE = 1 << 16


class _Tree:
    """A folder, or a zip file that is closed at the end of a `with` block."""

    _zip: zipfile.ZipFile | None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._zip is not None:
            self._zip.close()


class TreeWriter(_Tree):
    """Writes text files below a path: into an existing folder, else into a new zip file.

    In a folder each file appears in one step.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path if path.is_dir() else None
        self._zip = None if self._folder else zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)

    @contextmanager
    def file(self, name: str) -> Iterator[IO[str]]:
        """Yield a new text file; `name` is its path with slashes. Raises OSError."""
        with ExitStack() as stack:
            if self._zip is not None:
                raw = stack.enter_context(self._zip.open(name, "w", force_zip64=True))
            else:
                path = (self._folder or Path()) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                raw = stack.enter_context(stack.enter_context(replacing(path)).open("wb"))
            text = io.TextIOWrapper(raw, "utf-8", "backslashreplace", newline="\n")
            yield text
            text.flush()
            text.detach()


def is_tree(path: Path) -> bool:
    """Return whether a path is a folder, or a zip file by its name."""
    return path.is_dir() or path.suffix.lower() == ".zip"


def names_in_tree(path: Path, *patterns: str) -> list[str]:
    """Return `TreeReader.names` of a folder or zip file, none of another file."""
    if not is_tree(path):
        return []
    with TreeReader(path) as tree:
        return tree.names(*patterns)


class TreeReader(_Tree):
    """Reads files below a folder or in a zip file; raises UsageError about broken files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = None
        if not path.is_dir():
            with self._readable(str(path)):
                self._zip = zipfile.ZipFile(path)

    def names(self, *patterns: str) -> list[str]:
        """Return the paths, with slashes, of files that match one of the patterns, sorted."""
        if self._zip is not None:
            there = [each.filename for each in self._zip.infolist() if not each.is_dir()]
            return sorted(name for name in there if any(_at(name, each) for each in patterns))
        found = {each for pattern in patterns for each in self.path.glob(pattern)}
        return sorted(each.relative_to(self.path).as_posix() for each in found if each.is_file())

    def where(self, name: str) -> str:
        """Return the name of one of the files for messages."""
        return f"{self.path}: {name}" if self._zip is not None else str(self.path / name)

    @contextmanager
    def binary(self, name: str) -> Iterator[IO[bytes]]:
        """Yield an open file."""
        with self._readable(self.where(name)), ExitStack() as stack:
            if self._zip is not None:
                size = self._zip.getinfo(name).file_size
                if size > MAX_UNPACKED_BYTES:
                    raise UsageError(f"{self.where(name)}: would unpack to {size >> 20} MB")
                yield stack.enter_context(self._zip.open(name))
            else:
                yield stack.enter_context((self.path / name).open("rb"))

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield (number from 1, line without its end) of a text file."""
        where = self.where(name)
        with self.binary(name) as raw, self._readable(where):
            text = io.TextIOWrapper(raw, "utf-8-sig")
            number = 0
            while line := text.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise UsageError(f"{where}:{number}: a line of {MAX_LINE} characters or more")
                yield number, line.rstrip("\r\n")

    @contextmanager
    def _readable(self, where: str) -> Iterator[None]:
        """Turn exceptions about a broken file into a UsageError."""
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise UsageError(f"{where}: not a whole zip file: {error}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{where}: not a text file") from None
        except KeyError as error:
            raise UsageError(f"{self.path}: has no {error}") from None
        except RuntimeError as error:  # how the library says that a password is needed
            raise UsageError(f"{where}: cannot be read: {error}") from None
        except OSError as error:
            raise UsageError(f"{where}: cannot be read: {error.strerror}") from None


def _at(name: str, pattern: str) -> bool:
    """Return whether the whole path matches, part by part, as `Path.glob` does."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, each) for part, each in zip(parts, wanted, strict=True)
    )
