"""The dataset from a batch job's view: committed segments, cameras in progress, highest ids."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.archive.batch.content import SeenFile, Stamp, sample_of
from pipeline.archive.batch.grouping import Recording
from pipeline.archive.batch.remote_files import path_of
from pipeline.archive.dataset.files import (
    children_with,
    read_text,
    remove_file,
    work_root,
    write_json,
)
from pipeline.archive.dataset.header import dataset_job, lock_dataset
from pipeline.archive.dataset.layout import (
    ANNOTATED,
    LOCK,
    MOVED,
    Manifest,
    read_manifests,
    read_state,
    remove_segment,
)
from pipeline.archive.dataset.writer import SegmentWriter
from pipeline.archive.remote import is_remote
from pipeline.core.errors import OutputError, WriteError, writing
from pipeline.core.file_lock import LockHeldError, lock_file
from pipeline.sources._file.probe import FileProbe

_POLL_S = 0.1
LOCK_PATIENCE_S = 15.0
"""Seconds that a worker of a killed job may take to notice that and end."""


@dataclass(frozen=True, slots=True)
class Notes:
    """Notes in a committed segment's manifest for later runs of the job.

    `token` identifies the segment's results: its content, the token of the segment its tracks
    continue from (`carried_from`, "" for none) and its first id. `is_carried_on`: the next segment
    continues from it. `size`, `mtime_ns` and `sample` are the video's, `place` is the resolved path
    where it was last found, `ended_at_s` is where it really ended.
    """

    token: str
    carried_from: str
    is_carried_on: bool
    size: int
    mtime_ns: int
    ended_at_s: float = 0.0
    reason: str = ""
    recording: Mapping[str, Any] = field(default_factory=dict)
    """Facts about the recording, in case the file disappears: see `remembered`."""
    sample: str = ""
    place: str = ""


def remembered(recording: Recording) -> dict[str, Any]:
    """Return the facts that the seams next to a recording depend on, as JSON."""
    facts = recording.probe
    return {
        "start_utc": recording.start_utc,
        "continues": recording.continues,
        "probe": None if facts is None else asdict(facts),
    }


@dataclass(frozen=True, slots=True)
class _Moved:
    """Location of a segment's file found, by its content, after the segment was committed."""

    hash: str
    place: str
    size: int
    mtime_ns: int
    sample: str

    def noted(self, notes: Notes) -> Notes:
        """Return a segment's notes with the file as it is now."""
        return replace(
            notes, place=self.place, size=self.size, mtime_ns=self.mtime_ns, sample=self.sample
        )


