"""GPS tracks beside a video: GPX and NMEA 0183 read, and joined to frames by time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.archive.formats._xml import parse
from pipeline.core.errors import UsageError
from pipeline.core.homography import Origin

Floats = NDArray[np.float64]

_KNOT = 1852 / 3600
_MAX_BYTES = 512 << 20
_STILL_MPS = 0.5
"""Below this a course is the receiver's noise."""


@dataclass(frozen=True, slots=True, eq=False)
class GpsTrack:
    """N fixes in order of time: `t` f64[N] seconds, of `clock` "utc" (since 1970) or "media".

    "media" counts from the video's start. `lat` and `lon` in degrees, `altitude_m`, `speed` in m/s
    and `course` in degrees from north are NaN where the receiver does not say.
    """

    t: Floats
    lat: Floats
    lon: Floats
    altitude_m: Floats
    speed: Floats
    course: Floats
    clock: str = "utc"


Fix = tuple[float, float, float, float, float, float]
"""Time, latitude, longitude, altitude, speed, course."""


def track_of(fixes: list[Fix], where: str, clock: str = "utc") -> GpsTrack:
    """Return fixes in order of time, the first of each moment; raises UsageError without any."""
    if not fixes:
        raise UsageError(f"{where}: has no GPS positions with a time")
    rows = np.array(fixes, np.float64)
    bad = ~(np.abs(rows[:, 1]) <= 90) | ~(np.abs(rows[:, 2]) <= 180) | ~np.isfinite(rows[:, 0])
    if bad.any():
        _, lat, lon = rows[bad.argmax(), :3]
        raise UsageError(f"{where}: want degrees in -90..90 and -180..180, got {lat:g}, {lon:g}")
    _, first = np.unique(rows[:, 0], return_index=True)
    t, lat, lon, altitude, speed, course = rows[first].T
    return GpsTrack(t, lat, lon, altitude, speed, course, clock)


