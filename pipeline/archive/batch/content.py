"""Content of files: hash, samples, and known files that need not be read again.

A sample is the hash of a file's beginning, middle and end. Together with size and modification time
it identifies a file seen before, at the cost of three short reads.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.archive.batch.remote_files import RemotePath, hash_remote, version_hash
from pipeline.core.errors import SourceError
from pipeline.sources._file.probe import FileProbe

_BLOCK = 1 << 20
_SAMPLE_BYTES = 1 << 16


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content; raises SourceError if it cannot be read.

    For a file in a store it is that of the store's checksum or modification time, if it has one.
    """
    if isinstance(path, RemotePath):
        return hash_remote(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def sample_of(path: Path) -> str:
    """Return the hash of a file's beginning, middle and end, "" if it cannot be read."""
    if isinstance(path, RemotePath):
        return version_hash(path)[:32]
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            last = max(0, size - _SAMPLE_BYTES)
            for at in sorted({0, last // 2, last}):
                file.seek(at)
                digest.update(file.read(_SAMPLE_BYTES))
    except OSError:
        return ""
    return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Stamp:
    """Size and modification time of a file, zeros if it does not exist."""

    size: int = 0
    mtime_ns: int = 0

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Return the file's current stamp; for a file in a store, the one from its listing."""
        if isinstance(path, RemotePath):
            return cls(path.size)
        try:
            status = path.stat()
        except OSError:
            return cls()
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as an earlier job saw it: its sample and metadata."""

    sample: str
    probe: FileProbe

    def is_at(self, path: Path) -> bool:
        """Return whether the file there is still the same."""
        seen = Stamp(self.probe.size, self.probe.mtime_ns)
        return bool(self.sample) and Stamp.of(path) == seen and sample_of(path) == self.sample
