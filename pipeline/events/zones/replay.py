"""Replay of recorded tracks: the same events as in the run that wrote them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.data import Event, Frame, Tracks
from pipeline.core.errors import UsageError
from pipeline.core.track_files import BoxTable, Recording
from pipeline.events.zones.count_table import count_rows
from pipeline.events.zones.schema import CameraZones, ZonesFile
from pipeline.events.zones.watcher import ZoneWatcher

_NO_CLASS = {-1: "object"}
"""The class name in files without classes."""


class VideoInfo(NamedTuple):
    """Frame rate and picture size, for track files that do not hold them."""

    fps: float | None = None
    size: tuple[int, int] | None = None


class Step(NamedTuple):
    """A frame that has tracks, or the last one."""

    frame: Frame
    tracks: Tracks


class Recount(NamedTuple):
    """What happened at one source's zones and lines: rows of counts, tracks inside, events."""

    counts: list[dict[str, Any]]
    inside: dict[str, int]
    events: list[Event]


def zones_of_sources(
    sources: Collection[str], zones: ZonesFile, camera: str | None, where: Path
) -> dict[str, str]:
    """Return {source: camera whose zones it has}: its namesake, or `camera` for the only source.

    Raises UsageError where `camera` has zones and is none of several sources.
    """
    if camera is None:
        return {name: name for name in sources if name in zones.cameras}
    if camera not in zones.cameras:
        return {}
    if camera in sources:
        return {camera: camera}
    if len(sources) == 1:
        return dict.fromkeys(sources, camera)
    raise UsageError(f"{where}: has no source '{camera}' (there are: {', '.join(sources)})")


def recount(recording: Recording, name: str, camera: CameraZones, video: VideoInfo) -> Recount:
    """Count one source again; raises UsageError, and ConfigError for zones outside the picture.

    Without a known picture size it is the zones' own.
    """
    check_classes(recording, camera)
    known = picture_size(recording, name)
    if camera.size and not video.size and not known:
        video = video._replace(size=camera.size)
    # A file names the classes that were seen, so another one is no mistake.
    is_known = video.size or known
    watcher = ZoneWatcher(camera, warn=False, beyond="error" if is_known else "ignore")
    events = [*replay(recording, name, watcher, video)]
    return recounted(watcher, camera, events)


def recounted(watcher: ZoneWatcher, camera: CameraZones, events: list[Event]) -> Recount:
    """Return what a watcher has counted over one or more replays."""
    inside = {zone: sum(classes.values()) for zone, classes in watcher.inside().items()}
    return Recount(count_rows(watcher.counts(), camera), inside, events)


def replay(
    recording: Recording, name: str, watcher: ZoneWatcher, video: VideoInfo
) -> Iterator[Event]:
    """Yield the events of one sequence as its run had them; raises UsageError if times are missing.

    Frames without tracks are not needed: they decide only that a track has left, and that event
    has the moment the track was last seen. How far the run went after the last row is in the
    `report.json` beside the file; without it, tracks in the last frames have not left.
    """
    names = {**_NO_CLASS, **recording.class_names}
    yield from replayed(_steps(recording, name, video), watcher, names)


def replayed(
    steps: Iterable[Step], watcher: ZoneWatcher, names: Mapping[int, str]
) -> Iterator[Event]:
    """Yield the events of frames in order; a new epoch forgets where tracks were."""
    epoch = 0
    for frame, tracks in steps:
        if frame.epoch != epoch:
            epoch = frame.epoch
            watcher.reset()
        yield from watcher.watch(frame, tracks, names)


def check_classes(recording: Recording, camera: CameraZones) -> None:
    """Raise UsageError where a zone or line wants classes that the file does not hold."""
    wants = [area.name for area in camera.zones_and_lines if area.classes]
    rules = camera.appeared_rules
    if rules is not None and rules.classes:
        wants.append("appeared")
    if wants and not recording.class_names:
        raise UsageError(f"{recording.path}: has no classes, but '{wants[0]}' counts only some")


def _steps(recording: Recording, name: str, video: VideoInfo) -> Iterator[Step]:
    table = recording.tables[name]
    if video.fps is None and not np.isfinite(table.pts_s).all():
        raise UsageError(f"{recording.path}: has no times; want the frame rate, --fps N")
    table = table[table.frame.argsort(kind="stable")]
    starts = np.flatnonzero(np.diff(table.frame, prepend=-1)).tolist()
    size = picture_size(recording, name) or video.size or (1, 1)
    last = None
    for first, end in zip(starts, [*starts[1:], len(table)], strict=True):
        rows = table[first:end]
        last = _frame(recording, name, rows, VideoInfo(video.fps, size))
        yield Step(last, _tracks(rows))
    in_report = _facts(recording, name).get("last") or {}
    if last is not None and int(in_report.get("frame", -1)) > last.index:
        index, pts_s = int(in_report["frame"]), float(in_report["pts_s"])
        end_ = Frame(last.image, name, index, pts_s, last.captured_at, last.epoch)
        yield Step(end_, Tracks.empty())


def _frame(recording: Recording, name: str, rows: BoxTable, video: VideoInfo) -> Frame:
    """Return the frame of these rows, with a picture that has a size only."""
    record = recording.records[int(rows.record[0])]
    values: Mapping[str, Any] = record if isinstance(record, Mapping) else {}
    index, pts_s = int(rows.frame[0]), float(rows.pts_s[0])
    if not math.isfinite(pts_s):
        pts_s = index / video.fps if video.fps else 0.0
    width, height = _size(values) or video.size or (1, 1)
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    seen_at = float(rows.utc_s[0])
    return Frame(image, name, index, pts_s, seen_at, int(values.get("epoch") or 0))


def picture_size(recording: Recording, name: str) -> tuple[int, int] | None:
    """Return the size of the pictures: from the rows, the header or the report of the run."""
    table = recording.tables[name]
    record = recording.records[int(table.record[0])] if len(table) else None
    if isinstance(record, Mapping) and (size := _size(record)):
        return size
    if size := _size(_in_header(recording, name)):
        return size
    width, height = _source_report(recording.path, name).get("size") or (0, 0)
    return _size({"width": width, "height": height})


def _size(values: Mapping[str, Any]) -> tuple[int, int] | None:
    with suppress(KeyError, TypeError, ValueError):
        width, height = int(values["width"]), int(values["height"])
        if width > 0 and height > 0:
            return width, height
    return None


def _tracks(rows: BoxTable) -> Tracks:
    n = len(rows)
    return Tracks(
        xyxy=rows.xyxy.astype(np.float32),
        score=rows.score.astype(np.float32),
        class_id=rows.class_id.astype(np.int32),
        track_id=rows.track_id,
        detection=np.where(rows.state == "coasting", -1, np.arange(n)).astype(np.int32),
        age_s=np.zeros(n, np.float32),
    )


def _in_header(recording: Recording, name: str) -> Mapping[str, Any]:
    return dict(recording.header.get("sources") or {}).get(name) or {}


def _facts(recording: Recording, name: str) -> Mapping[str, Any]:
    """Return what the recording's header, else the run's report, says of the source's end."""
    header = _in_header(recording, name)
    return header if "last" in header else _source_report(recording.path, name)


def _source_report(path: Path, name: str) -> Mapping[str, Any]:
    """Return what the run's report, where it is beside the file, says of this source."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        report = json.loads((path.parent / "report.json").read_text("utf-8"))
        return dict(report["sources"][name])
    return {}