def read_gps(path: Path) -> GpsTrack:
    """Return the track in a .gpx, .nmea (.txt, .log) or GoPro's .mp4; raises UsageError."""
    suffix = path.suffix.lower()
    if suffix in (".mp4", ".mov", ".360", ".lrv"):
        from pipeline.archive.ground.gpmf import read_gopro

        return read_gopro(path)
    if suffix not in (".gpx", ".nmea", ".txt", ".log"):
        raise UsageError(f"{path}: want a GPS track: .gpx, .nmea (.txt, .log) or a GoPro's .mp4")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: larger than {_MAX_BYTES >> 20} MB is no track of a drive")
        return _read_gpx(path) if suffix == ".gpx" else _read_nmea(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None


def _read_gpx(path: Path) -> GpsTrack:
    """Return the track points (trkpt) of a GPX 1.0 or 1.1 file."""
    fixes: list[Fix] = []
    point: dict[str, float] = {}

    def start(names: tuple[str, ...], attributes: Mapping[str, str]) -> None:
        if _local(names[-1]) == "trkpt":
            point.clear()
            point.update(lat=float(attributes["lat"]), lon=float(attributes["lon"]))

    def end(names: tuple[str, ...], text: str) -> None:
        name = _local(names[-1])
        if name == "trkpt":
            if "time" in point:
                fixes.append(_fix(point))
            point.clear()
        elif not point or not text.strip():
            return
        elif name == "time":
            point["time"] = _utc(text.strip())
        elif name in ("ele", "speed", "course"):
            point[name] = float(text)

    with path.open("rb") as file:
        parse(file, str(path), start, end)
    return track_of(fixes, str(path))


def _fix(point: Mapping[str, float]) -> Fix:
    nan = math.nan
    return (
        point["time"], point["lat"], point["lon"], point.get("ele", nan), point.get("speed", nan),
        point.get("course", nan),
    )  # fmt: skip


def _local(name: str) -> str:
    """Return a name without namespace: "gpx:trkpt" is a "trkpt"."""
    return name.rpartition(":")[2]


def _utc(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_nmea(path: Path) -> GpsTrack:
    """Return the RMC sentences of a log, with GGA's altitude (NMEA 0183).

    Lines may begin with anything (a logger's time stamp); sentences with a wrong checksum, of
    another kind or without a fix are passed over.
    """
    fixes: list[Fix] = []
    altitude: dict[str, float] = {}
    with path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            fields = _sentence(line)
            try:
                if fields and fields[0].endswith("GGA") and fields[6] not in ("", "0"):
                    altitude = {fields[1]: float(fields[9])}
                elif fields and fields[0].endswith("RMC") and fields[2] == "A":
                    fixes.append(_rmc(fields, altitude.get(fields[1], math.nan)))
            except (ValueError, IndexError, OverflowError):
                continue
    return track_of(fixes, str(path))


def _sentence(line: str) -> list[str]:
    """Return the fields of "$GPRMC,...*5A", none where the checksum is wrong or missing."""
    body, star, checksum = line.partition("$")[2].strip().partition("*")
    if not star:
        return []
    total = 0
    for letter in body.encode("ascii", "replace"):
        total ^= letter
    return body.split(",") if f"{total:02X}" == checksum[:2].upper() else []


def _rmc(fields: list[str], altitude: float) -> Fix:
    day, clock = fields[9], fields[1]
    year = 2000 + int(day[4:6]) if int(day[4:6]) < 80 else 1900 + int(day[4:6])
    midnight = datetime.combine(date(year, int(day[2:4]), int(day[:2])), datetime.min.time(), UTC)
    moment = midnight + timedelta(
        hours=int(clock[:2]), minutes=int(clock[2:4]), seconds=float(clock[4:])
    )
    speed = float(fields[7]) * _KNOT if fields[7] else math.nan
    course = float(fields[8]) if fields[8] else math.nan
    lat, lon = _degrees(fields[3], fields[4]), _degrees(fields[5], fields[6])
    return moment.timestamp(), lat, lon, altitude, speed, course


def _degrees(text: str, side: str) -> float:
    """Return degrees of "5230.1234" (degrees and minutes) and N, S, E or W."""
    whole, point, part = text.partition(".")
    degrees = int(whole[:-2]) + float(f"{whole[-2:]}{point}{part}") / 60
    return -degrees if side in ("S", "W") else degrees


def positions_at(track: GpsTrack, times: Floats, max_gap_s: float) -> GpsTrack:
    """Return the track at f64[M] times of its clock, NaN outside it and in gaps.

    Straight lines between fixes at most `max_gap_s` apart, over the date line the short way. Speed
    and course that the receiver does not give come from the way between the two fixes.
    """
    after = np.clip(np.searchsorted(track.t, times), 1, max(len(track.t) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(track.t) - 1)
    gap = track.t[after] - track.t[before]
    share = np.where(gap > 0, (times - track.t[before]) / np.where(gap > 0, gap, 1), 0.0)
    exact = np.isin(times, track.t)
    known = (times >= track.t[0]) & (times <= track.t[-1]) & ((gap <= max_gap_s) | exact)
    lon = np.unwrap(track.lon, period=360)

    def between(values: Floats) -> Floats:
        found: Floats = values[before] + share * (values[after] - values[before])
        return np.where(known, found, np.nan)

    way_speed, way_course = _way(track, lon)
    step = np.minimum(before, max(len(track.t) - 2, 0))
    own_course = np.degrees(np.unwrap(np.radians(np.nan_to_num(track.course))))
    has_course = np.isfinite(track.course)[before] & np.isfinite(track.course)[after]
    course = np.where(has_course, between(own_course), way_course[step]) % 360
    speed = between(track.speed)
    speed = np.where(np.isfinite(speed), speed, way_speed[step])
    speed[~known] = course[~known] = np.nan
    with np.errstate(invalid="ignore"):
        course[~(speed > _STILL_MPS)] = np.nan
    east = (between(lon) + 180) % 360 - 180
    return GpsTrack(
        times, between(track.lat), east, between(track.altitude_m), speed, course, track.clock
    )


def _way(track: GpsTrack, lon: Floats) -> tuple[Floats, Floats]:
    """Return m/s and degrees from north between each fix and the next."""
    if len(track.t) < 2:
        return np.array([np.nan]), np.array([np.nan])
    steps = zip(track.lat[:-1].tolist(), track.lat[1:], np.diff(lon), strict=True)
    moves = [Origin(lat=a, lon=0.0).plane_of(np.array([[step, b]]))[0] for a, b, step in steps]
    east, north = np.array(moves).T
    return np.hypot(east, north) / np.diff(track.t), np.degrees(np.arctan2(east, north))
