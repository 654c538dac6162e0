"""Header of a dataset, with the options it was created with; opening a dataset for a job."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.archive.dataset.files import (
    children_with,
    is_there,
    names_in,
    read_text,
    remove_empty_folders,
    remove_file,
    remove_folder,
    work_root,
    write_json,
)
from pipeline.archive.dataset.layout import (
    ANNOTATED,
    LOCK,
    MANIFESTS,
    MOVED,
    STATES,
    Manifest,
    is_manifest,
    remove_orphans,
)
from pipeline.archive.dataset.lease import is_lease, take_lease
from pipeline.archive.dataset.schema import SCHEMA_VERSION, TABLES
from pipeline.archive.remote import is_remote
from pipeline.core.dataset_folder import BEGUN, FORMAT, HEADER
from pipeline.core.errors import OutputError, UsageError, WriteError, writing
from pipeline.core.file_lock import LockHeldError, lock_file
from pipeline.core.parquet_file import import_pyarrow

_MAX_NAMED = 6


def read_header(dataset: Path) -> dict[str, Any]:
    """Return the content of dataset.json; raises UsageError if this program cannot read it."""
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
    """Return whether there is a dataset to continue, readable or not."""
    try:
        return is_there(path / HEADER)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def refuse_other_options(
    dataset: Path, options: Mapping[str, Any], written: Sequence[str] | None = None
) -> list[str]:
    """Return the names of the options that have changed, for a dataset without results.

    `written` are those the user set, or their parents (`zones`); None: unknown. An option that the
    program that created the dataset did not have counts only if the user set it: its default is the
    behaviour of that program. Raises UsageError if there are results: it names the options a user
    set now or then, else (after an update of the program) all that differ.
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
    """Lock a dataset for one job, creating it if missing, and remove leftovers of a killed job.

    `options` are those that change results, as JSON: changed ones are refused by name, unless
    `fresh` restarts the dataset; `written` are those the user set. `on_damage` is called for each
    committed segment with a damaged part, with a message about it. Raises UsageError, OutputError,
    MissingExtraError.
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
            # Parts of lost workers: some readers read whole folders.
            with writing(dataset, WriteError):
                remove_orphans(dataset)
    finally:
        release()


def lock_dataset(dataset: Path) -> Callable[[], None]:
    """Lock a dataset for one job, return a function to unlock it; raises OutputError if locked."""
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
    """Prepare a dataset for a job; return segments with a damaged part, and why."""
    header = read_header(dataset) if has_header(dataset) else None
    if header is not None and not fresh and not refuse_other_options(dataset, options, written):
        with writing(dataset):
            damaged = remove_orphans(dataset)
            remove_file(dataset / BEGUN)
        return damaged
    with writing(dataset):
        write_json(dataset / BEGUN, {})
        remove_file(dataset / HEADER)  # without it, no reader takes the rest for a dataset
        _remove_results(dataset)
        told = {} if written is None else {"written": [*written]}
        start = {"format": FORMAT, "schema": SCHEMA_VERSION, "program": program}
        write_json(dataset / HEADER, {**start, "options": options, **told})
        remove_file(dataset / BEGUN)
    return []


def _holds_results(dataset: Path) -> bool:
    """Return whether a segment is committed or has a checkpoint."""
    pieces = work_root(dataset).glob("*/*.parquet")
    return any(map(is_manifest, names_in(dataset / MANIFESTS))) or next(pieces, None) is not None


def _remove_results(dataset: Path) -> None:
    """Remove what jobs wrote, but no other files in the folders of tables and videos."""
    for folder in (dataset / MANIFESTS, dataset / STATES, work_root(dataset)):
        remove_folder(folder)
    remove_file(dataset / MOVED)
    for name in (*TABLES, ANNOTATED):
        for path in [*children_with(dataset / name, (".parquet", ".mp4", ".part"))]:
            remove_file(path)
        remove_empty_folders(dataset / name)  # foreign files stay


def _short(value: Any) -> str:
    text = "not set" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
