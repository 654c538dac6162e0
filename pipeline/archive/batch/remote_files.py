"""Recordings in a store or on a web server: listing, probing, and copying them to this machine.

A recording is copied to this machine while the previous one is processed, so that everything that
works on files (damage checks, HEIF, GPU decoders) can read it, and removed once it is committed.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from pipeline.archive.remote import file_system, is_address, reaching
from pipeline.core.errors import SourceError, StageError
from pipeline.core.secret_masking import masked_address
from pipeline.sources._file.listing import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from pipeline.sources._file.probe import FileProbe, probe_opened

_VERSIONS = ("md5Hash", "ETag", "etag", "content_md5", "Content-MD5", "Digest")
_TIMES = ("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "created")
_SECRET = re.compile(
    r"(?i)x-(amz|goog|ms)-|^(sig|signature|se|sp|sv|sr|st|expires|policy)$|token|key|auth|pass|pwd"
    r"|secret|credential"
)
"""Address parameters that grant access, and change from day to day."""
_BLOCK_BYTES = 1 << 18
_TRIES = 4
PAUSE_S = 0.5


class RemotePath(PurePosixPath):
    """Path of a recording in a store: its address without login and keys.

    `address` is the complete one. `version` changes with the content: the store's checksum or the
    modification time, "" if the store has neither. Paths derived from it (`parent`) lack both.
    """

    address: str
    size: int
    version: str

    def __new__(  # noqa: D102 - the class says it
        cls, *parts: Any, address: str = "", size: int = 0, version: str = ""
    ) -> RemotePath:
        path = super().__new__(cls, *parts)
        path.address, path.size, path.version = address, size, version
        return path

    def __init__(self, *parts: Any, **_: Any) -> None:
        if PurePosixPath.__init__ is not object.__init__:  # from Python 3.12 on
            super().__init__(*parts)

    def resolve(self) -> RemotePath:
        """Return the path itself: addresses are absolute."""
        return self

    absolute = resolve

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.as_posix(), self.address, self.size, self.version)


def _restored(text: str, address: str, size: int, version: str) -> RemotePath:
    return RemotePath(text, address=address, size=size, version=version)


def path_of(shown: str) -> Path:
    """Return the path for display; a recording in a store cannot be read with it."""
    return cast("Path", RemotePath(shown)) if is_address(shown) else Path(shown)


@dataclass(frozen=True, slots=True)
class RemoteListing:
    """Videos below an address, the folder their names are relative to, what is left out."""

    videos: tuple[Path, ...]
    root: Path
    left_out: int = 0


def list_remote(address: str) -> RemoteListing:
    """Return the videos below an address, or at it; raises SourceError, UsageError.

    A web server cannot be listed: each address is one recording.
    """
    shown = masked_address(address)
    fs, path = file_system(address)
    try:
        with reaching():
            found = {path: fs.info(path)} if _is_web(address) else fs.find(path, detail=True)
    except OSError as error:
        raise SourceError(f"{shown}: cannot be read: {error.strerror}") from None
    if not found:
        raise SourceError(f"{shown}: no such file or folder")
    is_one = set(map(fs._strip_protocol, found)) == {fs._strip_protocol(path)}
    named = _named(address)
    videos, left_out = [], 0
    for name, info in found.items():
        if is_one:
            own, whole = named, address
        else:
            below = name[len(fs._strip_protocol(path).rstrip("/")) + 1 :]
            if any(part.startswith(".") for part in below.split("/")):
                continue
            own, whole = f"{named}/{below}", f"{address.rstrip('/')}/{below}"
        suffix = PurePosixPath(own).suffix.lower()
        if not is_one and suffix not in VIDEO_SUFFIXES:
            left_out += 1
            continue
        if suffix in PICTURE_SUFFIXES:
            raise SourceError(f"{shown}: is a picture, not a video")
        videos.append(
            RemotePath(
                own, address=whole, size=int(info.get("size") or 0), version=_version(info, own)
            )
        )
    root = PurePosixPath(named)
    return RemoteListing(
        tuple(cast("Path", each) for each in videos),
        cast("Path", RemotePath(root.parent if is_one else root)),
        left_out,
    )


def _is_web(address: str) -> bool:
    return address.lower().startswith(("http://", "https://"))


def _named(address: str) -> str:
    """Return an address without login and keys, as `scheme:/host/path`."""
    url = urlsplit(address)
    host = url.netloc.rpartition("@")[2]
    kept = [(key, value) for key, value in parse_qsl(url.query) if not _SECRET.search(key)]
    query = f"?{urlencode(kept)}" if kept and _is_web(address) else ""
    return f"{url.scheme.lower()}:/{host}{url.path.rstrip('/')}{query}"


def _version(info: dict[str, Any], name: str) -> str:
    """Return the store's checksum, or the name with the modification time."""
    for key in _VERSIONS:
        if found := info.get(key):
            return f"checksum {found}"
    for key in _TIMES:
        if found := info.get(key):
            return f"{name} {found}"
    return ""


