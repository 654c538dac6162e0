"""Resolved configuration: folders, patterns and names in `sources` looked up once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.config.plugins import plugin
from pipeline.config.schema import FROM_TEXT, Config
from pipeline.config.secrets import Secrets, UnknownSecretError
from pipeline.core.errors import ConfigError, SourceError, UsageError
from pipeline.core.interfaces import Source
from pipeline.core.options import PluginChoice, validated
from pipeline.core.paths import home_path
from pipeline.engine import DetectOptions
from pipeline.sources._file.listing import PICTURE_SUFFIXES, VIDEO_SUFFIXES, Listing, list_files

MAX_NAME_LENGTH = 200
DETECT = "detect"
"""A source's section with its own detection options."""


@dataclass(frozen=True)
class SourceEntry:
    """One source of a run: its plug-in with options, and the configuration key it comes from.

    Placeholders are still in the options; `with_secrets` fills them in. `has_literal_path`: the
    path was found or filled in already, and a `${NAME}` in it is part of a file's name.
    `is_member`: it was found in a folder or by a pattern, so the run can do without it. `detect`
    holds its own detection options, if they differ from the others'.
    """

    where: str
    choice: PluginChoice
    has_literal_path: bool = False
    is_member: bool = False
    detect: DetectOptions = field(default_factory=DetectOptions)


@dataclass(frozen=True)
class ResolvedConfig:
    """A configuration with its sources looked up; later changes on disk do not affect it.

    A second look would take files that the run itself writes into a folder for further sources, and
    a reload would not see which videos are new. `left_out` counts the files of folders and patterns
    that are not sources, by suffix: {folder: {".txt": 10}}.
    """

    config: Config
    sources: tuple[SourceEntry, ...] = ()
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def resolve_config(config: Config) -> ResolvedConfig:
    """Return `config` with every source looked up; raises ConfigError or SourceError."""
    found = [
        _resolve_source(source, f"sources.{i}", config.secrets)
        for i, source in enumerate(config.sources)
    ]
    return ResolvedConfig(
        config,
        tuple(_with_sequence(entry, config) for one in found for entry in one.entries),
        {one.text: dict(one.left_out) for one in found if one.left_out},
    )


def _with_sequence(entry: SourceEntry, config: Config) -> SourceEntry:
    """Return the entry with `sequence` set for pictures: whether they are the frames of a video.

    They are if the user asks for it: by the option itself, a frame rate, a tracker (`none` asks for
    the opposite) or recorded detections, which belong to frames.
    """
    options = entry.choice.options
    if entry.choice.kind != "images" or options.get("sequence") is not None:
        return entry
    tracker_given = "tracker" in config.model_fields_set
    tracked = config.detector.kind == "replay" or tracker_given
    sequence = options.get("fps") is not None or (tracked and config.tracker.kind != "none")
    choice = {"kind": "images", **options, "sequence": sequence}
    return replace(entry, choice=PluginChoice.model_validate(choice))


def detect_options(source: str | PluginChoice, where: str) -> DetectOptions:
    """Return the section `detect` of a source as written; raises ConfigError."""
    values = {} if isinstance(source, str) else source.options.get(DETECT, {})
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}.{DETECT}: want a section, got {values!r}")
    return validated(DetectOptions, values, f"{where}.{DETECT}")


def with_secrets(entry: SourceEntry, secrets: Secrets) -> PluginChoice:
    """Return the plug-in and options with secrets in place of `${NAME}`; not to be shown.

    Raises ConfigError for a name without a value.
    """
    options = {}
    for key, value in entry.choice.options.items():
        is_literal = key == "path" and entry.has_literal_path
        try:
            options[key] = value if is_literal else secrets.filled(value)
        except UnknownSecretError as error:
            raise ConfigError(f"{entry.where}.{key}: {error}") from None
    return PluginChoice.model_validate({"kind": entry.choice.kind, **options})


def assign_names(sources: Sequence[Source], entries: Sequence[SourceEntry]) -> None:
    """Make the names unique: a second "street" becomes "street-2", or the next free number.

    Names chosen by the user stay; raises UsageError if two of them are equal, and for one that no
    log line, address or page could show.
    """
    taken: set[str] = set()
    derived: list[Source] = []
    for source, each in zip(sources, entries, strict=True):
        where = each.where
        if not each.choice.options.get("name"):
            derived.append(source)
            continue
        if not source.name.isprintable() or len(source.name) > MAX_NAME_LENGTH:
            want = f"want printable text of at most {MAX_NAME_LENGTH} letters"
            raise UsageError(f"{where}.name: {want}, got {source.name[:MAX_NAME_LENGTH]!r}")
        if source.name in taken:
            raise UsageError(f"{where}.name: '{source.name}' is there twice")
        taken.add(source.name)
    for source in derived:
        base, count = source.name, 1
        while source.name in taken:
            count += 1
            source.name = f"{base}-{count}"
        taken.add(source.name)


