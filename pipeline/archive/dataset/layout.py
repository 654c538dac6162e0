"""Files of a dataset: its manifests, parts, and the work of segments in progress.

Invariant, even if killed at any moment: a segment is in the dataset once its manifest is; all other
files of a segment are orphans, or work that can be resumed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.archive.dataset.files import (
    children_with,
    files_below,
    names_in,
    read_text,
    read_texts,
    remove_empty_folders,
    remove_file,
    remove_folder,
    work_root,
    write_json,
)
from pipeline.archive.dataset.schema import TABLES, Segment, segment_stem
from pipeline.core.errors import UsageError, WriteError, writing
from pipeline.core.state_json import from_json, to_json

MANIFESTS = "manifest"
STATES = ".state"
PROGRESS = "progress.json"
"""Name of the checkpoint in a segment's work."""
ANNOTATED = "annotated"
MOVED = ".moved.json"
"""Current locations of files that have moved since they were processed; used by the job."""
LOCK = ".lock"
"""Options named in an error; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table; `path` is relative to the dataset.

    `bytes` is its size, None if an older program did not store it.
    """

    path: str
    rows: int
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest of a committed segment. `max_track_id` is 0 if it has no track.

    `notes` belong to the job that wrote it.
    """

    segment: str
    camera: str
    date: str
    path: str
    hash: str
    status: str
    frames: int
    max_track_id: int
    continues: str
    parts: Mapping[str, Part]
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CameraState:
    """State from which the next segment of a camera continues.

    `state` is the caller's state of the tracker; `open_tracks` are trajectories that may continue.
    """

    state: Any = None
    open_tracks: Mapping[str, Any] = field(default_factory=dict)


def manifest_path(dataset: Path, segment: str) -> Path:
    """Return the manifest's file, which exists once the segment is committed."""
    return dataset / MANIFESTS / f"{segment}.json"


def work_folder(dataset: Path, segment: str) -> Path:
    """Return the folder of a segment in progress."""
    return work_root(dataset) / segment


def part_path(segment: Segment, table: str, attempt: str = "") -> str:
    """Return the path of a table's part of a segment, relative to the dataset.

    In a store each attempt to write it has its own name, so that none replaces another's.
    """
    own = f".{attempt}" if attempt else ""
    return f"{table}/{segment.folder}/{segment.name}{own}.parquet"


def write_manifest(dataset: Path, manifest: Manifest, *, is_new: bool = False) -> None:
    """Make a segment part of the dataset; raises OSError.

    With `is_new` a store refuses a segment that exists already (FileExistsError).
    """
    write_json(manifest_path(dataset, manifest.segment), asdict(manifest), is_new=is_new)


def read_manifest(dataset: Path, segment: str) -> Manifest | None:
    """Return a segment's manifest, None if it is not committed; raises UsageError."""
    return _manifests(dataset, [segment]).get(segment)


def read_manifests(dataset: Path, camera: str | None = None) -> dict[str, Manifest]:
    """Return every committed segment, or one camera's, by name, in the order of names."""
    try:
        names = [each for each in names_in(dataset / MANIFESTS) if is_manifest(each)]
    except OSError as error:
        raise UsageError(f"{dataset / MANIFESTS}: cannot be read: {error.strerror}") from None
    stem = "" if camera is None else segment_stem(camera)
    found = _manifests(dataset, sorted(each[:-5] for each in names if each.startswith(stem)))
    return {name: each for name, each in found.items() if camera in (None, each.camera)}


