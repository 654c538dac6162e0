"""Positions over days in the store: heat maps as hourly grids, paths from the boxes of clips."""

from __future__ import annotations

import json
import math
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from pipeline.core.data import Float32
from pipeline.core.errors import StoreRefusedError
from pipeline.events.positions import COLUMNS, HOUR_S, ROWS, HourGrid, no_seconds
from pipeline.events.store.clip_boxes import unpacked
from pipeline.events.store.records import EventQuery, StoredVisit
from pipeline.events.store.rows import storable
from pipeline.events.store.tables import clips, events, positions

if TYPE_CHECKING:
    from pipeline.events.store.store import EventStore

SLICES = 12
"""Number of parts of the requested time, from each of which paths are taken."""
MAX_POINTS = 40
"""Maximum points of one path."""


@dataclass(frozen=True, slots=True)
class VisitPath:
    """Foot points of a visit's track in its clip: x and y as shares of the picture, in order."""

    visit: int
    class_name: str
    points: list[tuple[float, float]]


def save_positions(store: EventStore, grids: Sequence[HourGrid]) -> None:
    """Store grids; existing ones (same `uid`) are replaced."""
    rows = [
        {
            "uid": each.uid,
            "camera": storable(each.camera),
            "hour": each.hour,
            "class_name": storable(each.class_name),
            "cells": zlib.compress((each.seconds * 1000).round().astype("<u4").tobytes(), 6),
        }
        for each in grids
    ]
    if not rows:
        return
    with store.writing() as connection:
        connection.execute(
            sa.delete(positions).where(positions.c.uid.in_([row["uid"] for row in rows]))
        )
        connection.execute(sa.insert(positions), rows)


class PositionSaver:
    """Stores grids one step at a time; while the database is unavailable newer ones replace older.

    `enqueue` puts a step into the queue of the store's writer; False if it is full.
    """

    def __init__(self, store: EventStore, enqueue: Callable[[Callable[[], object]], bool]) -> None:
        self._store = store
        self._enqueue = enqueue
        self._lock = threading.Lock()
        self._waiting: dict[str, HourGrid] = {}
        self._is_queued = False

    def save(self, grids: Sequence[HourGrid]) -> None:
        """Queue grids for storing; they replace those with the same `uid`. Thread-safe."""
        with self._lock:
            self._waiting |= {each.uid: each for each in grids}
            if self._is_queued or not self._waiting:
                return
            self._is_queued = True
        if not self._enqueue(self._store_waiting):
            with self._lock:
                self._is_queued = False

    def _store_waiting(self) -> None:
        """Store the pending grids; after a StoreError they stay pending, and this is retried."""
        while True:
            with self._lock:
                some = dict(self._waiting)
                self._is_queued = bool(some)
            if not some:
                return
            try:
                save_positions(self._store, list(some.values()))
            except StoreRefusedError:  # permanent: the writer drops this step
                with self._lock:
                    self._waiting, self._is_queued = {}, False
                raise
            with self._lock:
                done = [uid for uid, each in some.items() if self._waiting.get(uid) is each]
                for uid in done:
                    del self._waiting[uid]


def stored_positions(store: EventStore, wanted: EventQuery) -> Float32:
    """Return the seconds per cell, f32[ROWS,COLUMNS], of a camera over whole hours.

    Uses camera, class, `since` and `until` of `wanted`; an hour counts if it began in that time, or
    contains `since`.
    """
    since = 0 if wanted.since is None else int(wanted.since // HOUR_S) * HOUR_S
    asked = sa.select(positions.c.cells).where(
        positions.c.hour >= since,
        *(() if wanted.until is None else (positions.c.hour < math.ceil(wanted.until),)),
        positions.c.camera == storable(wanted.camera or ""),
    )
    if wanted.class_name is not None:
        asked = asked.where(positions.c.class_name == storable(wanted.class_name))
    total = np.zeros(ROWS * COLUMNS, np.uint64)
    with store.reading() as connection:
        if connection is None:
            return no_seconds()
        for cells in connection.execution_options(yield_per=500).scalars(asked):
            total += np.frombuffer(zlib.decompress(bytes(cells)), "<u4")
    return (total / 1000).astype(np.float32).reshape(ROWS, COLUMNS)


def visit_paths(store: EventStore, wanted: EventQuery) -> list[VisitPath]:
    """Return paths of at most `wanted.limit` visits with a clip, spread over the requested time.

    A path covers the clip of the visit's first event.
    """
    found = [
        visit
        for part in _parts(wanted)  # more than its share of each: the newest have no clip yet
        for visit in store.visits(part)
        if visit.clip and visit.track_id > 0
    ]
    some = np.linspace(0, len(found) - 1, min(len(found), wanted.limit)).round()
    first = {found[int(k)].event_id: found[int(k)] for k in some}
    paths: list[VisitPath] = []
    with store.reading() as connection:
        if connection is None or not first:
            return []
        asked = sa.select(events.c.clip_id, events.c.id).where(events.c.id.in_(list(first)))
        by_clip: dict[int, list[StoredVisit]] = {}
        for clip, number in connection.execute(asked):
            by_clip.setdefault(clip, []).append(first[number])
        boxes = sa.select(clips.c.id, clips.c.boxes).where(clips.c.id.in_(list(by_clip)))
        for clip, packed in connection.execution_options(yield_per=1).execute(boxes):
            paths += _paths_in(packed, by_clip[clip])
    return sorted(paths, key=lambda one: one.visit)


def _parts(wanted: EventQuery) -> Iterator[EventQuery]:
    """Yield queries of equal parts of the requested time."""
    if wanted.since is None or wanted.until is None or wanted.limit < SLICES:
        yield wanted
        return
    step = (wanted.until - wanted.since) / SLICES
    for k in range(SLICES):
        since = wanted.since + k * step
        yield replace(wanted, since=since, until=since + step)


def _paths_in(packed: bytes | None, visits: Sequence[StoredVisit]) -> Iterator[VisitPath]:
    """Yield the paths of visits from the boxes of their clip."""
    try:
        tree: Mapping[str, Any] = unpacked(bytes(packed or b""))
        width, height = tree["size"]
        tracks: dict[int, list[tuple[float, float]]] = {one.track_id: [] for one in visits}
        for _, boxes in tree["frames"]:
            for track, x1, _, x2, y2 in boxes:
                if track in tracks:
                    tracks[track].append((round((x1 + x2) / 2 / width, 4), round(y2 / height, 4)))
    except (ValueError, KeyError, TypeError, json.JSONDecodeError):
        return  # no boxes are stored with this clip
    for one in visits:
        points = tracks[one.track_id]
        if len(points) > 1:
            every = np.linspace(0, len(points) - 1, min(len(points), MAX_POINTS)).round()
            some = [points[int(k)] for k in every]
            yield VisitPath(one.id, one.class_name, some)
