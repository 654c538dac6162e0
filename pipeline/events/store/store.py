"""Store of events in SQLite or PostgreSQL: add, query, count, delete; thread-safe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipeline.core.errors import StoreError
from pipeline.events.store import tables
from pipeline.events.store.clip_boxes import unpacked
from pipeline.events.store.clip_files import file_below, make_private, remove
from pipeline.events.store.clip_rows import add_clip, finish_clip, value_of_clip
from pipeline.events.store.counts import label_counts, slot_counts
from pipeline.events.store.database import FairLock, asking, connect, file_of, parse, shown
from pipeline.events.store.enqueue import GivenUp, enqueue_events, set_targets
from pipeline.events.store.records import (
    EventCount,
    EventQuery,
    EventRecord,
    SlotCount,
    StoredEvent,
    StoredVisit,
    new_uid,
)
from pipeline.events.store.rows import (
    EVENT_COLUMNS,
    MAX_ID,
    MAX_IDS_PER_STATEMENT,
    WITH_CLIP,
    insert_new,
    row_values,
    stored_event,
)
from pipeline.events.store.search import event_ids, visit_ids
from pipeline.events.store.tables import clips, events, facts, visits
from pipeline.events.store.visit_rows import (
    LabelKey,
    add_to_visits,
    delete_empty_visits,
    end_all_visits,
    end_visits,
    forget_thumbnails,
    label_ids,
    label_key,
    set_first_events,
    set_thumbnail,
    stored_visits,
)

MAX_QUERY_ROWS = 10_000
OnNew = Callable[[sa.Connection, Sequence[EventRecord], Mapping[str, int]], object]
"""Called with the new events, and the ids of all by uid."""


class EventStore:
    """Events of one Trackline, in the database at `address`, with their clips in `clips_folder`.

    `address` is a file's path, `sqlite:///FILE` or `postgresql://...`. The constructor opens
    nothing; `prepare` creates or migrates the tables, which every write does as well. Until the
    database exists, queries return nothing. Every method raises StoreError if the database does not
    answer; messages never contain passwords.
    """

    def __init__(self, address: str, clips_folder: Path) -> None:
        self._url = parse(address)
        self.file = file_of(self._url)
        self.clips_folder = clips_folder
        self._reader, self._writer = connect(self._url)
        self._ready = False
        self._lock = threading.Lock()
        self._writing = FairLock() if self.file is not None else None
        self._labels: dict[LabelKey, int] = {}

    def __str__(self) -> str:
        """Return the address, without password."""
        return shown(self._url)

    # -- opening ----------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Create the tables, or migrate them to this version."""
        with self._lock:
            if self._ready:
                return
            if self.file is not None and not self.file.parent.is_dir():
                raise StoreError(f"events database {self}: there is no folder {self.file.parent}")
            if self.file is not None:
                with suppress(OSError):  # SQLite reports the problem
                    make_private(self.file)  # its -wal and -shm get the same rights
            with asking(self._url), self._writer.begin() as connection:
                tables.migrate(connection, new_uid())
            self._ready = True

    def close(self) -> None:
        """Close the connections; the store opens new ones if it is used again."""
        self._reader.dispose()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Return a connection in a transaction that is committed at the end of the block.

        Threads write to a file one after the other, in the order of their requests.
        """
        self.prepare()
        lock = nullcontext() if self._writing is None else self._writing.held()
        with lock, asking(self._url), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """Return a connection for reading; None if nothing was ever written."""
        if not self._ready and self.file is not None and not self.file.exists():
            yield None
            return
        with asking(self._url), self._reader.connect() as connection:
            if self._ready:
                yield connection
                return
            version = tables.version_of(connection)
            tables.check_version(version)
            if 0 < version < len(tables.STEPS):
                raise StoreError(f"events database {self}: is of an older Trackline, run it once")
            self._ready = version > 0
            yield connection if version else None

    @property
    def uid(self) -> str:
        """Return the store's name, which never changes."""
        with self.writing() as connection:
            return str(connection.scalar(sa.select(facts.c.value).where(facts.c.name == "uid")))

    # -- events -----------------------------------------------------------------------------------

    def add(self, records: Sequence[EventRecord], also: OnNew | None = None) -> list[int]:
        """Store events, each with its visit, and queue them for every target; return their ids.

        All or none. An existing event (same `uid`) is not changed, so retrying after a failure is
        safe. `also` is called in the same transaction.
        """
        if not records:
            return []
        uids = [one.uid for one in records]
        found = sa.select(events.c.uid, events.c.id).where(events.c.uid.in_(uids))
        with self.writing() as connection:
            known = {row.uid for row in connection.execute(found)}
            new = [one for one in records if one.uid not in known]
            made = label_ids(connection, map(label_key, new), self._labels)
            numbers = add_to_visits(connection, new, made)
            rows = [
                {**row_values(one), "visit_id": visit, "label_id": made[label_key(one)]}
                for one, visit in zip(new, numbers, strict=True)
            ]
            if rows:
                connection.execute(insert_new(connection, events), rows)
            set_first_events(connection, numbers)
            ids = {row.uid: row.id for row in connection.execute(found)}
            enqueue_events(connection, records, ids)
            if also is not None:
                also(connection, new, ids)
        self._labels |= made
        return [ids[uid] for uid in uids]

    def query(self, wanted: EventQuery | None = None) -> list[StoredEvent]:
        """Return the newest matching events, at most `MAX_QUERY_ROWS`.

        Newest first: by time, or with `before_id` or `after_id` in the order of storing.
        """
        with self.reading() as connection:
            if connection is None:
                return []
            numbers = event_ids(connection, _limited(wanted or EventQuery()))
            found: dict[int, StoredEvent] = {}
            for start in range(0, len(numbers), MAX_IDS_PER_STATEMENT):
                some = numbers[start : start + MAX_IDS_PER_STATEMENT]
                asked = sa.select(*EVENT_COLUMNS).select_from(WITH_CLIP)
                rows = connection.execute(asked.where(events.c.id.in_(some))).mappings()
                found |= {row["id"]: stored_event(row) for row in rows}
        return [found[number] for number in numbers if number in found]

    def get(self, event_id: int) -> StoredEvent | None:
        """Return one event, None if the id does not exist."""
        if not 0 < event_id < MAX_ID:
            return None
        found = self.query(EventQuery(after_id=event_id - 1, before_id=event_id + 1, limit=1))
        return found[0] if found else None

    def counts(self, camera: str | None = None, hours: float | None = None) -> list[EventCount]:
        """Return the number of events in the last `hours` (None: all that are stored)."""
        since = None if hours is None else time.time() - hours * 3600
        with self.reading() as connection:
            return [] if connection is None else label_counts(connection, camera, since)

    def counts_by_slot(self, wanted: EventQuery, slot_s: int) -> list[SlotCount]:
        """Return counts of the matching events by time, in order.

        Slots begin at multiples of `slot_s` Unix seconds. If there are more than `wanted.limit`
        rows, it is undefined which are left out.
        """
        with self.reading() as connection:
            return [] if connection is None else slot_counts(connection, wanted, slot_s)

    def clip_path(self, event_id: int) -> Path | None:
        """Return the finished clip's file, None if there is none (yet, or any more)."""
        with self.reading() as connection:
            found = value_of_clip(connection, clips.c.path, event_id)
        path = self.clip_file(found) if found else None
        return path if path is not None and path.is_file() else None

    def clip_file(self, path: str) -> Path | None:
        """Return the file of a clip's stored path; None if it leads out of the folder."""
        return file_below(self.clips_folder, path)

    def delete(self, event_ids: Sequence[int]) -> int:
        """Delete events, their messages, and clips and visits left empty; return how many.

        Rows are deleted first: a leftover file then has no row, and retention finds it.
        """
        deleted = 0
        for start in range(0, len(event_ids), MAX_IDS_PER_STATEMENT):
            some = event_ids[start : start + MAX_IDS_PER_STATEMENT]
            with self.writing() as connection:
                theirs = sa.select(events.c.visit_id).where(events.c.id.in_(some)).distinct()
                touched = [each for each in connection.scalars(theirs) if each is not None]
                done = connection.execute(sa.delete(events).where(events.c.id.in_(some)))
                # Finished clips that lost their last event; not those still being recorded.
                alone = ~sa.exists().where(events.c.clip_id == clips.c.id)
                gone = sa.select(clips.c.id, clips.c.path).where(alone, clips.c.finished)
                rows = connection.execute(gone).all()
                connection.execute(sa.delete(clips).where(clips.c.id.in_([r.id for r in rows])))
                thumbnails = delete_empty_visits(connection, touched)
            deleted += done.rowcount
            for path in [*(row.path for row in rows), *thumbnails]:
                self._unlink(path)
        return deleted

    # -- visits -----------------------------------------------------------------------------------

    def visits(self, wanted: EventQuery | None = None) -> list[StoredVisit]:
        """Return the matching visits that began last, newest first."""
        with self.reading() as connection:
            if connection is None:
                return []
            return stored_visits(
                connection, visit_ids(connection, _limited(wanted or EventQuery()))
            )

    def visit(self, number: int) -> StoredVisit | None:
        """Return one visit, None if the id does not exist."""
        with self.reading() as connection:
            found = connection and stored_visits(connection, [min(max(number, 0), MAX_ID)])
        return found[0] if found else None

    def visits_after(self, revision: int | None, limit: int) -> tuple[list[StoredVisit], int]:
        """Return visits changed after `revision`, in order, and the newest revision seen.

        No visits for None, which asks for the newest revision only.
        """
        with self.reading() as connection:
            if connection is None:
                return [], 0
            if revision is None:
                return [], int(connection.scalar(sa.select(sa.func.max(visits.c.revision))) or 0)
            asked = sa.select(visits.c.id).where(visits.c.revision > revision)
            numbers = list(connection.scalars(asked.order_by(visits.c.revision).limit(limit)))
            found = stored_visits(connection, numbers)
        return found, max((one.revision for one in found), default=revision)

    def end_visits(self, ends: Mapping[str, float | None]) -> None:
        """End visits, {name: last time seen on the frames' clock}; None: the visit continues."""
        with self.writing() as connection:
            end_visits(connection, ends)

    def end_all_visits(self) -> None:
        """End open visits at their latest event: their run is over."""
        with self.writing() as connection:
            end_all_visits(connection)

    def set_thumbnail(self, uid: str, path: str, size: int) -> None:
        """Store the file of a visit's thumbnail; deletes it if the visit is gone."""
        with self.writing() as connection:
            known = set_thumbnail(connection, uid, path, size)
        if not known:
            self._unlink(path)

    def thumbnail_path(self, number: int) -> Path | None:
        """Return the file of a visit's thumbnail, None if there is none (yet, or any more)."""
        asked = sa.select(visits.c.thumbnail).where(visits.c.id == min(max(number, 0), MAX_ID))
        with self.reading() as connection:
            found = connection and connection.scalar(asked)
        path = self.clip_file(found) if found else None
        return path if path is not None and path.is_file() else None

    def forget_files(self, files: Mapping[str, int | None]) -> None:
        """Delete clips and thumbnails, rows and files; events and visits stay.

        `files` is {path: id of its visit, None for a clip}.
        """
        paths = list(files)
        for start in range(0, len(paths), MAX_IDS_PER_STATEMENT):
            some = paths[start : start + MAX_IDS_PER_STATEMENT]
            numbers = [number for path in some if (number := files[path]) is not None]
            with self.writing() as connection:
                connection.execute(sa.delete(clips).where(clips.c.path.in_(some)))
                forget_thumbnails(connection, numbers)
            for path in some:
                self._unlink(path)

    # -- clips ------------------------------------------------------------------------------------

    def link_clip(self, path: str, began: float, uids: Sequence[str]) -> None:
        """Store that the clip at `path`, relative to the folder, is being recorded."""
        with self.writing() as connection:
            add_clip(connection, path, began, uids)

    def finish_clip(self, path: str, size: int, boxes: bytes | None = None) -> None:
        """Mark a clip of `size` bytes as complete, and queue messages about it.

        `boxes` are those of its tracks, packed as in `clip_boxes.py`.
        """
        with self.writing() as connection:
            finish_clip(connection, path, size, boxes)

    def clip_boxes(self, event_id: int) -> Mapping[str, Any] | None:
        """Return the boxes of an event's clip as `clip_boxes.unpacked` does, None if none."""
        with self.reading() as connection:
            found = value_of_clip(connection, clips.c.boxes, event_id)
        if not found:
            return None
        with suppress(ValueError):
            return unpacked(bytes(found))
        return None

    def forget_clip(self, path: str) -> None:
        """Delete a clip, row and file; its events stay."""
        self.forget_files({path: None})

    def unfinished_clips(self) -> list[str]:
        """Return the paths of clips being recorded, or cut off when the program was killed."""
        with self.reading() as connection:
            asked = sa.select(clips.c.path).where(~clips.c.finished)
            return [] if connection is None else list(connection.scalars(asked))

    def _unlink(self, path: str) -> None:
        file = self.clip_file(path)
        if file is not None:
            remove(file)

    # -- delivery ---------------------------------------------------------------------------------

    def deliver_to(
        self,
        wanted: Mapping[str, Sequence[str]],
        with_clips: Collection[str] = (),
        of_alerts: Collection[str] = (),
    ) -> list[GivenUp]:
        """Queue events added from now on for these targets, {name: kinds}; no kinds means all.

        Targets in `with_clips` get a second message for an event once its clip is ready; those in
        `of_alerts` get no events. Pending messages for other targets are marked as failed and
        returned.
        """
        with self.writing() as connection:
            return set_targets(connection, wanted, with_clips, of_alerts)


def _limited(wanted: EventQuery) -> EventQuery:
    return replace(wanted, limit=max(0, min(wanted.limit, MAX_QUERY_ROWS)))
