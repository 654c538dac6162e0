"""Files of a dataset: its header, manifests, parts, and the work of segments in progress.

What holds after a kill at any moment: a segment is in the dataset once its manifest is; everything
else about it is an orphan, or work to go on from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.archive.dataset.schema import FORMAT, SCHEMA_VERSION, TABLES, Segment
from pipeline.core.atomic_file import replacing, sync_folder
from pipeline.core.errors import OutputError, UsageError, WriteError, writing
from pipeline.core.file_lock import LockHeldError, lock_file
from pipeline.core.parquet_file import import_pyarrow
from pipeline.core.plain_data import from_json, to_json

HEADER = "dataset.json"
MANIFESTS = "manifest"
BEGUN = ".dataset.json.begun"
"""Marks a folder as a dataset while it has no header: from before its first folder is made."""
STATES = ".state"
WORK = ".work"
ANNOTATED = "annotated"
LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table; `path` is relative to the dataset."""

    path: str
    rows: int
    bytes: int


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
        header = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        reason = "has no dataset.json" if dataset.is_dir() else "there is no such folder"
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


def is_dataset(path: Path) -> bool:
    """Return whether a folder has the header of a dataset, readable or not."""
    return (path / HEADER).exists()


def refuse_other_options(dataset: Path, options: Mapping[str, Any]) -> list[str]:
    """Return the names of options that are others than before, of a dataset without results.

    Raises UsageError where there are results, with the options' names and values.
    """
    before, now = read_header(dataset).get("options", {}), _as_json(options)
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if changed and _holds_results(dataset):
        shown = "; ".join(
            f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}" for name in changed
        )
        raise UsageError(f"{dataset}: was made with other options: {shown} (--fresh starts over)")
    return changed


def _as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dict(options), default=str))
    return found


@contextmanager
def dataset_job(
    dataset: Path, options: Mapping[str, Any], *, program: str = "", fresh: bool = False
) -> Iterator[Path]:
    """Lock a dataset for one job, made where it is missing, and clear what a killed job left.

    `options` are those that change results, as JSON: other ones than before are refused by name,
    unless `fresh` begins the dataset anew. Raises UsageError, OutputError, MissingExtraError.
    """
    import_pyarrow("a dataset")
    with writing(dataset):
        is_new = not dataset.exists()
        if not is_new and not dataset.is_dir():
            raise OutputError(f"{dataset}: want a folder for the dataset, there is a file")
        names = [] if is_new else sorted({each.name for each in dataset.iterdir()} - {LOCK})
        if names and not {HEADER, BEGUN} & set(names):
            raise OutputError(f"{dataset}: holds other files ({names[0]}); choose another folder")
        dataset.mkdir(parents=True, exist_ok=True)
        release = lock_dataset(dataset)
    try:
        _begin(dataset, _as_json(options), program, fresh)
        yield dataset
    finally:
        release()


def lock_dataset(dataset: Path) -> Callable[[], None]:
    """Lock a dataset for one job, return what unlocks it; raises OutputError where one has it."""
    try:
        return lock_file(dataset / LOCK)
    except LockHeldError as error:
        raise OutputError(
            f"{dataset}: another job ({error.holder}) is writing it; wait, or choose another "
            "folder with -o"
        ) from None


def _begin(dataset: Path, options: dict[str, Any], program: str, fresh: bool) -> None:
    header = read_header(dataset) if is_dataset(dataset) else None
    if header is not None and not fresh and not refuse_other_options(dataset, options):
        with writing(dataset):
            remove_orphans(dataset)
            (dataset / BEGUN).unlink(missing_ok=True)
        return
    with writing(dataset):
        if header is None:
            (dataset / BEGUN).touch()
        else:
            (dataset / HEADER).replace(dataset / BEGUN)  # no reader takes the rest for a dataset
        _remove_results(dataset)
        start = {"format": FORMAT, "schema": SCHEMA_VERSION, "program": program}
        write_json(dataset / HEADER, {**start, "options": options})
        (dataset / BEGUN).unlink()


def _holds_results(dataset: Path) -> bool:
    """Return whether a segment is committed or has a checkpoint."""
    pieces = (dataset / WORK).glob("*/*.parquet")
    return bool(read_manifests(dataset)) or next(pieces, None) is not None


