"""The store of events in SQLite or PostgreSQL: add, query, count, delete; safe from any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from pipeline.core.errors import StoreError
from pipeline.events.store import tables
from pipeline.events.store.clip_files import file_below, make_private, remove
from pipeline.events.store.database import asking, connect, file_of, parse, shown
from pipeline.events.store.enqueue import enqueue_clip, enqueue_events, set_targets
from pipeline.events.store.records import EventCount, EventQuery, EventRecord, StoredEvent, new_uid
from pipeline.events.store.rows import (
    EVENT_COLUMNS,
    MAX_ID,
    WITH_CLIP,
    insert_new,
    query_conditions,
    row_values,
    stored_event,
)
from pipeline.events.store.tables import clips, events, facts

MAX_IDS_PER_STATEMENT = 500
"""SQLite and PostgreSQL both take many more values in one statement."""
MAX_QUERY_ROWS = 10_000


class EventStore:
    """The events of one Trackline, in the database at `address`, their clips below `clips_folder`.

    `address` is a file's path, `sqlite:///FILE` or `postgresql://...`. The constructor opens
    nothing; `prepare` makes or migrates the tables, which every write does by itself. Until a
    database is there, queries return nothing. Every method raises StoreError where the database
    does not answer; passwords are never part of a message.
    """

    def __init__(self, address: str, clips_folder: Path) -> None:
        self._url = parse(address)
        self.file = file_of(self._url)
        self.clips_folder = clips_folder
        self._reader, self._writer = connect(self._url)
        self._ready = False
        self._lock = threading.Lock()

    def __str__(self) -> str:
        """Return the address, without password."""
        return shown(self._url)

    # -- opening ----------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the tables, or bring them to this version."""
        with self._lock:
            if self._ready:
                return
            if self.file is not None and not self.file.parent.is_dir():
                raise StoreError(f"events database {self}: there is no folder {self.file.parent}")
            if self.file is not None:
                with suppress(OSError):  # SQLite says what is wrong
                    make_private(self.file)  # its -wal and -shm get the same rights
            with asking(self._url), self._writer.begin() as connection:
                tables.migrate(connection, new_uid())
            self._ready = True

    def close(self) -> None:
        """Close the connections; the store opens new ones should it be used again."""
        self._reader.dispose()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Return a connection in a transaction that is committed at the end of the block."""
        self.prepare()
        with asking(self._url), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """Return a connection to read with; None where nothing was ever written."""
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
        """Return the store's name, the same for ever."""
        with self.writing() as connection:
            return str(connection.scalar(sa.select(facts.c.value).where(facts.c.name == "uid")))

    # -- events -----------------------------------------------------------------------------------

    def add(self, records: Sequence[EventRecord]) -> list[int]:
        """Store events and queue them for every target; return their ids in the same order.

        All or none. An event that is there already (the same `uid`) is left as it is, so trying
        again after a failure is safe.
        """
        if not records:
            return []
        with self.writing() as connection:
            connection.execute(insert_new(connection, events), [row_values(one) for one in records])
            uids = [one.uid for one in records]
            found = sa.select(events.c.uid, events.c.id).where(events.c.uid.in_(uids))
            ids = {row.uid: row.id for row in connection.execute(found)}
            enqueue_events(connection, records, ids)
        return [ids[uid] for uid in uids]

    def query(self, wanted: EventQuery | None = None) -> list[StoredEvent]:
        """Return the newest events that match, the newest first, at most `MAX_QUERY_ROWS`."""
        wanted = wanted or EventQuery()
        asked = sa.select(*EVENT_COLUMNS).select_from(WITH_CLIP).where(*query_conditions(wanted))
        asked = asked.order_by(events.c.id.desc()).limit(max(0, min(wanted.limit, MAX_QUERY_ROWS)))
        with self.reading() as connection:
            if connection is None:
                return []
            return [stored_event(row) for row in connection.execute(asked).mappings()]

    def get(self, event_id: int) -> StoredEvent | None:
        """Return one event, None if there is none of this number."""
        if not 0 < event_id < MAX_ID:
            return None
        found = self.query(EventQuery(after_id=event_id - 1, before_id=event_id + 1, limit=1))
        return found[0] if found else None

    def counts(self, camera: str | None = None, hours: float | None = None) -> list[EventCount]:
        """Return how many events there were in the last `hours` (None: all that are kept)."""
        by = (
            events.c.camera, events.c.area, events.c.kind, events.c.direction, events.c.class_name,
        )  # fmt: skip
        since = None if hours is None else time.time() - hours * 3600
        conditions = query_conditions(EventQuery(camera=camera, since=since))
        asked = sa.select(*by, sa.func.count()).where(*conditions).group_by(*by).order_by(*by)
        with self.reading() as connection:
            if connection is None:
                return []
            return [EventCount(*row) for row in connection.execute(asked)]

    def clip_path(self, event_id: int) -> Path | None:
        """Return the finished clip's file, None if there is none (yet, or any more)."""
        asked = (
            sa.select(clips.c.path)
            .select_from(events.join(clips, events.c.clip_id == clips.c.id))
            .where(events.c.id == min(max(event_id, 0), MAX_ID), clips.c.finished)
        )
        with self.reading() as connection:
            found = connection and connection.scalar(asked)
        path = self.clip_file(found) if found else None
        return path if path is not None and path.is_file() else None

    def clip_file(self, path: str) -> Path | None:
        """Return the file of a clip's stored path; None if that leads out of the folder."""
        return file_below(self.clips_folder, path)

    def delete(self, event_ids: Sequence[int]) -> int:
        """Delete events, their queued messages, and clips no other event has; return how many.

        The rows go first: a file that is left over has no row, and retention finds it.
        """
        deleted = 0
        for start in range(0, len(event_ids), MAX_IDS_PER_STATEMENT):
            some = event_ids[start : start + MAX_IDS_PER_STATEMENT]
            with self.writing() as connection:
                done = connection.execute(sa.delete(events).where(events.c.id.in_(some)))
                # A finished clip that lost its last event; one that is recorded is another case.
                alone = ~sa.exists().where(events.c.clip_id == clips.c.id)
                gone = sa.select(clips.c.id, clips.c.path).where(alone, clips.c.finished)
                rows = connection.execute(gone).all()
                connection.execute(sa.delete(clips).where(clips.c.id.in_([r.id for r in rows])))
            deleted += done.rowcount
            for row in rows:
                self._unlink(row.path)
        return deleted

    # -- clips ------------------------------------------------------------------------------------

    def link_clip(self, path: str, began: float, uids: Sequence[str]) -> None:
        """Note that the clip at `path` (below the folder) is being recorded and shows events."""
        row = {"path": path, "began": began, "bytes": 0, "finished": False}
        with self.writing() as connection:
            connection.execute(insert_new(connection, clips), [row])
            number = sa.select(clips.c.id).where(clips.c.path == path).scalar_subquery()
            changed = sa.update(events).where(events.c.uid.in_(uids)).values(clip_id=number)
            connection.execute(changed)

    def finish_clip(self, path: str, size: int) -> None:
        """Note that the clip is complete and takes `size` bytes, and queue that it is."""
        changed = sa.update(clips).where(clips.c.path == path).values(bytes=size, finished=True)
        with self.writing() as connection:
            connection.execute(changed)
            enqueue_clip(connection, path)

    def forget_clip(self, path: str) -> None:
        """Delete a clip, row and file; its events stay."""
        with self.writing() as connection:
            connection.execute(sa.delete(clips).where(clips.c.path == path))
        self._unlink(path)

    def unfinished_clips(self) -> list[str]:
        """Return the paths of clips that are being recorded, or were when a program was killed."""
        with self.reading() as connection:
            asked = sa.select(clips.c.path).where(~clips.c.finished)
            return [] if connection is None else list(connection.scalars(asked))

    def _unlink(self, path: str) -> None:
        file = self.clip_file(path)
        if file is not None:
            remove(file)

    # -- delivery ---------------------------------------------------------------------------------

    def deliver_to(
        self, wanted: Mapping[str, Sequence[str]], with_clips: Collection[str] = ()
    ) -> None:
        """Queue events added from now on for these targets, {name: kinds}; no kinds: all.

        Those `with_clips` get a second message of an event once its clip is ready. What waits for
        a target that is not among them any more is marked failed.
        """
        with self.writing() as connection:
            set_targets(connection, wanted, with_clips)
