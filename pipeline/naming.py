"""Sources as people write them: what a text stands for, and names that differ."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import FROM_TEXT, PluginChoice
from pipeline.errors import ConfigError, SourceError, UsageError
from pipeline.interfaces import Source
from pipeline.secrets import Secrets, UnknownSecretError
from pipeline.sources import images

VIDEO_SUFFIXES = frozenset(
    (
        ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov",
        ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
    )
)  # fmt: skip
"""What counts as a video in a folder or behind a glob; a file named by itself may be anything."""

LONGEST_NAME = 200


def choices(
    source: str | PluginChoice, where: str, secrets: Secrets | None = None
) -> list[PluginChoice]:
    """Return the plug-ins a source stands for: several for a folder or glob of videos.

    Placeholders stay as they are in what is returned; `filled` puts the values in their place.
    Raises ConfigError or SourceError naming `where` or the path.
    """
    secrets = secrets or Secrets()
    if isinstance(source, str):
        return _from_text(source, {}, where, secrets)
    if source.kind == FROM_TEXT:
        options = source.options
        text = options.pop("source", None)
        if not isinstance(text, str):
            raise ConfigError(f"{where}.source: want a path, a device or an address, got {text!r}")
        return _from_text(text, options, where, secrets)
    return [source]


def filled(choice: PluginChoice, where: str, secrets: Secrets) -> PluginChoice:
    """Return the choice with secrets in place of `${NAME}`; raises ConfigError for unknown ones.

    What is made of it must be shown nowhere.
    """
    options = {}
    for key, value in choice.options.items():
        try:
            options[key] = secrets.filled(value)
        except UnknownSecretError as error:
            raise ConfigError(f"{where}.{key}: {error}") from None
    return PluginChoice.model_validate({"kind": choice.kind, **options})


def give_names(sources: Sequence[Source], chosen: Sequence[tuple[str, PluginChoice]]) -> None:
    """Make the names differ: a second "street" becomes "street-2", or the next that is free.

    Names the user chose stay as they are; raises UsageError where two of those are the same, and
    for one that no log line, address or page could show.
    """
    taken: set[str] = set()
    ours: list[Source] = []
    for source, (where, choice) in zip(sources, chosen, strict=True):
        if not choice.options.get("name"):
            ours.append(source)
            continue
        if not source.name.isprintable() or len(source.name) > LONGEST_NAME:
            told = f"want printable text of at most {LONGEST_NAME} letters"
            raise UsageError(f"{where}.name: {told}, got {source.name[:LONGEST_NAME]!r}")
        if source.name in taken:
            raise UsageError(f"{where}.name: '{source.name}' is there twice")
        taken.add(source.name)
    for source in ours:
        base, count = source.name, 1
        while source.name in taken:
            count += 1
            source.name = f"{base}-{count}"
        taken.add(source.name)


def _from_text(
    text: str, options: dict[str, Any], where: str, secrets: Secrets
) -> list[PluginChoice]:
    """Return the plug-ins for a device, pictures, an address, a file, a folder or a glob."""

    def choice(kind: str, **told: str) -> PluginChoice:
        return PluginChoice.model_validate({"kind": kind, **told, **options})

    written = text
    try:
        text = secrets.filled(text)
    except UnknownSecretError as error:
        raise ConfigError(f"{where}: {error}") from None
    if not text.strip():
        # As from "$VIDEO" where that is not set; Path("") would be the current folder.
        raise ConfigError(f"{where}: want a file, folder, device or address, got '{text}'")
    if text == "synthetic":
        return [choice("synthetic")]
    if text.isdecimal() or text.startswith("/dev/video"):
        return [choice("camera", device=text)]
    if "://" in text and not text.startswith("file://"):
        return [choice("stream", url=written)]
    path = Path(text.removeprefix("file://"))
    try:
        files = _files(path.expanduser())
    except OSError as error:
        raise SourceError(f"{text}: cannot be read: {error.strerror}") from None
    if files is None:
        is_picture = path.suffix.lower() in images.SUFFIXES
        return [choice("images" if is_picture else "file", path=str(path))]
    videos = [each for each in files if each.suffix.lower() in VIDEO_SUFFIXES]
    several = [choice("file", path=str(each)) for each in sorted(videos, key=images.natural)]
    if any(each.suffix.lower() in images.SUFFIXES for each in files):
        several.insert(0, choice("images", path=str(path)))
    if not several:
        pictures, known = ", ".join(sorted(images.SUFFIXES)), ", ".join(sorted(VIDEO_SUFFIXES))
        raise SourceError(f"{text}: holds no pictures ({pictures}) and no videos ({known})")
    return several


def _files(path: Path) -> list[Path] | None:
    """Return the files in a folder or behind a glob, None if `path` is neither."""
    if path.is_dir():
        # Hidden ones are not meant: macOS leaves a `._clip.mp4` beside each file it copies.
        found: Iterable[Path] = (each for each in path.iterdir() if not each.name.startswith("."))
    elif glob.has_magic(str(path)) and not os.path.exists(path):
        # Whether it exists comes first: `clip[1].mp4` is the name of a file, too.
        found = map(Path, glob.glob(str(path), recursive=True))
    else:
        return None
    return [each for each in found if each.is_file()]
