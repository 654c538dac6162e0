"""Counts of events by hour or day: the requested slots, their rows, and these as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.events.store.records import EventLabel, EventQuery, SlotCount
from pipeline.server.schemas import HistoryCount

Bucket = Literal["hour", "day"]
Clock = Literal["utc", "local"]

MAX_ROWS = 100_000
DEFAULT_SPAN_S = {"hour": 24 * 3600.0, "day": 30 * 86400.0}
_UTC_SLOT_S = {"hour": 3600, "day": 86400}
_LOCAL_SLOT_S = 900
"""Every zone is a multiple of a quarter of an hour away from UTC."""
_COLUMNS = ("time", "camera", "area", "kind", "direction", "class", "count")
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class CountSlots:
    """Hours or days in UTC, in the server's time zone, or in a named time zone.

    If the machine does not know the name, `clock` selects one of the other two.
    """

    def __init__(self, bucket: Bucket, clock: Clock, time_zone: str = "") -> None:
        self._bucket = bucket
        self._zone = _zone_of(time_zone) or (UTC if clock == "utc" else None)  # None: the server's
        self.start_of = cache(self._start_of)

    @property
    def slot_s(self) -> int:
        """Return the seconds of which each hour or day is a multiple."""
        return _UTC_SLOT_S[self._bucket] if self._zone is UTC else _LOCAL_SLOT_S

    def bounded(self, wanted: EventQuery, now: float) -> EventQuery:
        """Return the query with bounds; without `since` the last 24 hours, or 30 days.

        These begin with a whole hour or day.
        """
        end = now if wanted.until is None else wanted.until
        since = wanted.since
        if since is None:
            since = self.start_of(int(max(0.0, min(end, now) - DEFAULT_SPAN_S[self._bucket])))
        return replace(wanted, since=since, until=end, limit=MAX_ROWS + 1)

    def rows(self, counts: Iterable[SlotCount]) -> list[HistoryCount]:
        """Return the counts by hour or day, in order of time."""
        added = Counter[tuple[int, EventLabel]]()
        for each in counts:
            added[self.start_of(each.began), each.label] += each.total
        return [
            HistoryCount(time=began, count=count, **label._asdict())
            for (began, label), count in sorted(added.items())
        ]

    def iso(self, time: float) -> str:
        """Return a time as ISO 8601 to a second, with the zone's offset."""
        if self._zone is UTC:
            return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        here = datetime.fromtimestamp(time, self._zone)
        return here.astimezone(self._zone).isoformat(timespec="seconds")

    def csv_of(self, rows: Iterable[HistoryCount]) -> str:
        """Return the rows as CSV with a header; no name can act as a spreadsheet formula."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(_COLUMNS)
        for row in rows:
            names = (row.camera, row.area, row.kind, row.direction, row.class_name)
            table.writerow([self.iso(row.time), *map(_plain, names), row.count])
        return text.getvalue()

    def _start_of(self, time: int) -> int:
        """Return the start of the hour or day that contains a time, in Unix seconds."""
        if self._zone is UTC:
            return time - time % _UTC_SLOT_S[self._bucket]
        here = datetime.fromtimestamp(time, self._zone)
        if self._bucket == "day":
            midnight = datetime(here.year, here.month, here.day, tzinfo=self._zone)
            return int(midnight.timestamp())
        return time - 60 * here.minute - here.second


def _zone_of(name: str) -> ZoneInfo | None:
    """Return a time zone by its name in the tz database, None if it is unknown."""
    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(name) if name else None
    return None


def _plain(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula, prefixed with ' if needed."""
    return f"'{name}" if name.startswith(_BEGINS_FORMULA) else name