def _read_moved(path: Path) -> dict[str, _Moved]:
    """Return the notes about moved files; none if damaged: then the files are read again."""
    try:
        return {name: _Moved(**each) for name, each in json.loads(read_text(path)).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@dataclass(frozen=True, slots=True)
class Kept:
    """A committed segment."""

    manifest: Manifest
    notes: Notes


class JobStore:
    """Committed segments of a dataset locked by this job, as they were at the start.

    All of them, or one camera's: out of a hundred thousand, a worker needs only those it works on.
    One process at a time works on a camera (`camera_lock`), and keeps its segments up to date.
    """

    def __init__(self, dataset: Path, camera: str | None = None) -> None:
        self.dataset = dataset
        self._kept: dict[str, Kept] = {}
        self._moved = _read_moved(dataset / MOVED)
        for name, manifest in read_manifests(dataset, camera).items():
            if (notes := _notes(manifest)) is not None:
                moved = self._moved.get(name)
                if moved is not None and moved.hash == manifest.hash:
                    notes = moved.noted(notes)
                self._kept[name] = Kept(manifest, notes)

    def by_place(self) -> dict[str, list[str]]:
        """Return the segments by the resolved path where their file was last found."""
        found: dict[str, list[str]] = {}
        for name, kept in self._kept.items():
            found.setdefault(kept.notes.place, []).append(name)
        return found

    def by_size(self) -> dict[int, list[str]]:
        """Return the segments by the size of their file."""
        found: dict[int, list[str]] = {}
        for name, kept in self._kept.items():
            found.setdefault(kept.notes.size, []).append(name)
        return found

    def seen(self) -> dict[str, SeenFile]:
        """Return the files that could be read, by resolved path."""
        found = {}
        for kept in self._kept.values():
            if (one := self.recording(kept)) is not None and one.probe is not None:
                notes = kept.notes
                facts = replace(one.probe, size=notes.size, mtime_ns=notes.mtime_ns)
                found[notes.place] = SeenFile(notes.sample, facts)
        return found

    def recording(self, kept: Kept) -> Recording | None:
        """Return a segment's recording as it was found then, None if it could not be read."""
        one = kept.notes.recording
        if not one.get("probe"):
            return None
        facts = FileProbe(**one["probe"])
        path = path_of(kept.manifest.path)
        camera = kept.manifest.camera
        return Recording(path, camera, facts, "", one["start_utc"], one["continues"])

    def kept(self, segment: str) -> Kept | None:
        """Return a committed segment by its name, None if there is none."""
        return self._kept.get(segment)

    def others(self, camera: str, segments: Collection[str]) -> dict[str, Recording]:
        """Return the camera's readable committed segments except `segments`, by name.

        Their files may no longer exist.
        """
        found = {}
        for name, kept in self._kept.items():
            if name in segments or kept.manifest.camera != camera:
                continue
            if (recording := self.recording(kept)) is not None:
                found[name] = recording
        return found

    def highest_id(self, camera: str) -> int:
        """Return the highest track id in a committed segment of the camera."""
        found = (one.manifest for one in self._kept.values())
        return max((one.max_track_id for one in found if one.camera == camera), default=0)

    def state_after(self, segment: str) -> Any:
        """Return the tracker's state after a committed segment, None if it was not stored."""
        return read_state(self.dataset, segment).state

    def note_files(self, found: Mapping[str, Recording]) -> None:
        """Store where the files of committed segments are now, so that the next job finds them.

        All in one file: a synced write for each of 100,000 would take an hour.
        """
        changed = False
        for segment, one in found.items():
            kept = self._kept[segment]
            stamp, sample = Stamp.of(one.path), kept.notes.sample or sample_of(one.path)
            moved = _Moved(kept.manifest.hash, one.place, stamp.size, stamp.mtime_ns, sample)
            if moved.noted(kept.notes) != kept.notes:
                changed = True
                self._moved[segment] = moved
                self._kept[segment] = replace(kept, notes=moved.noted(kept.notes))
        if changed:
            there = {name: asdict(each) for name, each in self._moved.items() if name in self._kept}
            with writing(self.dataset, WriteError):
                write_json(self.dataset / MOVED, there)

    def remove(self, segment: str) -> None:
        """Remove a committed segment from the dataset, with its annotated video."""
        kept = self._kept.pop(segment, None)
        remove_segment(self.dataset, segment)
        if kept is not None:
            for video in [*children_with(self.dataset / ANNOTATED, (".mp4",))]:
                if video.name.startswith(segment):
                    remove_file(video)

    def commit(
        self, writer: SegmentWriter, video: Mapping[str, Any], notes: Notes, state: Any
    ) -> None:
        """Commit a segment; `state` is the tracker's after it."""
        carry = notes.is_carried_on
        kept_state = state if carry else None
        manifest = writer.commit(video, state=kept_state, carry=carry, notes=asdict(notes))
        self._kept[writer.segment.name] = Kept(manifest, notes)


@contextmanager
def camera_lock(dataset: Path, camera: str, patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """Lock a camera against other processes: workers of a killed job end a little later.

    For a dataset in a store, only against other processes of this machine.
    """
    digest = hashlib.sha256(camera.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = work_root(dataset) / f"camera-{digest}.lock"
    with writing(path, WriteError):
        path.parent.mkdir(parents=True, exist_ok=True)
        release = _lock(path, patience_s)
    try:
        yield
    finally:
        release()


@contextmanager
def open_store(
    dataset: Path, options: Mapping[str, Any], written: Sequence[str], *, fresh: bool
) -> Iterator[dict[str, str]]:
    """Lock a dataset for one job, once the workers of a killed one have ended.

    Yields {segment: message about its first damaged part}. Raises the errors of `dataset_job`.
    """
    _refuse_second_job(dataset)
    for path in sorted(work_root(dataset).glob("camera-*.lock")):
        with writing(path):
            _lock(path)()
    damaged: dict[str, str] = {}

    def note(manifest: Manifest, why: str) -> None:
        damaged.setdefault(manifest.segment, why)

    program = _program()
    with dataset_job(
        dataset, options, program=program, fresh=fresh, written=written, on_damage=note
    ):
        yield damaged


def _refuse_second_job(dataset: Path) -> None:
    """Raise OutputError if another job is running; otherwise its workers would be waited for."""
    path = dataset / LOCK
    if is_remote(dataset) or not path.exists():
        return
    with writing(path):
        lock_dataset(dataset)()


def _program() -> str:
    from pipeline.report import versions

    return f"trackline {versions()['trackline']}"


def _lock(path: Path, patience_s: float = LOCK_PATIENCE_S) -> Any:
    """Return a function that unlocks the file; waits for a process that is about to end."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return lock_file(path)
        except LockHeldError as error:
            if time.monotonic() > deadline:
                raise OutputError(
                    f"{path.parent.parent}: {error.holder} is still working on a camera of it"
                ) from None
            time.sleep(_POLL_S)


def _notes(manifest: Manifest) -> Notes | None:
    """Return the notes in this job's manifests, None for a segment written by another program."""
    try:
        notes = Notes(**manifest.notes)
    except TypeError:
        return None
    return notes if notes.place else replace(notes, place=str(Path(manifest.path).resolve()))


def video_row(
    recording: Recording, *, status: str, read_s: float = 0.0, **more: Any
) -> dict[str, Any]:
    """Return the columns of `videos` that come from a recording and its run.

    `read_s` is where it ended or broke off, for files with a missing or excessive duration.
    """
    facts = recording.probe
    row: dict[str, Any] = {"status": status, **more}
    if facts is not None:
        row |= {
            "size_bytes": facts.size,
            "duration_s": (facts.duration_s if status == "ok" else 0.0) or read_s,
            "width": facts.width,
            "height": facts.height,
            "fps": facts.fps or 0.0,
            "codec": facts.codec,
        }
    return row
