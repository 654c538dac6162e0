"""Position of a moving camera at each frame: frames joined to a GPS track by time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.ground.gps import GpsTrack, positions_at
from pipeline.archive.remote import is_remote
from pipeline.archive.tracks import open_tracks
from pipeline.config.plugins import plugin
from pipeline.core.errors import UsageError
from pipeline.core.options import listed
from pipeline.core.output_columns import Column
from pipeline.core.sequences import RecordedSequence
from pipeline.core.track_files import SUFFIXES

Floats = NDArray[np.float64]

POSITION_COLUMNS = (
    Column("source", "text", "", "name of the video"),
    Column("frame", "int64", "", "number of the frame, from 0"),
    Column("pts_s", "float64", "s", "time from the start of the file"),
    Column("utc", "time", "UTC", "when the picture was taken; empty where nothing says it"),
    Column("lat", "float64", "degrees", "north, WGS84; empty where the GPS says nothing"),
    Column("lon", "float64", "degrees", "east, WGS84"),
    Column("altitude_m", "float64", "m", "as the receiver gives it"),
    Column("speed_mps", "float64", "m/s", "speed of the vehicle"),
    Column("course_deg", "float64", "degrees", "clockwise from north; empty while it stands"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """N frames of one source: `frame` i64[N], `pts_s` f64[N], `utc_s` f64[N] (NaN: unknown)."""

    source: str
    frame: NDArray[np.int64]
    pts_s: Floats
    utc_s: Floats


def frames_of(path: Path, source: str | None, start_utc: float | None) -> list[Frames]:
    """Return every frame of a video, or those in tracks, by source; raises UsageError.

    `source` selects one of several, or a dataset's camera with all its recordings. `start_utc` is
    the Unix time of the start, if the files do not have it or have it wrong.
    """
    if is_remote(path) or path.is_dir() or path.suffix.lower() in (*SUFFIXES, ".parquet"):
        found = _of_tracks(path, source)
    else:
        found = [_of_video(path)]
    if start_utc is None:
        return found
    if len(found) > 1:
        raise UsageError(f"--start: is of one recording, and there are {len(found)}: --source NAME")
    (one,) = found
    return [Frames(one.source, one.frame, one.pts_s, start_utc + one.pts_s)]


def _of_tracks(path: Path, source: str | None) -> list[Frames]:
    given = open_tracks(path)
    names = given.named([source] if source is not None else [])
    cameras = list(dict.fromkeys(given.names[name] for name in names))
    if len(cameras) > 1:
        raise UsageError(f"{path}: want one source, --source NAME (there are: {listed(cameras)})")
    return [_of_sequence(each) for each in given.load(names)]


def _of_sequence(sequence: RecordedSequence) -> Frames:
    table = sequence.table
    frame, first = np.unique(table.frame, return_index=True)
    pts_s = table.pts_s[first]
    pts_s = np.where(np.isfinite(pts_s), pts_s, frame / sequence.video.fps)
    return Frames(sequence.name, frame, pts_s, table.utc_s[first])


def _of_video(path: Path) -> Frames:
    module = plugin("sources", "file", str(path))
    opened = module.build(module.Options(path=path))
    try:
        info = opened.open()
        times = []
        while (frame := opened.read()) is not None:
            times.append(frame.pts_s)
    finally:
        opened.close()
    pts_s = np.array(times, np.float64)
    start = np.nan if info.start_utc is None else info.start_utc
    return Frames(path.stem, np.arange(len(pts_s)), pts_s, start + pts_s)


def geotagged(
    parts: Sequence[Frames], track: GpsTrack, max_gap_s: float, offset_s: float, where: str
) -> dict[str, NDArray[Any]]:
    """Return POSITION_COLUMNS as arrays; raises UsageError if no frame has a position.

    `offset_s` is added to the GPS's times; `where` names the track in errors.
    """
    frames = Frames(
        parts[0].source,
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("frame", "pts_s", "utc_s")
        ),
    )
    if track.clock == "media" and len(parts) > 1:
        raise UsageError(
            f"{where}: runs on the clock of one recording, and there are {len(parts)}: "
            "--source NAME"
        )
    times = frames.pts_s if track.clock == "media" else frames.utc_s
    if not np.isfinite(times).any():
        raise UsageError(
            f"{where}: its times are UTC, and nothing says when {frames.source} began: --start"
        )
    found = positions_at(track, np.nan_to_num(times, nan=-np.inf) - offset_s, max_gap_s)
    if len(times) and not np.isfinite(found.lat).any():
        away = float(np.nanmin(times) - offset_s - track.t[0])
        raise UsageError(
            f"{where}: has no position while {frames.source} was taken, which begins {away:+.0f} s "
            "after the GPS track does (--offset, --start)"
        )
    return {
        "source": np.repeat([part.source for part in parts], [len(p.frame) for p in parts]),
        "frame": frames.frame,
        "pts_s": frames.pts_s.round(6),
        "utc": frames.utc_s,
        "lat": found.lat.round(8),
        "lon": found.lon.round(8),
        "altitude_m": found.altitude_m.round(2),
        "speed_mps": found.speed.round(3),
        "course_deg": found.course.round(1),
    }


def drive_features(columns: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, Any]]:
    """Yield the drive as GeoJSON lines, one for each stretch of a recording with positions."""
    known, source = np.isfinite(columns["lat"]), columns["source"]
    edges = np.flatnonzero((np.diff(known)) | (source[1:] != source[:-1])) + 1
    for rows in np.split(np.arange(len(known)), edges):
        if not len(rows) or not known[rows[0]]:
            continue
        part = {name: values[rows] for name, values in columns.items()}
        line = np.column_stack([part["lon"], part["lat"]]).tolist()
        geometry: dict[str, Any] = {"type": "LineString", "coordinates": line}
        if len(line) == 1:
            geometry = {"type": "Point", "coordinates": line[0]}
        speeds = part["speed_mps"]
        properties = {
            "source": str(part["source"][0]),
            "first_frame": int(part["frame"][0]),
            "last_frame": int(part["frame"][-1]),
            "pts_s": part["pts_s"].tolist(),
            "speed_mps": [None if np.isnan(each) else each for each in speeds.tolist()],
        }
        yield {"type": "Feature", "geometry": geometry, "properties": properties}
