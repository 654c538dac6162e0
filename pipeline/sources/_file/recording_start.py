"""Start time of a recording: from an option, its file's name or its container, never from a clock.

Names take precedence over the container: they give the start of this very file, while many cameras
write the end of the recording, local time marked as UTC, or the same time into every segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DATE = r"(?P<year>(?:19[89]|20\d)\d)[-_.]?(?P<month>[01]\d)[-_.]?(?P<day>[0-3]\d)"
_BETWEEN = r"(?: at |[-_.]?T[-_.]?| - |[-_. ]{1,2})"
_TIME = r"(?P<hour>[0-2]?\d)[-_.:h]?(?P<minute>[0-5]\d)[-_.:m]?(?P<second>[0-5]\d)s?"
_TAIL = r"(?:[.,]?(?P<ms>\d{3})(?!\d))?(?: ?(?P<half>[AaPp])\.?[Mm])?"
_ZONE = r"(?P<zone>Z|[+-][01]\d:?(?:00|15|30|45)(?![\dA-Za-z]))?"
_NAMES = (
    # 20240131_142501, 2024-01-31_14-25-01, 2024_0131_142501_001F, NO20240131-142501-000123F,
    # "2024-01-31 at 2.25.01 PM", 2024-01-31T14:25:01+0100, PXL_20240131_142501123
    re.compile(rf"(?<!\d){_DATE}{_BETWEEN}{_TIME}{_TAIL}{_ZONE}(?!\d)"),
    # 20240131142501, 20240131142501123
    re.compile(rf"(?<!\d){_DATE}(?P<hour>[0-2]\d)(?P<minute>[0-5]\d)(?P<second>[0-5]\d)"
               rf"(?P<ms>\d{{3}})?{_ZONE}(?!\d)"),
    # FILE240131-142501F, from dashcams with Novatek chips
    re.compile(r"^FILE(?P<short_year>\d\d)(?P<month>[01]\d)(?P<day>[0-3]\d)-(?P<hour>[0-2]\d)"
               r"(?P<minute>[0-5]\d)(?P<second>[0-5]\d)(?!\d)"),
    # 240131_142501_001_FH, Nextbase
    re.compile(r"^(?P<short_year>\d\d)(?P<month>[01]\d)(?P<day>[0-3]\d)_(?P<hour>[0-2]\d)"
               r"(?P<minute>[0-5]\d)(?P<second>[0-5]\d)(?=_\d{3}_[A-Z]{2}$)"),
)  # fmt: skip
_PATHS = (
    # Dahua: 2024-01-31/001/dav/14/14.25.01-14.26.01[M][0@0][0].mp4
    re.compile(rf"(?:^|/){_DATE}/(?:[^/]+/){{0,3}}(?P<hour>[0-2]\d)\.(?P<minute>[0-5]\d)"
               r"\.(?P<second>[0-5]\d)-[^/]*$"),
    # Frigate, in UTC: recordings/2024-01-31/14/door/25.01.mp4
    re.compile(rf"(?:^|/){_DATE}/(?P<hour>[0-2]\d)/[^/]+/(?P<minute>[0-5]\d)"
               r"\.(?P<second>[0-5]\d)\.[^/.]+$(?P<utc>)"),
    # Wyze: 20240131/14/25.mp4
    re.compile(rf"(?:^|/){_DATE}/(?P<hour>[0-2]\d)/(?P<minute>[0-5]\d)\.[^/.]+$"),
)  # fmt: skip
_EPOCH = re.compile(r"(?<![\d.])(1[2-9]\d{8})(?:(\d{3})|\.(\d{1,6}))?(?!\d)")
"""Unix time in seconds, from 2008 on, or in milliseconds: 1706711101, 1706711101123."""
_UTC_NAMES = re.compile(r"^PXL_")
"""Names with UTC times: those of Google's Pixel phones."""

_QUARTER_S = 900
_MAX_ZONE_S = 14 * 3600
_SLACK_S = 10.0
_MAX_SURE_S = 400.0
"""Half a quarter of an hour, less slack: the end of a longer recording would fit another zone."""


@dataclass(frozen=True, slots=True)
class RecordingStart:
    """Unix time at which a recording began, and a description of its origin."""

    unix_s: float
    origin: str


def zone_of(text: str) -> tzinfo:
    """Parse a time zone such as Europe/Berlin, UTC or +01:00; raises ValueError."""
    if match := re.fullmatch(r"([+-])(\d\d):?(\d\d)", text):
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-offset if sign == "-" else offset)
    if text.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("want a time zone such as Europe/Berlin, UTC or +01:00") from None


