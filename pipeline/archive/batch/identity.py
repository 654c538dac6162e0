"""Identity of recordings by content: which ones a dataset already holds, and which are copies.

A recording whose content is in the dataset is not tracked again, even if its file has moved or its
camera was renamed: its rows stay under the first name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pipeline.archive.batch.content import Stamp, content_hash, sample_of
from pipeline.archive.batch.grouping import Recording
from pipeline.archive.batch.store import JobStore, Kept
from pipeline.archive.dataset.schema import segment_name
from pipeline.core.errors import SourceError
from pipeline.sources._file.listing import natural
from pipeline.sources._file.recording_start import named_time

MAX_NAMED = 3
"""Copies reported in a line of their own; further ones are only counted."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Recordings by camera, each with its segment's name, and those that need no processing.

    `elsewhere` are (recording, camera in the dataset): they stay under the camera's first name.
    """

    cameras: Mapping[str, Sequence[Recording]]
    elsewhere: Sequence[tuple[Recording, str]] = ()

    def notes(self) -> list[str]:
        """Return a message for each camera that has another name in the dataset."""
        groups: dict[tuple[str, str], list[Recording]] = {}
        for recording, before in self.elsewhere:
            groups.setdefault((recording.camera, before), []).append(recording)
        return [
            f"camera {camera}: {_count(len(group))} in the dataset already as camera {before}, and "
            f"keep that name ({group[0].path}{', ...' if len(group) > 1 else ''}); --fresh tracks "
            "everything anew"
            for (camera, before), group in groups.items()
        ]


def _count(recordings: int) -> str:
    return "1 recording is" if recordings == 1 else f"{recordings} recordings are"


def match(
    cameras: Mapping[str, Sequence[Recording]], store: JobStore, damaged: Collection[str] = ()
) -> Matched:
    """Return the recordings with the segments that hold, or will hold, their content.

    If a `damaged` segment has a camera's first name, all recordings of that name are included,
    because tracks may continue from one to the next. Call only under the dataset's lock: the store
    records where the files are now.
    """
    everything = [one for group in cameras.values() for one in group]
    claims = _claims(everything, store)
    taken = set(claims.values())
    kept = {name: each for name in taken if (each := store.kept(name)) is not None}
    named: dict[str, list[Recording]] = {}
    elsewhere = []
    for camera, group in cameras.items():
        found = []
        for one in group:
            name = claims.get(one.place)
            if name is None:
                found.append(replace(one, segment=_new_name(one, taken)))
                continue
            one = _as_seen(one, kept[name], store)
            if (before := kept[name].manifest.camera) != camera:
                elsewhere.append((one, before))
            else:
                found.append(one)
        if found:
            named[camera] = sorted(found, key=Recording.sort_key)
    anew = {before for one, before in elsewhere if one.segment in damaged}
    for before in anew:
        own = [replace(one, camera=before) for one, name in elsewhere if name == before]
        named[before] = sorted([*named.get(before, ()), *own], key=Recording.sort_key)
    elsewhere = [each for each in elsewhere if each[1] not in anew]
    store.note_files({claims[one.place]: one for one in everything if one.place in claims})
    return Matched(named, elsewhere)


def _claims(recordings: Sequence[Recording], store: JobStore) -> dict[str, str]:
    """Return {place of a recording: segment with its content}, each segment once."""
    claims: dict[str, str] = {}
    rest = []
    by_place = store.by_place()
    for one in recordings:
        same = _first_same(one, by_place.get(one.place, ()), store)
        if same is None:
            rest.append(one)
        else:
            claims[one.place] = same
    taken = set(claims.values())
    by_size = store.by_size()
    for one in rest:
        size = Stamp.of(one.path).size
        free = [name for name in by_size.get(size, ()) if name not in taken] if size else []
        if (same := _first_same(one, free, store)) is not None:
            claims[one.place] = same
            taken.add(same)
    return claims


def _first_same(one: Recording, names: Collection[str], store: JobStore) -> str | None:
    """Return which of these segments has the recording's content, preferring its own camera."""
    kept = [(name, found) for name in names if (found := store.kept(name)) is not None]
    kept.sort(key=lambda each: (each[1].manifest.camera != one.camera, each[0]))
    digest = cache(_digest)
    return next((name for name, each in kept if is_same(each, one, digest)), None)


