"""Cache folder of downloaded weights and compiled networks."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import platformdirs

from pipeline.core.paths import home_path
from pipeline.models.registry import PublishedModel

VARIABLE = "TRACKLINE_CACHE"
"""Environment variable that names another folder for the cache."""


def cache_folder() -> Path:
    r"""Return the folder of all cached files: $TRACKLINE_CACHE, else the platform's usual place.

    Not created here. That is ~/.cache/trackline on Linux (XDG), ~/Library/Caches/trackline on macOS
    and %LOCALAPPDATA%\trackline\Cache on Windows.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return home_path(chosen)
    return Path(platformdirs.user_cache_path("trackline", appauthor=False))


def path_of(entry: PublishedModel) -> Path:
    """Return the path of a registry network once it is downloaded, or placed there manually."""
    return cache_folder() / "models" / entry.file


def path_of_url(url: str) -> Path:
    """Return the path of an address's file once it is downloaded.

    The folder depends on the whole address, so files with the same name do not collide.
    """
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    return cache_folder() / "models" / key / name_in_url(url)


def name_in_url(url: str) -> str:
    """Return the file name at the end of an address's path; empty if there is none."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    # What decodes to a separator or a drive must not decide about folders here.
    return name.replace("\\", "_").replace(":", "_")