def recording_start(
    path: Path,
    tags: Iterable[Mapping[str, str]],
    duration_s: float,
    start: datetime | None = None,
    zone: tzinfo | None = None,
) -> RecordingStart | None:
    """Return when the recording at `path` began, None if unknown.

    `start` is the user's value, `zone` the zone of times without one (None: this machine's zone).
    `tags` are the container's and its video stream's. The first of these that exists is used:
    `start`, the file's name, the container's creation time.

    A name usually has local time. If the container's creation time differs from it by whole
    quarters of an hour (at the start or at the end of the recording), that gives the zone.
    """
    if start is not None:
        return RecordingStart(_unix_s(start, zone), "the option start")
    created = _created(tags)
    named = _from_name(path)
    if named is None:
        if created is None:
            return None
        return RecordingStart(created, "the container's creation time")
    if named.tzinfo is None and zone is None and created is not None:
        zone = _zone_between(named, created, duration_s)
    if named.tzinfo is not None:
        source = "the file's name"
    elif zone is None:
        source = f"the file's name, taken as {named.astimezone():UTC%z}, this machine's time zone"
    else:
        source = f"the file's name, taken as {named.replace(tzinfo=zone):UTC%z}"
    return RecordingStart(_unix_s(named, zone), source)


def _unix_s(moment: datetime, zone: tzinfo | None) -> float:
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    return moment.timestamp()  # without a zone: this machine's


def _zone_between(named: datetime, created: float, duration_s: float) -> tzinfo | None:
    """Return the zone in which the name's time is the container's start or end, if there is one.

    Also None if both are the same text: many cameras mark local time as UTC.
    """
    ahead_s = named.replace(tzinfo=UTC).timestamp() - created
    offset_s = round(ahead_s / _QUARTER_S) * _QUARTER_S
    early_s = offset_s - ahead_s  # by how much the name is before the container
    shortest = min(duration_s, _MAX_SURE_S)
    if not -_SLACK_S <= early_s <= shortest + _SLACK_S:
        return None
    if offset_s == 0 or abs(offset_s) > _MAX_ZONE_S:
        return None
    return timezone(timedelta(seconds=offset_s))


def _created(tags: Iterable[Mapping[str, str]]) -> float | None:
    """Return the creation time in a container's tags, None if it is not a real clock's."""
    for each in tags:
        for key in ("com.apple.quicktime.creationdate", "creation_time", "date"):
            try:
                moment = datetime.fromisoformat(each.get(key, ""))
            except ValueError:
                continue
            if len(each[key]) <= len("2024-01-31"):  # a day only
                continue
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            # A camera without a battery starts at 1904, 1970, 1980 or 2000.
            if moment.year >= 1990 and (moment.year, moment.month, moment.day) != (2000, 1, 1):
                return moment.timestamp()
    return None


class NamedTime(NamedTuple):
    """The time in a recording's name: without zone if local; exact if it has milliseconds.

    `span` is its position in the name without suffix; None if folder names are part of it.
    """

    moment: datetime
    is_exact: bool
    span: tuple[int, int] | None


def named_time(path: Path) -> NamedTime | None:
    """Return the time in a file's name, or in it and its folders; None if there is none."""
    for pattern in _NAMES:
        for match in pattern.finditer(path.stem):
            if (found := _named(match, path)) is not None:
                return found._replace(span=match.span())
    for pattern in _PATHS:
        for match in pattern.finditer(path.absolute().as_posix()):
            if (found := _named(match, path)) is not None:
                return found
    if epoch := _EPOCH.search(path.stem):
        seconds, ms, fraction = epoch.groups()
        part = int(ms) / 1000 if ms else float(f"0.{fraction or 0}")
        moment = datetime.fromtimestamp(int(seconds) + part, UTC)
        return NamedTime(moment, bool(ms or fraction), epoch.span())
    return None


def _named(match: re.Match[str], path: Path) -> NamedTime | None:
    parts = match.groupdict()
    if (parts.get("zone") or "").startswith("-") and "T" not in match.group():
        parts["zone"] = None  # a counter, as in 20240131-142501-0100
    moment = _moment(parts)
    if moment is None:
        return None
    if not moment.tzinfo and ("utc" in parts or _UTC_NAMES.match(path.stem)):
        moment = moment.replace(tzinfo=UTC)
    return NamedTime(moment, parts.get("ms") is not None, None)


def _from_name(path: Path) -> datetime | None:
    found = named_time(path)
    return None if found is None else found.moment


def _moment(found: dict[str, str | None]) -> datetime | None:
    """Return the time of a match, None if there is no such day or hour."""
    year, month, day, hour, minute, second, ms = (
        int(found.get(key) or 0)
        for key in ("year", "month", "day", "hour", "minute", "second", "ms")
    )
    if half := found.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    zone = found.get("zone")
    year = year or 2000 + int(found.get("short_year") or 0)
    try:
        return datetime(
            year, month, day, hour, minute, second, ms * 1000, zone_of(zone) if zone else None
        )
    except ValueError:
        return None
