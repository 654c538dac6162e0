"""Files in remote stores: s3://, gs://, http(s):// and everything else fsspec can open.

fsspec and universal_pathlib are in the extra `remote`; if a store's own package (s3fs, gcsfs) is
missing, the error names it. Credentials come from where those packages look for them, and from
addresses.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from pipeline.core.errors import MissingExtraError, PipelineError, UsageError
from pipeline.core.install_hints import install_command, pip_command
from pipeline.core.paths import home_path
from pipeline.core.secret_masking import masked_address

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")
_LIVE = frozenset(("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "tcp"))


def is_address(text: str) -> bool:
    """Return whether a string is the address of a file or folder in a store."""
    match = _ADDRESS.match(text)
    return match is not None and match["scheme"].lower() != "file"


def place_of(text: str) -> Path:
    """Return the folder for a string: a Path, or for addresses a `UPath` of universal_pathlib.

    Raises UsageError and MissingExtraError with a message of one line.
    """
    if not is_address(text):
        return home_path(text.removeprefix("file://"))
    file_system(text)
    from upath import UPath

    return cast("Path", UPath(text.rstrip("/"), use_listings_cache=False))


def is_remote(path: Path) -> bool:
    """Return whether a path from `place_of` is in a store."""
    return not isinstance(path, Path)


def store_of(path: Path) -> tuple[Any, str]:
    """Return the fsspec file system of a path in a store, and the path within it."""
    remote: Any = path
    return remote.fs, remote.path


def file_system(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address, and the path within it.

    Raises UsageError for an unknown store, MissingExtraError for a missing package.
    """
    shown, scheme = masked_address(address), address.partition("://")[0].lower()
    if scheme in _LIVE:
        raise UsageError(f"{shown}: is a camera; recordings are files: see trackline live")
    try:
        import fsspec
        import upath  # noqa: F401 - both are needed, and are one extra
    except ImportError:
        raise MissingExtraError(
            f"{shown}: needs the extra 'remote': {install_command('remote')}"
        ) from None
    try:
        with reaching():
            fs, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
            return fs, str(path)
    except ImportError as error:
        package = re.search(r"[Ii]nstall (\S+)", str(error))
        name = package[1] if package else f"fsspec's support for {scheme}"
        raise MissingExtraError(
            f"{shown}: {scheme}:// needs one more package: {pip_command(name)}"
        ) from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{shown}: {_first_line(error)}") from None


@contextmanager
def reaching() -> Iterator[None]:
    """Turn exceptions of stores and their clients into OSErrors with the reason in `strerror`."""
    try:
        yield
    except (PipelineError, ImportError, ValueError):
        raise
    except OSError as error:
        if error.strerror:
            raise
        kind, number = type(error), error.errno or _NUMBERS.get(type(error), errno.EIO)
        known = kind if kind in _NUMBERS else OSError
        raise known(number, _first_line(error)) from error
    except Exception as error:  # each client has its own exception tree
        raise OSError(errno.EIO, _first_line(error)) from error


_NUMBERS: dict[type[OSError], int] = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    PermissionError: errno.EACCES,
    TimeoutError: errno.ETIMEDOUT,
}


def _first_line(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [""])[0]
    return text or type(error).__name__
