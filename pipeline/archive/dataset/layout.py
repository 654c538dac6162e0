"""Files of a dataset: its header, manifests, parts, and the work of segments in progress.

What holds after a kill at any moment: a segment is in the dataset once its manifest is; everything
else about it is an orphan, or work to go on from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.archive.dataset.files import (
    children_with,
    files_below,
    is_there,
    names_in,
    read_text,
    read_texts,
    remove_empty_folders,
    remove_file,
    remove_folder,
    work_root,
    write_json,
)
from pipeline.archive.dataset.lease import is_lease, take_lease
from pipeline.archive.dataset.schema import SCHEMA_VERSION, TABLES, Segment, segment_stem
from pipeline.archive.remote import is_remote
from pipeline.core.dataset_folder import BEGUN, FORMAT, HEADER
from pipeline.core.errors import OutputError, UsageError, WriteError, writing
from pipeline.core.file_lock import LockHeldError, lock_file
from pipeline.core.parquet_file import import_pyarrow
from pipeline.core.state_json import from_json, to_json

MANIFESTS = "manifest"
STATES = ".state"
PROGRESS = "progress.json"
"""Name of the checkpoint in a segment's work."""
ANNOTATED = "annotated"
MOVED = ".moved.json"
"""Where files lie now that lay elsewhere when they were processed; the job's own."""
LOCK = ".lock"
_MAX_NAMED = 6
"""Options that a refusal names; more are counted."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table; `path` is relative to the dataset.

    `bytes` is its size, None where an older program did not note it.
    """

    path: str
    rows: int
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a committed segment consists of. `max_track_id` is 0 where it has no track.

    `notes` are those of the job that wrote it, for itself.
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
    """What the next segment of a camera goes on from.

    `state` is the caller's, of the tracker; `open_tracks` are trajectories that may go on.
    """

    state: Any = None
    open_tracks: Mapping[str, Any] = field(default_factory=dict)


def read_header(dataset: Path) -> dict[str, Any]:
    """Return what dataset.json says; raises UsageError unless this program can read the dataset."""
    path = dataset / HEADER
    try:
        header = json.loads(read_text(path))
    except FileNotFoundError:
        is_folder = is_remote(dataset) or dataset.is_dir()
        reason = "has no dataset.json" if is_folder else "there is no such folder"
        raise UsageError(f"{dataset}: is no dataset: {reason}") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{path}: is damaged: not JSON") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UsageError(f"{path}: is not the header of a dataset of this program")
    schema = header.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise UsageError(f"{path}: is damaged: schema {schema!r}")
    if schema > SCHEMA_VERSION:
        program = header.get("program") or "a newer program"
        raise UsageError(
            f"{dataset}: has schema {schema}, written by {program}; this one reads up to "
            f"{SCHEMA_VERSION}: install a newer Trackline"
        )
    return header


def has_header(path: Path) -> bool:
    """Return whether there is a dataset to go on with, readable or not."""
    try:
        return is_there(path / HEADER)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def refuse_other_options(
    dataset: Path, options: Mapping[str, Any], written: Sequence[str] | None = None
) -> list[str]:
    """Return the names of options that are others than before, of a dataset without results.

    `written` are those that the user set, or what is above them (`zones`); None: it is not known.
    One that the program that made the dataset did not have counts only where the user set it: its
    default is what that program did. Raises UsageError where there are results: it names what a
    user set now or then, else (after an update of the program) all that differ.
    """
    header = read_header(dataset)
    before, now = header.get("options", {}), _as_json(options)
    known = now if written is None else written
    added = {name for name in now.keys() - before.keys() if not _is_below(name, [*known])}
    changed = sorted(name for name in {*before, *now} - added if before.get(name) != now.get(name))
    if not changed or not _holds_results(dataset):
        return changed
    sets = (header.get("written"), written)
    told = {name: [_is_below(name, each or ()) for each in sets] for name in changed}
    named = [name for name in changed if any(told[name])] or changed
    shown = []
    for name in named[:_MAX_NAMED]:
        by_default = [
            "" if known is None or is_told or value.get(name) is None else " by default"
            for known, value, is_told in zip(sets, (before, now), told[name], strict=True)
        ]
        was, value = _short(before.get(name)), _short(now.get(name))
        shown.append(f"{name} was {was}{by_default[0]}, is {value}{by_default[1]}")
    more = f"; and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
    raise UsageError(
        f"{dataset}: was made with other options: {'; '.join(shown)}{more} (--fresh starts over)"
    )


def _is_below(name: str, written: Sequence[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in written)


def _as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dict(options), default=str))
    return found


@contextmanager
def dataset_job(
    dataset: Path,
    options: Mapping[str, Any],
    *,
    program: str = "",
    fresh: bool = False,
    written: Sequence[str] | None = None,
    on_damage: Callable[[Manifest, str], None] | None = None,
) -> Iterator[Path]:
    """Lock a dataset for one job, made where it is missing, and clear what a killed job left.

    `options` are those that change results, as JSON: other ones than before are refused by name,
    unless `fresh` begins the dataset anew; `written` are those the user set. `on_damage` gets each
    committed segment of which a part is not whole, with a line on that. Raises UsageError,
    OutputError, MissingExtraError.
    """
    import_pyarrow("a dataset")
    if str(dataset).startswith(("http://", "https://")):
        raise OutputError(f"{dataset}: a web server cannot be written to; want a folder or a store")
    with writing(dataset):
        if not is_remote(dataset) and dataset.exists() and not dataset.is_dir():
            raise OutputError(f"{dataset}: want a folder for the dataset, there is a file")
        names = sorted(each for each in names_in(dataset) if each != LOCK and not is_lease(each))
        if names and not {HEADER, BEGUN} & set(names):
            raise OutputError(f"{dataset}: holds other files ({names[0]}); choose another folder")
        if not is_remote(dataset):
            dataset.mkdir(parents=True, exist_ok=True)
        release = lock_dataset(dataset)
    try:
        for manifest, why in _begin(dataset, _as_json(options), written, program, fresh):
            if on_damage is not None:
                on_damage(manifest, why)
        yield dataset
        if is_remote(dataset):
            # Parts of workers that were lost: some read whole folders as they are.
            with writing(dataset, WriteError):
                remove_orphans(dataset)
    finally:
        release()