def is_same(kept: Kept, recording: Recording, digest: Callable[[Path], str] | None = None) -> bool:
    """Return whether a recording has the content of a committed segment.

    If size, modification time and sample are equal, the whole file is not read.
    """
    manifest, notes = kept.manifest, kept.notes
    stamp, facts = Stamp.of(recording.path), recording.probe
    if not manifest.hash or stamp.size != notes.size:
        return False
    if notes.sample:
        is_probed = facts is not None and stamp == Stamp(facts.size, facts.mtime_ns)
        sample = (recording.sample if is_probed else "") or sample_of(recording.path)
        if sample != notes.sample:
            return False
    knows = notes.sample or recording.place == notes.place
    if knows and stamp.mtime_ns == notes.mtime_ns:
        return True
    return (digest or _digest)(recording.path) == manifest.hash


def _digest(path: Path) -> str:
    try:
        return content_hash(path)
    except SourceError:
        return ""


def _new_name(one: Recording, taken: Collection[str]) -> str:
    """Return a name for a new segment that no other recording's segment has."""
    name = segment_name(one.camera, one.place, one.start_utc)
    if name in taken:  # taken by a file that was at this place and has moved
        name = segment_name(one.camera, f"{one.place}\0{_digest(one.path)}", one.start_utc)
    return name


def _as_seen(one: Recording, kept: Kept, store: JobStore) -> Recording:
    """Return a recording with its segment, and with the time of its first name if it was moved."""
    before = store.recording(kept)
    is_moved = one.place != kept.notes.place
    if is_moved and one.probe is not None and before is not None and before.probe is not None:
        facts = replace(before.probe, size=one.probe.size, mtime_ns=one.probe.mtime_ns)
        one = replace(one, probe=facts, start_utc=before.start_utc)
    sample = one.sample or kept.notes.sample or sample_of(one.path)
    return replace(one, segment=kept.manifest.segment, sample=sample)


def find_copies(recordings: Iterable[Recording], known: Collection[str]) -> dict[Path, Path]:
    """Return {file: the file with the same content that is used instead}.

    Preferred is a file at a `known` place, else one with a time in its name, else the first by
    name. Whole files are read only if size and sample are equal.
    """
    sizes: dict[int, list[Recording]] = {}
    for one in recordings:
        if one.probe is not None:
            sizes.setdefault(one.probe.size, []).append(one)
    samples: dict[tuple[int, str], list[Recording]] = {}
    for size, group in sizes.items():
        for one in group if len(group) > 1 else ():
            sample = one.sample or sample_of(one.path) or str(one.path)
            samples.setdefault((size, sample), []).append(one)
    copies: dict[Path, Path] = {}
    for group in samples.values():
        first: dict[str, Path] = {}
        best_first = sorted(group, key=lambda one: _rank(one, known)) if len(group) > 1 else ()
        for one in best_first:
            with suppress(SourceError):  # it is set aside later, with this reason
                original = first.setdefault(content_hash(one.path), one.path)
                if original != one.path:
                    copies[one.path] = original
    return copies


def _rank(one: Recording, known: Collection[str]) -> tuple[bool, bool, bool, object]:
    facts = one.probe
    is_timed = named_time(one.path) is not None or (facts and facts.start_from == "--group-by")
    return bool(one.problem), one.place not in known, not is_timed, natural(one.path)


def copies_noted(copies: Mapping[Path, Path]) -> list[str]:
    """Return a message for each of the first copies, and one with the number of others."""
    lines = [
        f"{copy}: has the same content as {original}; left out as a copy"
        for copy, original in list(copies.items())[:MAX_NAMED]
    ]
    more = len(copies) - len(lines)
    return [*lines, f"{more} more files are copies of others; left out"] if more else lines
