"""Counts of events by hour or day: the slots that are asked for, their rows, and these as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Literal

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
    """Hours or days, in UTC or in the server's time zone."""

    def __init__(self, bucket: Bucket, clock: Clock) -> None:
        self._bucket = bucket
        self._is_local = clock == "local"
        self.start_of = cache(self._start_of)

    @property
    def slot_s(self) -> int:
        """Return seconds of which each hour or day is a multiple."""
        return _LOCAL_SLOT_S if self._is_local else _UTC_SLOT_S[self._bucket]

    def bounded(self, wanted: EventQuery, now: float) -> EventQuery:
        """Return the query with its bounds; without `since` the last 24 hours, or 30 days.

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
        if not self._is_local:
            return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return datetime.fromtimestamp(time).astimezone().isoformat(timespec="seconds")

    def csv_of(self, rows: Iterable[HistoryCount]) -> str:
        """Return the rows as CSV with a header; no name is a formula to a spreadsheet."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(_COLUMNS)
        for row in rows:
            names = (row.camera, row.area, row.kind, row.direction, row.class_name)
            table.writerow([self.iso(row.time), *map(_plain, names), row.count])
        return text.getvalue()

    def _start_of(self, time: int) -> int:
        """Return when the hour or day began that a time is in, in Unix seconds."""
        if not self._is_local:
            return time - time % _UTC_SLOT_S[self._bucket]
        here = datetime.fromtimestamp(time)
        if self._bucket == "day":
            return int(datetime(here.year, here.month, here.day).timestamp())
        return time - 60 * here.minute - here.second


def _plain(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula: with ' before it where it would."""
    return f"'{name}" if name.startswith(_BEGINS_FORMULA) else name