def version_hash(path: RemotePath) -> str:
    """Return the store's version of the content, "" if it has none."""
    if not path.version:
        return ""
    return hashlib.sha256(f"{path.version} {path.size}".encode()).hexdigest()


def probe_remote(path: RemotePath, zone: tzinfo | None) -> FileProbe:
    """Return a recording's facts from its first and last bytes; raises SourceError."""
    fs, name = file_system(path.address)
    try:
        with reaching():
            cached = {"block_size": _BLOCK_BYTES, "cache_type": "blockcache"}
            with fs.open(name, "rb", **cached) as file:
                if not path.size:
                    raise SourceError(f"{path}: the file is empty")
                if file.seekable():
                    return probe_opened(file, cast("Path", path), path.size, zone)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    with _fetched(path) as whole:  # the server sends all or nothing
        return probe_opened(whole, cast("Path", path), path.size, zone)


def hash_remote(path: RemotePath) -> str:
    """Return the hash of the version, or without one that of the whole content."""
    if known := version_hash(path):
        return known
    digest = hashlib.sha256()
    with _fetched(path) as whole:
        while block := whole.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _fetched(path: RemotePath) -> Iterator[BinaryIO]:
    with (
        tempfile.TemporaryDirectory(prefix="trackline-") as folder,
        fetch(path, Path(folder)).open("rb") as file,
    ):
        yield file


def fetch(path: RemotePath, folder: Path) -> Path:
    """Copy a recording into a folder of this machine, under its own name, with retries.

    Raises SourceError if it is missing or access is denied, StageError if its store does not
    answer.
    """
    fs, name = file_system(path.address)
    local = folder / path.name.partition("?")[0]
    for number in range(_TRIES):
        try:
            with reaching():
                fs.get_file(name, str(local))
            size = local.stat().st_size
            if not path.size or size == path.size:
                return local
            problem = f"{size} of {path.size} bytes came"
        except OSError as error:
            problem = str(error.strerror)
            if isinstance(error, FileNotFoundError | PermissionError):
                raise SourceError(f"{path}: cannot be read: {problem}") from None
            if error.errno == errno.ENOSPC:
                break
        if number < _TRIES - 1:
            time.sleep(PAUSE_S * 2**number)
    raise StageError(f"{path}: cannot be fetched: {problem}; the same command goes on")


class LocalCopies:
    """Copies of remote recordings, one ahead of the one being processed."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "fetch")
        self._begun: dict[str, tuple[Path, Future[Path]]] = {}

    def begin(self, path: Path) -> None:
        """Start copying a recording, if it is not on this machine."""
        if isinstance(path, RemotePath) and path.address not in self._begun:
            folder = Path(tempfile.mkdtemp(prefix="trackline-"))
            self._begun[path.address] = folder, self._pool.submit(fetch, path, folder)

    @contextmanager
    def of(self, path: Path) -> Iterator[Path]:
        """Yield a recording's file on this machine; a copy is removed afterwards."""
        if not isinstance(path, RemotePath):
            yield path
            return
        self.begin(path)
        folder, copy = self._begun.pop(path.address)
        try:
            yield copy.result()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove what was copied ahead, and release resources."""
        self._pool.shutdown(cancel_futures=True)
        for folder, _ in self._begun.values():
            shutil.rmtree(folder, ignore_errors=True)
        self._begun.clear()