@dataclass(frozen=True)
class _Found:
    """The sources of one entry of the configuration, and the files that were left out."""

    entries: tuple[SourceEntry, ...]
    text: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)


def _resolve_source(source: str | PluginChoice, where: str, secrets: Secrets) -> _Found:
    """Return the sources of an entry: several for a folder or pattern of videos.

    Raises ConfigError or SourceError naming `where` or the path.
    """
    if isinstance(source, str):
        return _from_text(source, {}, where, secrets)
    options = source.options
    if DETECT in options:
        detect = detect_options(source, where)
        del options[DETECT]
        rest = PluginChoice.model_validate({"kind": source.kind, **options})
        found = _resolve_source(rest, where, secrets)
        entries = tuple(replace(each, detect=detect) for each in found.entries)
        return replace(found, entries=entries)
    if source.kind == FROM_TEXT:
        text = options.pop("source", None)
        if not isinstance(text, str):
            raise ConfigError(f"{where}.source: want a path, a device or an address, got {text!r}")
        return _from_text(text, options, where, secrets)
    return _Found((SourceEntry(where, source),))


def _from_text(text: str, options: dict[str, Any], where: str, secrets: Secrets) -> _Found:
    """Return the sources of a text: a device, an address, a file, a folder or a pattern."""
    recursive = options.pop("recursive", False)
    if not isinstance(recursive, bool):
        raise ConfigError(f"{where}.recursive: want true or false, got {recursive!r}")

    def one(kind: str, **named: Any) -> _Found:
        choice = PluginChoice.model_validate({"kind": kind, **named, **options})
        return _Found((SourceEntry(where, choice, has_literal_path="path" in named),))

    written = text
    try:
        text = secrets.filled(text)
    except UnknownSecretError as error:
        raise ConfigError(f"{where}: {error}") from None
    if not text.strip():
        # For example "$VIDEO" when it is not set; Path("") would be the current folder.
        raise ConfigError(f"{where}: want a file, folder, device or address, got '{text}'")
    if text == "synthetic":
        return one("synthetic")
    if text.isdecimal() or text.startswith("/dev/video"):
        return one("camera", device=text)
    if "://" in text and not text.startswith("file://"):
        return one("stream", url=written)
    path = Path(text.removeprefix("file://"))
    try:
        listing = list_files(home_path(path), recursive=recursive)
    except OSError as error:
        raise SourceError(f"{text}: cannot be read: {error.strerror}") from None
    if listing is None:
        is_picture = path.suffix.lower() in PICTURE_SUFFIXES
        return one("images" if is_picture else "file", path=str(path))
    return _members(text, path, listing, options, where, recursive=recursive)


def _members(
    text: str,
    path: Path,
    listing: Listing,
    options: dict[str, Any],
    where: str,
    *,
    recursive: bool,
) -> _Found:
    """Return the sources in a folder or matching a pattern; raises SourceError if there are none.

    All pictures form one source, each video is one of its own.
    """
    several: list[dict[str, Any]] = [
        {"kind": "file", "path": str(video)} for video in listing.videos
    ]
    if listing.pictures:
        more = {"recursive": True} if recursive else {}
        several.insert(0, {"kind": "images", "path": str(path), **more})
    if not several:
        pictures, known = ", ".join(sorted(PICTURE_SUFFIXES)), ", ".join(sorted(VIDEO_SUFFIXES))
        there = f"; there are: {listing.left_out_text}" if listing.left_out else ""
        raise SourceError(f"{text}: holds no pictures ({pictures}) and no videos ({known}){there}")
    if "start" in options and len(listing.videos) > 1:
        raise ConfigError(
            f"{where}.start: is the start of one recording, but {text} holds {len(listing.videos)} "
            "videos; give each its own, or leave it out: their names or containers may say it"
        )
    of = {"images": options, "file": options}
    if len(several) > 1:
        of["file"] = {key: value for key, value in options.items() if key != "sequence"}
    if listing.pictures and listing.videos:  # `max_fps` is for the videos among them
        own = plugin("sources", "images", where).Options.model_fields
        of["images"] = {key: value for key, value in options.items() if key in own}
    choices = (PluginChoice.model_validate({**each, **of[each["kind"]]}) for each in several)
    return _Found(
        tuple(SourceEntry(where, each, has_literal_path=True, is_member=True) for each in choices),
        text,
        listing.left_out,
    )
