"""Download of one file over HTTP: the result is complete and verified, or absent.

Bytes go to FILE.part, which outlives a break: the next try, in this run or a later one, asks for
the rest. Only a file that passed every check is renamed to FILE.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock, Timeout

from pipeline.core.backoff import retry_delay_s
from pipeline.core.errors import ModelError
from pipeline.models.file_check import why_not_weights
from pipeline.models.transfer import (
    CHUNK,
    ConnectionBrokenError,
    DownloadFailedError,
    PartialFile,
    Progress,
    fetch,
)

LOCK_POLL_S = 0.1
MAX_PAUSE_S = 60.0
_log = logging.getLogger("trackline.models")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retry policy of a download.

    `timeout_s` is how long it may be silent; `tries` counts failures in a row that brought next to
    nothing; `pause_s` is the first pause between tries, and each further one is twice as long.
    """

    timeout_s: float = 30.0
    tries: int = 5
    pause_s: float = 1.0


@dataclass(frozen=True, slots=True)
class WeightsDownload:
    """Download of weights to `path`; `size` (bytes) and `sha256` (hex) are None where not known.

    `beside` is a file that belongs to it, and is downloaded first.
    """

    url: str
    path: Path
    size: int | None = None
    sha256: str | None = None
    beside: WeightsDownload | None = None


def download(
    wanted: WeightsDownload,
    progress: Progress | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Path:
    """Return `wanted.path` with the complete, verified file; an existing one is left alone.

    Raises ModelError, in one line that says where to put the file manually. Programs that want the
    same file wait for the first one. Partial data is kept on failure and on Ctrl-C, but not if it
    turns out to be another file.
    """
    path = wanted.path
    if wanted.beside is not None:
        download(wanted.beside, progress, retry_policy)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        _acquire(lock, path)
    except OSError as error:
        raise ModelError(f"model: {path.parent} cannot be written ({error.strerror})") from error
    try:
        if not path.is_file():
            _fetch_and_check(wanted, progress or _no_progress, retry_policy or RetryPolicy())
    except DownloadFailedError as error:
        raise ModelError(
            f"model: cannot download {shown(wanted.url)}: {error}; put the file by hand at {path}"
        ) from error
    finally:
        lock.release()
    return path


def objection(wanted: WeightsDownload, file: Path) -> str | None:
    """Return why a file is not the one wanted, None if it may be."""
    size = file.stat().st_size
    if wanted.size is not None and size != wanted.size:
        return f"it has {size} bytes, want {wanted.size}"
    if wanted.sha256 is not None:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != wanted.sha256:
            return f"its SHA-256 is {digest}, want {wanted.sha256}"
    return why_not_weights(file, wanted.path.suffix.lower())


def shown(url: str) -> str:
    """Return the address for display: without password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _fetch_and_check(
    wanted: WeightsDownload, progress: Progress, retry_policy: RetryPolicy
) -> None:
    part = PartialFile(wanted.path)
    while True:
        resumed = _fetch_with_retries(wanted, part, progress, retry_policy)
        why = objection(wanted, part.path)
        if why is None:
            break
        part.remove()
        if not resumed:
            raise DownloadFailedError(f"what came is not the file: {why}")
        # The beginning may be of an older file; from one answer it will be right or truly wrong.
    with part.path.open("rb+") as file:
        os.fsync(file.fileno())
    part.path.replace(wanted.path)
    part.remove()


def _fetch_with_retries(
    wanted: WeightsDownload, part: PartialFile, progress: Progress, retry_policy: RetryPolicy
) -> bool:
    """Retry until the part is complete; return whether any of it existed before the last answer."""
    failures = 0
    while True:
        before = part.size
        try:
            return fetch(
                wanted.url,
                part,
                wanted.size,
                certain=wanted.sha256 is not None,
                timeout_s=retry_policy.timeout_s,
                progress=progress,
            )
        except ConnectionBrokenError as error:
            failures = 1 if part.size >= before + CHUNK else failures + 1
            if failures >= retry_policy.tries:
                raise DownloadFailedError(str(error)) from error
            _log.debug("download of %s: %s; trying again", wanted.path.name, error)
        time.sleep(retry_delay_s(failures, retry_policy.pause_s, MAX_PAUSE_S))


def _acquire(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("waiting for another program that downloads %s", path.name)
        lock.acquire(poll_interval=LOCK_POLL_S)


def _no_progress(have: int, total: int | None) -> None:
    del have, total