def lock_dataset(dataset: Path) -> Callable[[], None]:
    """Lock a dataset for one job, return what unlocks it; raises OutputError where one has it."""
    try:
        return take_lease(dataset) if is_remote(dataset) else lock_file(dataset / LOCK)
    except LockHeldError as error:
        raise OutputError(
            f"{dataset}: another job ({error.holder}) is writing it; wait, or choose another "
            "folder with -o"
        ) from None


def _begin(
    dataset: Path,
    options: dict[str, Any],
    written: Sequence[str] | None,
    program: str,
    fresh: bool,
) -> list[tuple[Manifest, str]]:
    """Bring a dataset to where a job can begin; return segments with a damaged part, and why."""
    header = read_header(dataset) if has_header(dataset) else None
    if header is not None and not fresh and not refuse_other_options(dataset, options, written):
        with writing(dataset):
            damaged = remove_orphans(dataset)
            remove_file(dataset / BEGUN)
        return damaged
    with writing(dataset):
        write_json(dataset / BEGUN, {})
        remove_file(dataset / HEADER)  # no reader takes the rest for a dataset
        _remove_results(dataset)
        told = {} if written is None else {"written": [*written]}
        start = {"format": FORMAT, "schema": SCHEMA_VERSION, "program": program}
        write_json(dataset / HEADER, {**start, "options": options, **told})
        remove_file(dataset / BEGUN)
    return []


def _holds_results(dataset: Path) -> bool:
    """Return whether a segment is committed or has a checkpoint."""
    pieces = work_root(dataset).glob("*/*.parquet")
    return any(map(_is_manifest, names_in(dataset / MANIFESTS))) or next(pieces, None) is not None


def _remove_results(dataset: Path) -> None:
    """Remove what jobs wrote, and nothing else that lies in the folders of tables and videos."""
    for folder in (dataset / MANIFESTS, dataset / STATES, work_root(dataset)):
        remove_folder(folder)
    remove_file(dataset / MOVED)
    for name in (*TABLES, ANNOTATED):
        for path in [*children_with(dataset / name, (".parquet", ".mp4", ".part"))]:
            remove_file(path)
        remove_empty_folders(dataset / name)  # somebody else's files stay


def _short(value: Any) -> str:
    text = "not set" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def manifest_path(dataset: Path, segment: str) -> Path:
    """Return the manifest's file, which is there once the segment is committed."""
    return dataset / MANIFESTS / f"{segment}.json"


def work_folder(dataset: Path, segment: str) -> Path:
    """Return the folder of a segment in progress."""
    return work_root(dataset) / segment


def part_path(segment: Segment, table: str, attempt: str = "") -> str:
    """Return where a table's part of a segment lies, relative to the dataset.

    In a store each attempt to write it has a name of its own, so that none replaces another's.
    """
    own = f".{attempt}" if attempt else ""
    return f"{table}/{segment.folder}/{segment.name}{own}.parquet"


def write_manifest(dataset: Path, manifest: Manifest, *, is_new: bool = False) -> None:
    """Make a segment part of the dataset; raises OSError.

    With `is_new` a store refuses it where the segment is there already (FileExistsError).
    """
    write_json(manifest_path(dataset, manifest.segment), asdict(manifest), is_new=is_new)


def read_manifest(dataset: Path, segment: str) -> Manifest | None:
    """Return what a segment consists of, None where it is not committed; raises UsageError."""
    return _manifests(dataset, [segment]).get(segment)


def read_manifests(dataset: Path, camera: str | None = None) -> dict[str, Manifest]:
    """Return every committed segment, or one camera's, by its name, in the order of names."""
    try:
        names = [each for each in names_in(dataset / MANIFESTS) if _is_manifest(each)]
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


def _is_manifest(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def read_state(dataset: Path, segment: str) -> CameraState:
    """Return the state of the camera after a committed segment, empty where it was not kept."""
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
    """Keep the state of the camera after a segment; raises OSError."""
    value = {"state": to_json(state.state), "open_tracks": to_json(state.open_tracks)}
    write_json(dataset / STATES / f"{segment}.json", value, indent=None)


def remove_segment(dataset: Path, segment: str) -> None:
    """Take a committed segment out of the dataset, and its work; raises WriteError."""
    manifest = read_manifest(dataset, segment)
    with writing(dataset, WriteError):
        remove_file(manifest_path(dataset, segment))
        for part in manifest.parts.values() if manifest else ():
            remove_file(dataset / part.path)
        remove_file(dataset / STATES / f"{segment}.json")
        shutil.rmtree(work_folder(dataset, segment), ignore_errors=True)


def remove_orphans(dataset: Path) -> list[tuple[Manifest, str]]:
    """Remove parts, states and videos without a manifest, and work that no job can go on from.

    Return the committed segments of which a part is missing or of another size than was written,
    and a line on that. Only under the dataset's lock: another process's commit looks the same.
    Raises OSError.
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
        if not _is_manifest(name):
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