def _manifests(dataset: Path, segments: Sequence[str]) -> dict[str, Manifest]:
    found = {}
    files = [f"{segment}.json" for segment in segments]
    try:
        texts = read_texts(dataset / MANIFESTS, files)
    except OSError as error:
        raise UsageError(f"{dataset / MANIFESTS}: cannot be read: {error.strerror}") from None
    for segment, (file, text) in zip(segments, texts.items(), strict=True):
        path = dataset / MANIFESTS / file
        if isinstance(text, FileNotFoundError):
            continue
        if isinstance(text, OSError):
            raise UsageError(f"{path}: cannot be read: {text.strerror or text}")
        try:
            value = json.loads(text)
            parts = {name: Part(**part) for name, part in value.pop("parts").items()}
            found[segment] = Manifest(**value, parts=parts)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UsageError(
                f"{path}: is damaged; remove it, and its segment is done anew"
            ) from None
    return found


def is_manifest(name: str) -> bool:
    """Return whether a file's name is that of a manifest."""
    return name.endswith(".json") and not name.startswith(".")


def read_state(dataset: Path, segment: str) -> CameraState:
    """Return the state of the camera after a committed segment, empty if it was not stored."""
    path = dataset / STATES / f"{segment}.json"
    try:
        value = json.loads(read_text(path))
        return CameraState(from_json(value["state"]), from_json(value["open_tracks"]))
    except FileNotFoundError:
        return CameraState()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{path}: is damaged") from None


def write_state(dataset: Path, segment: str, state: CameraState) -> None:
    """Store the state of the camera after a segment; raises OSError."""
    value = {"state": to_json(state.state), "open_tracks": to_json(state.open_tracks)}
    write_json(dataset / STATES / f"{segment}.json", value, indent=None)


def remove_segment(dataset: Path, segment: str) -> None:
    """Remove a committed segment and its work from the dataset; raises WriteError."""
    manifest = read_manifest(dataset, segment)
    with writing(dataset, WriteError):
        remove_file(manifest_path(dataset, segment))
        for part in manifest.parts.values() if manifest else ():
            remove_file(dataset / part.path)
        remove_file(dataset / STATES / f"{segment}.json")
        shutil.rmtree(work_folder(dataset, segment), ignore_errors=True)


def remove_orphans(dataset: Path) -> list[tuple[Manifest, str]]:
    """Remove parts, states and videos without a manifest, and work that no job can resume.

    Returns the committed segments with a part that is missing or has changed size, with a message
    about it. Call only under the dataset's lock: another process's commit looks the same. Raises
    OSError.
    """
    committed = read_manifests(dataset)
    kept = {part.path: each for each in committed.values() for part in each.parts.values()}
    there = {}
    for table in TABLES:
        for name, size in files_below(dataset / table).items():
            there[f"{table}/{name}"] = size
            if f"{table}/{name}" not in kept:
                remove_file(dataset / table / name)
        remove_empty_folders(dataset / table)
    for video in [*children_with(dataset / ANNOTATED, (".mp4",))]:
        if video.name.partition(".")[0] not in committed:
            remove_file(video)
    remove_empty_folders(dataset / ANNOTATED)
    for name in names_in(dataset / STATES):
        if name.removesuffix(".json") not in committed:
            remove_file(dataset / STATES / name)
    for name in names_in(dataset / MANIFESTS):
        if not is_manifest(name):
            remove_file(dataset / MANIFESTS / name)
    for name in names_in(work_root(dataset)):
        folder = work_root(dataset) / name
        if folder.is_dir() and (name in committed or not _can_go_on(folder)):
            remove_folder(folder)
    return [
        (manifest, f"{dataset / part.path}: {why}")
        for manifest in committed.values()
        for part in manifest.parts.values()
        if (why := _damage_of(part, there.get(part.path)))
    ]


def _damage_of(part: Part, size: int | None) -> str:
    """Return what is wrong with a part of this size (None: not there), "" if nothing."""
    if size is None:
        return "is missing"
    return "" if part.bytes in (None, size) else f"has {size} bytes of the {part.bytes} written"


def _can_go_on(work: Path) -> bool:
    """Return whether a segment's work has a checkpoint, of a video that may still be there."""
    try:
        video = json.loads((work / PROGRESS).read_text("utf-8"))["segment"]["path"]
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return not os.path.isabs(video) or os.path.exists(video)
