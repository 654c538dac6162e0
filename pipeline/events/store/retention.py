"""Retention: deletes old events and clips by age, then by size, oldest first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from pipeline.core.errors import StoreError
from pipeline.events.delivery.outbox import expire
from pipeline.events.positions import HOUR_S
from pipeline.events.store.clip_cleaning import ClipCleaner
from pipeline.events.store.enqueue import GivenUp, give_up
from pipeline.events.store.rows import MAX_ID, MAX_IDS_PER_STATEMENT
from pipeline.events.store.store import EventStore
from pipeline.events.store.tables import clips, events, outbox, positions, visits

ROW_BYTES = 270
"""Bytes of an event in the database with its indices and its share of a visit, as measured in the
test of the store."""
MESSAGE_BYTES = 100
GRID_BYTES = 600
"""Bytes of an hourly grid of positions, about the size of a busy one."""
SHRINK_PAGES = 2000
"""Pages (8 MB) freed at once when a file shrinks."""
_DAY_S = 86_400.0
_HAS_THUMBNAIL = visits.c.thumbnail_bytes > sa.literal_column("0")  # as the index has it


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """Maximum age and size of events and clips; None for no limit."""

    days: float | None
    megabytes: float | None


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """Counts of one round of retention.

    `strays` are quarantined clips without an event, and clips of events whose file was deleted;
    `deleted` were quarantined long ago; `expired` waited too long for delivery.
    """

    events: int = 0
    clips: int = 0
    strays: int = 0
    expired: tuple[GivenUp, ...] = ()
    deleted: int = 0


def apply_retention(
    store: EventStore,
    limits: RetentionLimits,
    now: float | None = None,
    cleaner: ClipCleaner | None = None,
    on_given_up: Callable[[Sequence[GivenUp]], object] = lambda messages: None,  # noqa: ARG005
) -> RetentionResult:
    """Delete what exceeds the limits, and leftovers; return what was done.

    Events older than `days` are deleted with their clips. Beyond `megabytes` the oldest clips and
    thumbnails are deleted together, oldest first, as they take nearly all of the space; then the
    oldest events. A process killed between two steps leaves files without a row or rows without a
    file; see `ClipCleaner`. `on_given_up` gets the messages that are no longer pending, immediately
    because later steps may fail. Raises StoreError.
    """
    now = time.time() if now is None else now
    expired = tuple(expire(store, now))
    on_given_up(expired)
    delete = partial(_delete, store, now, on_given_up)
    gone = _delete_old(store, limits, now, delete)
    removed = 0
    if limits.megabytes is not None:
        size = int(limits.megabytes * 1e6)
        removed = _delete_excess_files(store, size)
        gone += _delete_excess_events(store, size, delete)
    cleaned = (cleaner or ClipCleaner(store)).clean(now)
    if gone and store.file is not None:
        _shrink_file(store)
    strays = cleaned.quarantined + cleaned.forgotten
    return RetentionResult(gone, removed, strays, expired, cleaned.deleted)


def total_bytes(store: EventStore) -> int:
    """Return the bytes of rows, finished clips and thumbnails together; rows are estimated."""
    with store.reading() as connection:
        if connection is None:
            return 0
        rows = connection.scalar(sa.select(sa.func.count()).select_from(events)) or 0
        messages = connection.scalar(sa.select(sa.func.count()).select_from(outbox)) or 0
        grids = connection.scalar(sa.select(sa.func.count()).select_from(positions)) or 0
        films = connection.scalar(sa.select(sa.func.sum(clips.c.bytes))) or 0
        size = sa.select(sa.func.sum(visits.c.thumbnail_bytes)).where(_HAS_THUMBNAIL)
        pictures = connection.scalar(size) or 0
    return int(films + pictures) + rows * ROW_BYTES + messages * MESSAGE_BYTES + grids * GRID_BYTES


def _shrink_file(store: EventStore) -> None:
    """Shrink the SQLite file after deletions, in steps that let others write in between."""
    left, before = 1, None
    with suppress(StoreError):  # locked by another program: continued in the next round
        while left and left != before:  # a file created without `auto_vacuum` does not shrink
            before = left
            with store.writing() as connection:
                raw: Any = connection.connection.driver_connection
                # Each step frees one page, and only a script is stepped to its end.
                raw.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")
                left = connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0


_Delete = Callable[[sa.Select[int]], int]


def _delete_old(store: EventStore, limits: RetentionLimits, now: float, delete: _Delete) -> int:
    if limits.days is None:
        return 0
    before = now - limits.days * _DAY_S
    _delete_positions(store, before)
    return delete(sa.select(events.c.id).where(events.c.time < before))


def _delete_positions(store: EventStore, before: float) -> None:
    """Delete the grids of hours that ended before a time."""
    with store.writing() as connection:
        connection.execute(sa.delete(positions).where(positions.c.hour <= int(before) - HOUR_S))


def _delete_excess_events(store: EventStore, size: int, delete: _Delete) -> int:
    """Delete the oldest events, and positions older than those, while rows alone take too much."""
    excess = total_bytes(store) - size
    if excess <= 0:
        return 0
    count = -(-excess // ROW_BYTES)
    gone = delete(sa.select(events.c.id).order_by(events.c.id).limit(count))
    with store.reading() as connection:
        first = sa.select(sa.func.min(events.c.time))
        oldest = None if connection is None else connection.scalar(first)
    _delete_positions(store, MAX_ID if oldest is None else oldest)
    return gone


def _delete(
    store: EventStore,
    now: float,
    on_given_up: Callable[[Sequence[GivenUp]], object],
    chosen: sa.Select[int],
) -> int:
    """Delete events; their pending messages, which are deleted with them, are given up first."""
    with store.reading() as connection:
        ids = [] if connection is None else list(connection.scalars(chosen))
    for start in range(0, len(ids), MAX_IDS_PER_STATEMENT):
        some = ids[start : start + MAX_IDS_PER_STATEMENT]
        with store.writing() as connection:
            theirs = outbox.c.event_id.in_(some) & (outbox.c.state == "waiting")
            given_up = give_up(connection, theirs, now, "its event was deleted")
        on_given_up(given_up)
    return store.delete(ids)


def _delete_excess_files(store: EventStore, size: int) -> int:
    """Delete the oldest clips and thumbnails until everything fits; return how many clips."""
    excess, dropped = total_bytes(store) - size, 0
    while excess > 0 and (oldest := _oldest_files(store)):
        gone: dict[str, int | None] = {}
        for file in oldest:
            if excess > 0:
                gone[file.path] = file.visit
                excess -= file.bytes
                dropped += file.visit is None
        store.forget_files(gone)
    return dropped


class _File(NamedTuple):
    """A finished clip, or the thumbnail of a visit; `began` in Unix seconds."""

    began: float
    path: str
    bytes: int
    visit: int | None = None


def _oldest_files(store: EventStore) -> list[_File]:
    """Return the oldest clips and thumbnails, oldest first, as many as fit in one statement."""
    count = MAX_IDS_PER_STATEMENT
    films = sa.select(clips.c.began, clips.c.path, clips.c.bytes).where(clips.c.finished)
    films = films.order_by(clips.c.began)
    pictures = sa.select(
        visits.c.started, visits.c.thumbnail, visits.c.thumbnail_bytes, visits.c.id
    )
    pictures = pictures.where(_HAS_THUMBNAIL).order_by(visits.c.started)
    with store.reading() as connection:
        if connection is None:
            return []
        found = [_File(*row) for row in connection.execute(films.limit(count))]
        found += [_File(*row) for row in connection.execute(pictures.limit(count))]
    return sorted(found, key=lambda one: one.began)[:count]
