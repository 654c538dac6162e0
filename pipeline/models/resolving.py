"""From what a person writes as `--model` to a path: NAME, PATH or URL."""

from __future__ import annotations

import logging
import re
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import ModelError
from pipeline.models.cache import name_in_url, path_of, path_of_url
from pipeline.models.download import Patience, Wanted, download, objection, shown
from pipeline.models.registry import BUILTIN, Published, find, published
from pipeline.models.structure import SUFFIXES
from pipeline.models.transfer import SCHEMES, Progress
from pipeline.options import unknown

FILE_SUFFIXES = (*SUFFIXES, ".xml")
"""What says that a path is meant, not a name."""
_PINNED = re.compile(r"sha256=([0-9a-fA-F]{64})")
_log = logging.getLogger("trackline.models")


def resolve(model: str, progress: Progress | None = None, patience: Patience | None = None) -> Path:
    """Return the path of the weights that `model` names: a file, or an OpenVINO folder.

    What exists as weights is taken as a path; then come the registry's names and addresses, which
    are downloaded into the cache unless they are there. An address may end in
    `#sha256=HEX`. Raises ModelError, in one line.
    """
    path = Path(model).expanduser()
    if _is_weights(path):
        return path
    entry = find(model)
    if entry is not None and entry.name == BUILTIN:
        return _inside_package(entry)
    wanted = wanted_by(model)
    if wanted is not None:
        return _cached(wanted) or _downloaded(model, wanted, progress, patience)
    if path.exists():
        return path
    if path.suffix.lower() in FILE_SUFFIXES or len(path.parts) > 1:
        raise ModelError(f"model: no such file: {model}{_hint(path)}")
    raise ModelError(f"model: {unknown('name', model, list(published()))}; or a path or an address")


def wanted_by(model: str) -> Wanted | None:
    """Return the download that a name or address stands for, None if it is neither.

    Raises ModelError for an address that cannot be one of weights.
    """
    if "://" in model:
        return _wanted_url(model)
    entry = find(model)
    if entry is None or entry.url is None:
        return None
    return Wanted(entry.url, path_of(entry), entry.size, entry.sha256)


def _is_weights(path: Path) -> bool:
    """Return whether a path exists that is meant as weights, not a chance folder of that name."""
    if path.is_dir():
        return any(path.glob("*.xml"))
    return path.suffix.lower() in FILE_SUFFIXES and path.is_file()


def _inside_package(entry: Published) -> Path:
    path = Path(str(resources.files("pipeline.models").joinpath(entry.file)))
    if not path.is_file():
        raise ModelError(f"model: {path} is missing from this installation of trackline")
    return path


def _wanted_url(model: str) -> Wanted:
    parts = urlsplit(model)
    if parts.scheme.lower() not in SCHEMES:
        raise ModelError(f"model: {shown(model)} is no address that starts with http or https")
    if parts.username is not None:
        raise ModelError(f"model: {shown(model)} must be downloaded by hand: it has a password")
    url = parts._replace(fragment="").geturl()
    if Path(name_in_url(url)).suffix.lower() not in SUFFIXES:
        raise ModelError(f"model: {shown(model)} must end in {' or '.join(SUFFIXES)}")
    pin = _PINNED.fullmatch(parts.fragment)
    return Wanted(url, path_of_url(url), sha256=pin[1].lower() if pin else None)


def _cached(wanted: Wanted) -> Path | None:
    """Return the file's path if it is in the cache; only its size is looked at, to start fast."""
    if not wanted.path.is_file():
        return None
    size = wanted.path.stat().st_size
    if wanted.size is not None and size != wanted.size:
        raise ModelError(
            f"model: {wanted.path} has {size} bytes, want {wanted.size}; "
            "remove it to download it again"
        )
    return wanted.path


def _downloaded(
    model: str, wanted: Wanted, progress: Progress | None, patience: Patience | None
) -> Path:
    entry = find(model)
    size = f"{wanted.size / 1e6:.1f} MB, " if wanted.size else ""
    licence = f"{entry.licence}, " if entry else ""
    _log.info("downloading %s (%s%sfrom %s)", model if entry else wanted.path.name, size, licence,
              shown(wanted.url))  # fmt: skip
    return download(wanted, progress, patience)


def _hint(path: Path) -> str:
    """Return a hint for a file name that is nearly one of the registry."""
    known = next((name for name in published() if name == path.stem.casefold()), None)
    return f"; '{known}' without the suffix is downloaded by itself" if known else ""


__all__ = ["FILE_SUFFIXES", "objection", "resolve", "wanted_by"]
