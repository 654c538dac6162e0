"""Resolves the option `model`, a name, path or URL, to a file; downloads missing ones."""

from __future__ import annotations

import logging
import re
from importlib import resources
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.core.errors import ModelError
from pipeline.core.options import unknown
from pipeline.core.paths import home_path
from pipeline.models.cache import name_in_url, path_of, path_of_url
from pipeline.models.file_check import SUFFIXES
from pipeline.models.registry import PublishedModel, find, published

if TYPE_CHECKING:  # HTTP and TLS are imported where something is to be downloaded
    from pipeline.models.download import RetryPolicy, WeightsDownload
    from pipeline.models.transfer import Progress

FILE_SUFFIXES = (*SUFFIXES, ".xml", ".engine", ".pb")
"""Suffixes that mark a path rather than a name."""
LOG_EVERY_S = 5.0
_PINNED = re.compile(r"sha256=([0-9a-fA-F]{64})")
_log = logging.getLogger("trackline.models")


def resolve(
    model: str, progress: Progress | None = None, retry_policy: RetryPolicy | None = None
) -> Path:
    """Return the path of the weights that `model` names: a file, or an OpenVINO folder.

    What exists as weights is taken as a path; then come the registry's names and addresses, which
    are downloaded into the cache unless they are there. An address may end in `#sha256=HEX`.
    Raises ModelError, in one line.
    """
    there = locate(model)
    if there is not None:
        return there
    wanted = download_for(model)
    if wanted is not None:
        from pipeline.models.download import download

        _log.info("downloading %s", _download_text(model, wanted))
        return download(wanted, progress or _ProgressLog(wanted.path.name), retry_policy)
    path = home_path(model)
    if path.suffix or len(path.parts) > 1:
        raise ModelError(f"model: no such file: {model}{_hint(path)}")
    raise ModelError(f"model: {unknown('name', model, list(published()))}; or a path or an address")


def find_weights(model: str) -> Path:
    """Return the file of the weights that `model` names: of an OpenVINO folder its .xml.

    Names and addresses are downloaded unless they are in the cache. Raises ModelError.
    """
    path = resolve(model)
    if path.is_dir():
        found = sorted(path.glob("*.xml"))
        if len(found) != 1:
            raise ModelError(f"model: {model} holds {len(found)} .xml files, want an OpenVINO one")
        return found[0]
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise ModelError(
            f"model: {model} has suffix {path.suffix!r}; "
            f"known are {', '.join(FILE_SUFFIXES)} and OpenVINO folders"
        )
    return path


def locate(model: str) -> Path | None:
    """Return the path of the network that `model` names if it is on this machine, else None.

    Only the size of a cached file is checked, for a fast start. Raises ModelError.
    """
    path = home_path(model)
    if _is_weights(path):
        return path
    entry = find(model)
    if entry is not None and entry.url is None:
        path = inside_package(entry)
        if not path.is_file():
            raise ModelError(f"model: {path} is missing from this installation of trackline")
        return path
    wanted = download_for(model)
    if wanted is None:
        return path if path.exists() else None
    for each in (wanted, wanted.beside):
        if each is None:
            continue
        if not each.path.is_file():
            return None
        size = each.path.stat().st_size
        if each.size is not None and size != each.size:
            raise ModelError(
                f"model: {each.path} has {size} bytes, want {each.size}; "
                "remove it to download it again"
            )
    return wanted.path


def download_for(model: str) -> WeightsDownload | None:
    """Return the download for a name or address, None if it is neither.

    Raises ModelError for an address that cannot be one of weights.
    """
    if "://" in model:
        return _wanted_url(model)
    entry = find(model)
    if entry is None or entry.url is None:
        return None
    return _wanted_entry(entry)


def _wanted_entry(entry: PublishedModel) -> WeightsDownload:
    from pipeline.models.download import WeightsDownload

    beside = None if entry.beside is None else _wanted_entry(entry.beside)
    return WeightsDownload(entry.url or "", path_of(entry), entry.size, entry.sha256, beside)


def _is_weights(path: Path) -> bool:
    """Return whether a path exists that is meant as weights, not a chance folder of that name."""
    if path.is_dir():
        return any(path.glob("*.xml"))
    return path.suffix.lower() in FILE_SUFFIXES and path.is_file()


def inside_package(entry: PublishedModel) -> Path:
    """Return the path of a network that comes with the package."""
    return Path(str(resources.files("pipeline.models").joinpath(entry.file)))


def _wanted_url(model: str) -> WeightsDownload:
    from pipeline.models.download import WeightsDownload, shown
    from pipeline.models.transfer import SCHEMES

    parts = urlsplit(model)
    if parts.scheme.lower() not in SCHEMES:
        raise ModelError(f"model: {shown(model)} is no address that starts with http or https")
    if parts.username is not None:
        raise ModelError(f"model: {shown(model)} must be downloaded by hand: it has a password")
    url = parts._replace(fragment="").geturl()
    if Path(name_in_url(url)).suffix.lower() not in SUFFIXES:
        raise ModelError(f"model: {shown(model)} must end in {' or '.join(SUFFIXES)}")
    pin = _PINNED.fullmatch(parts.fragment)
    if parts.fragment and pin is None:
        raise ModelError(f"model: {shown(model)}#... may only be #sha256=64 hex digits")
    return WeightsDownload(url, path_of_url(url), sha256=pin[1].lower() if pin else None)


def _download_text(model: str, wanted: WeightsDownload) -> str:
    """Describe a download: what, from where, and under which licence."""
    from pipeline.models.download import shown

    entry = find(model)
    size = [f"{wanted.size / 1e6:.1f} MB"] if wanted.size else []
    licence = [entry.licence] if entry else []
    about = ", ".join([*size, *licence, f"from {shown(wanted.url)}"])
    return f"{entry.name if entry else wanted.path.name} ({about})"


class _ProgressLog:
    """Download progress in the log, for runs that show no progress bar."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = monotonic() + LOG_EVERY_S

    def __call__(self, have: int, total: int | None) -> None:
        if monotonic() >= self._next:
            self._next = monotonic() + LOG_EVERY_S
            of = f" of {total / 1e6:.1f}" if total else ""
            _log.info("%s: %.1f%s MB", self._name, have / 1e6, of)


def _hint(path: Path) -> str:
    """Return a hint for a file name that is nearly one of the registry."""
    known = next((name for name in published() if name == path.stem.casefold()), None)
    return f"; '{known}' without the suffix is downloaded by itself" if known else ""