def _remove_results(dataset: Path) -> None:
    """Remove what jobs wrote, and nothing else that lies in the folders of tables and videos."""
    for name in (MANIFESTS, STATES, WORK):
        if (dataset / name).exists():
            shutil.rmtree(dataset / name)
    for name in (*TABLES, ANNOTATED):
        for path in (dataset / name).glob("camera=*/date=*/*"):
            if path.suffix in (".parquet", ".mp4", ".part"):
                path.unlink()
        for folder, _, _ in os.walk(dataset / name, topdown=False):
            with suppress(OSError):  # not empty: somebody else's files
                os.rmdir(folder)


def _short(value: Any) -> str:
    text = "not set" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step, so that it is on the disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def manifest_path(dataset: Path, segment: str) -> Path:
    """Return the manifest's file, which is there once the segment is committed."""
    return dataset / MANIFESTS / f"{segment}.json"


def work_folder(dataset: Path, segment: str) -> Path:
    """Return the folder of a segment in progress."""
    return dataset / WORK / segment


def part_path(segment: Segment, table: str) -> str:
    """Return where a table's part of a segment lies, relative to the dataset."""
    return f"{table}/{segment.folder}/{segment.name}.parquet"


def write_manifest(dataset: Path, manifest: Manifest) -> None:
    """Make a segment part of the dataset, or change what is noted of it; raises OSError."""
    write_json(manifest_path(dataset, manifest.segment), asdict(manifest))


def read_manifest(dataset: Path, segment: str) -> Manifest | None:
    """Return what a segment consists of, None where it is not committed; raises UsageError."""
    path = manifest_path(dataset, segment)
    try:
        value = json.loads(path.read_text("utf-8"))
        parts = {name: Part(**part) for name, part in value.pop("parts").items()}
        return Manifest(**value, parts=parts)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"{path}: is damaged; remove it, and its segment is done anew") from None


def read_manifests(dataset: Path) -> dict[str, Manifest]:
    """Return every committed segment by its name, in the order of names."""
    try:
        names = sorted(each[:-5] for each in os.listdir(dataset / MANIFESTS) if _is_manifest(each))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{dataset / MANIFESTS}: cannot be read: {error.strerror}") from None
    found = {name: read_manifest(dataset, name) for name in names}
    return {name: each for name, each in found.items() if each is not None}


def _is_manifest(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def read_state(dataset: Path, segment: str) -> CameraState:
    """Return the state of the camera after a committed segment, empty where it was not kept."""
    path = dataset / STATES / f"{segment}.json"
    try:
        value = json.loads(path.read_text("utf-8"))
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
    write_json(dataset / STATES / f"{segment}.json", value)


def remove_segment(dataset: Path, segment: str) -> None:
    """Take a committed segment out of the dataset, and its work; raises WriteError."""
    manifest = read_manifest(dataset, segment)
    with writing(dataset, WriteError):
        manifest_path(dataset, segment).unlink(missing_ok=True)
        for part in manifest.parts.values() if manifest else ():
            (dataset / part.path).unlink(missing_ok=True)
        (dataset / STATES / f"{segment}.json").unlink(missing_ok=True)
        shutil.rmtree(work_folder(dataset, segment), ignore_errors=True)


def remove_orphans(dataset: Path) -> None:
    """Remove parts and states without a manifest, and the work of committed segments.

    Only under the dataset's lock: another process's commit looks the same. Raises OSError.
    """
    committed = read_manifests(dataset)
    kept = {part.path for each in committed.values() for part in each.parts.values()}
    for table in TABLES:
        for folder, _, names in os.walk(dataset / table, topdown=False):
            for name in names:
                path = Path(folder, name)
                if path.relative_to(dataset).as_posix() not in kept:
                    path.unlink()
            with suppress(OSError):
                os.rmdir(folder)
    for name in _names(dataset / STATES):
        if name.removesuffix(".json") not in committed:
            (dataset / STATES / name).unlink()
    for name in _names(dataset / MANIFESTS):
        if not _is_manifest(name):
            (dataset / MANIFESTS / name).unlink()
    for name in _names(dataset / WORK):
        if name in committed:
            shutil.rmtree(dataset / WORK / name)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
