"""Storing events on a full disk, or with the database away: what waits, what is lost, who knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support.event_results import event, result, run_info
from support.event_servers import eventually
from support.threads import Latch

from pipeline.core.errors import StoreError, WriteError
from pipeline.events.store import writer as store_writer
from pipeline.events.store.records import EventQuery
from pipeline.events.store.store import EventStore
from pipeline.events.store.writer import StoreWriter
from pipeline.sinks import events as plugin


class Disk:
    """Lets a database file grow, or not: SQLite itself says then that the disk is full."""

    full = False

    def limit(self, connection: Any, record: Any, proxy: Any) -> None:
        del record, proxy
        connection.execute(f"PRAGMA max_page_count = {1 if self.full else 1 << 30}").close()


@pytest.fixture
def disk() -> Iterator[Disk]:
    """The disk of every database of the test."""
    disk = Disk()
    sa.event.listen(sa.pool.Pool, "checkout", disk.limit)
    yield disk
    sa.event.remove(sa.pool.Pool, "checkout", disk.limit)


def opened(tmp_path: Path, *, files: bool = False) -> tuple[plugin.EventsSink, EventStore]:
    """A sink for a camera, or for a file."""
    sink = plugin.EventsSink(plugin.Options(clips=False), files_timeout_s=0.2)
    sink.open(run_info(tmp_path, "gate", files=files))
    assert sink.store is not None
    return sink, sink.store


def state(sink: plugin.EventsSink) -> store_writer.StoreStatus:
    found = sink.store_status()
    assert found is not None
    return found[0]


@pytest.mark.slow
def test_monitoring_outlives_a_full_disk_and_says_what_waits(tmp_path: Path, disk: Disk) -> None:
    """A camera is watched all the same, and its events are kept once there is room again."""
    sink, store = opened(tmp_path)
    disk.full = True
    for index in range(300):
        sink.write(result(index, event(index)))
    eventually(lambda: "full" in state(sink).problem, "the disk is full")
    told = state(sink)
    assert told.waiting > 0
    assert told.since is not None
    disk.full = False
    eventually(lambda: len(store.query(EventQuery(limit=400))) == 300, "all events, later")
    eventually(lambda: state(sink) == store_writer.StoreStatus(), "all is well")
    sink.close()
    assert sink.store_status() is None


@pytest.mark.slow
def test_a_run_over_files_says_what_it_could_not_keep(tmp_path: Path, disk: Disk) -> None:
    """Recordings can be read again with more room; a run that looks complete must be so."""
    sink, store = opened(tmp_path, files=True)
    disk.full = True
    for index in range(300):
        sink.write(result(index, event(index)))
    with pytest.raises(WriteError, match=r"^events: \d+ could not be kept: .*full"):
        sink.close()
    assert 0 < len(EventStore(str(store), store.clips_folder).query(EventQuery(limit=400))) < 300


def away() -> None:
    raise StoreError("the database is away")


def test_a_run_over_files_ends_where_a_database_stays_away() -> None:
    """Its failure is the run's, before hours of frames have gone by for nothing."""
    failures: list[BaseException] = []
    writer = StoreWriter(lambda: None, give_up_s=0.0)
    writer.enqueue(away, 1)
    writer.start(failures.append)
    eventually(lambda: failures, "the failure")
    assert isinstance(failures[0], WriteError)
    eventually(lambda: writer.status.lost == 1, "the loss is counted")
    assert not writer.enqueue(away, 2)
    assert writer.status.lost == 3
    writer.close(0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("fails", "lost"), [(False, 4), (True, 5)])
def test_a_step_under_way_at_the_end_is_lost_only_where_it_fails(fails: bool, lost: int) -> None:
    """A slow database took the events that had been counted as lost."""
    begun, answers = Latch(), Latch()

    def slow() -> None:
        begun.open()
        answers()
        if fails:
            away()

    writer = StoreWriter(lambda: None)
    for step in (slow, away, away):
        writer.enqueue(step, 1 if step is slow else 2)
    writer.start(lambda error: None)
    begun()
    writer.close(0.0)
    told = writer.status
    assert (told.waiting, told.lost) == (1, 4)
    answers.open()
    eventually(lambda: writer.status.waiting == 0, "the step under way is over")
    assert writer.status.lost == lost


@pytest.mark.slow
def test_a_run_over_files_does_not_end_well_while_an_event_is_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can say yet whether it will be kept."""
    sink, store = opened(tmp_path, files=True)
    begun, answers = Latch(), Latch()

    def add(*records: object) -> list[int]:
        begun.open()
        answers()
        return []

    monkeypatch.setattr(store, "add", add)
    sink.write(result(0, event(0)))
    begun()
    with pytest.raises(WriteError, match=r"^events: 1 could not be kept: see the log$"):
        sink.close()
    answers.open()


def test_what_does_not_fit_into_memory_is_counted() -> None:
    """Lost events were told once in the log, and no number anywhere."""
    writer = StoreWriter(lambda: None, max_waiting=3)
    assert [writer.enqueue(away, 2) for _ in range(5)] == [True] * 3 + [False] * 2
    told = writer.status
    assert (told.waiting, told.lost) == (6, 4)
    assert told.lost_at is not None


def test_files_wait_for_a_slow_database_instead() -> None:
    """They are read faster than a database far away may write; nothing of it is lost."""
    kept: list[int] = []
    answers = threading.Semaphore(0)

    def keep(number: int) -> None:
        answers.acquire()
        kept.append(number)

    def read() -> None:
        for number in range(50):
            assert writer.enqueue(partial(keep, number), 1)

    writer = StoreWriter(lambda: None, give_up_s=60.0, max_waiting=3)
    writer.start(lambda error: None)
    reader = threading.Thread(target=read)
    reader.start()
    eventually(lambda: writer.status.waiting == 3, "the reader is ahead")
    assert kept == []
    answers.release(50)
    reader.join()
    writer.close(20.0)
    assert kept == list(range(50))
    assert writer.status.lost == 0


@pytest.mark.slow
def test_the_live_server_shows_the_sinks_status(tmp_path: Path) -> None:
    """In the shapes of its description, which refuse what is missing or too much."""
    pytest.importorskip("fastapi")
    from pipeline.server.live.event_log import StoredEvents

    hook = {"url": "http://127.0.0.1:9/hunter2", "name": "door"}
    sink = plugin.build(plugin.Options(clips=False, webhooks=[hook]))  # type: ignore[list-item]
    events = StoredEvents(sink)
    assert (events.deliveries().keeping, events.deliveries().deliveries) == (None, [])
    sink.open(run_info(tmp_path, "gate"))
    sink.write(result(0, event(0)))
    eventually(lambda: events.deliveries().deliveries[0].problem, "what waits, and why")
    told = events.deliveries()
    assert told.deliveries[0].waiting == 1
    assert told.keeping is not None
    assert (told.keeping.problem, told.keeping.lost, told.keeping.clips_lost) == (None, 0, 0)
    assert "hunter2" not in told.model_dump_json()
    sink.close()
