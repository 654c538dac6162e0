"""Counts of recorded tracks: from events computed again, or stored by the run or job."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.archive.dataset.reader import Dataset
from pipeline.core.data import Event
from pipeline.core.errors import UsageError
from pipeline.core.sequences import RecordedSequence
from pipeline.core.track_files import SUFFIXES, Recording, read_recording, unix_s
from pipeline.core.zone_counts import CountKey
from pipeline.events.zones.count_table import count_rows
from pipeline.events.zones.replay import Recount, VideoInfo, recount, recounted, replay
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher


class Happened(NamedTuple):
    """One event of a report, with its time on the source's axis."""

    time_s: float
    key: CountKey
    dwell_s: float


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of one source: rows as `trackline count` prints them, tracks inside, events.

    `zones` is None for counts of stored events.
    """

    rows: Sequence[dict[str, Any]]
    inside: dict[str, int]
    events: Sequence[Happened]
    zones: CameraZones | None = None


class Chain(NamedTuple):
    """Consecutive recordings with continuous tracks: (sequence, its start in seconds) in order.

    The chain begins at `base_s` on the source's axis, `base_frame` frames after its first frame.
    """

    base_s: float
    base_frame: int
    parts: Sequence[tuple[RecordedSequence, float, float]]
    """Sequence, offset on the chain's clock, length in seconds."""


def recount_file(sequence: RecordedSequence, camera: CameraZones, *, is_utc: bool) -> Counted:
    """Count one source of a run's file."""
    if sequence.path.suffix.lower() in SUFFIXES:
        recording = read_recording(sequence.path)
    else:
        recording = _as_recording(sequence)
    fps = sequence.video.fps if not np.isfinite(sequence.table.pts_s).all() else None
    found = recount(recording, sequence.name, camera, VideoInfo(fps))
    return counted(found, camera, is_utc=is_utc)


def recount_chains(source: str, chains: Iterable[Chain], camera: CameraZones) -> Recount:
    """Count a camera of a dataset: across seams as its job does, restarting after a gap.

    Times and frames of the events are on the source's axis.
    """
    rows: Counter[CountKey] = Counter()
    inside: dict[str, int] = {}
    events: list[Event] = []
    for chain in chains:
        watcher = ZoneWatcher(camera, warn=False, beyond="error")
        found = recounted(watcher, camera, [*_over_seams(source, chain, watcher)])
        events += [
            replace(one, pts_s=one.pts_s + chain.base_s, index=one.index + chain.base_frame)
            for one in found.events
        ]
        rows.update(watcher.counts())
        inside = found.inside  # after a gap the tracks inside are forgotten
    return Recount(count_rows(rows, camera), inside, events)


def stored_in_dataset(dataset: Dataset, camera: str, offsets: dict[str, float] | None) -> Counted:
    """Return the events stored by the job; `offsets` of segments if the axis is not UTC."""
    events = []
    names = ["segment", "pts_s", "utc", *CountKey._fields, "dwell_s"]

    for batch in dataset.batches("events", names, camera):
        for row in batch.to_pylist():
            if offsets is None and row["utc"] is not None:
                time_s = row["utc"].timestamp()
            else:
                time_s = (offsets or {}).get(row["segment"], 0.0) + row["pts_s"]
            key = CountKey(*(row[name] or "" for name in CountKey._fields))
            events.append(Happened(time_s, key, row["dwell_s"] or 0.0))
    return _stored(events)


def stored_in_run(folder: Path, *, utc_sources: set[str]) -> dict[str, Counted]:
    """Return {source: events} from the events.csv of a run; {} if there is none."""
    path = folder / "events.csv"
    if not path.is_file():
        return {}
    found: dict[str, list[Happened]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                time_s = unix_s(row["utc"]) if row["source"] in utc_sources else float(row["pts_s"])
                key = CountKey(*(row[name] for name in CountKey._fields))
                one = Happened(time_s, key, float(row["dwell_s"] or 0))
                found.setdefault(row["source"], []).append(one)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: no table of events: {reason}") from None
    return {name: _stored(events) for name, events in found.items()}


def _stored(events: list[Happened]) -> Counted:
    return Counted(count_rows(Counter(one.key for one in events), None), {}, events)


def counted(found: Recount, camera: CameraZones, *, is_utc: bool) -> Counted:
    """Return the new counts, with the times of their events on the source's axis."""
    events = [
        Happened(
            one.captured_at if is_utc else one.pts_s,
            CountKey(one.area, one.kind, one.direction, one.class_name),
            one.dwell_s,
        )
        for one in found.events
    ]
    return Counted(found.counts, found.inside, events, camera)


def _over_seams(source: str, chain: Chain, watcher: ZoneWatcher) -> Iterator[Event]:
    """Yield the events of consecutive recordings, in the chain's time."""
    first_frame, names = 0, dict[int, str]()
    for sequence, offset_s, length_s in chain.parts:
        names |= sequence.class_names
        table = sequence.table
        shifted = replace(table, pts_s=table.pts_s + offset_s, frame=table.frame + first_frame)
        first_frame += max(sequence.video.length, int(table.frame.max(initial=-1)) + 1)
        end_s = offset_s + length_s - 1 / sequence.video.fps
        last = {"frame": first_frame - 1, "pts_s": end_s}
        moved = replace(sequence, name=source, table=shifted, class_names=names)
        recording = _as_recording(moved, last)
        yield from replay(recording, source, watcher, VideoInfo())


def _as_recording(sequence: RecordedSequence, last: dict[str, float] | None = None) -> Recording:
    """Return a sequence for replay, up to its last frame according to the run's report, if known.

    Epochs are unknown: the Parquet columns that are read have none.
    """
    video = sequence.video
    about: dict[str, Any] = {} if last is None else {"last": last}
    if video.has_known_size:
        about |= {"width": video.width, "height": video.height}
    tables = {sequence.name: sequence.table}
    header = {"sources": {sequence.name: about}}
    names = sequence.class_names
    return Recording(sequence.path, "csv", tables, names, [None], header=header)
