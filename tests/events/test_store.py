"""Events in a database: on SQLite and on a real PostgreSQL alike."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa
from support.event_servers import Postgres
from support.live_fakes import until

from pipeline.core.data import Event
from pipeline.core.errors import ConfigError, StoreError, StoreRefusedError
from pipeline.core.secret_types import hidden, hidden_address
from pipeline.events.delivery.outbox import Outbox
from pipeline.events.store import tables as schema
from pipeline.events.store.database import FairLock, parse, shown
from pipeline.events.store.records import EventCount, EventQuery, EventRecord
from pipeline.events.store.retention import MESSAGE_BYTES, ROW_BYTES
from pipeline.events.store.store import EventStore

KNOWN = len(schema.STEPS)


def event(number: int = 0, **values: object) -> EventRecord:
    usual = {"time": 1000.0 + number, "kind": "enter", "camera": "gate", "area": "lawn"}
    return EventRecord(**{**usual, "track_id": number, **values})  # type: ignore[arg-type]


def test_an_event_comes_back_as_it_was(store: EventStore) -> None:
    told = Event(
        "cross", "Tür <1>", "line", "in", 7, 2, "car", 41, 4.1, 50.25, (1, 2.5, 3, 4), 0.5, 0.8125
    )
    (number,) = store.add([EventRecord.of(told, 1_000_000.0)])
    found = store.get(number)
    assert found is not None
    shape = found.as_dict()
    assert shape.pop("uid") == found.uid
    assert shape == {
        "id": number, "time": 1_000_050.25, "kind": "cross", "camera": "Tür <1>", "area": "line",
        "direction": "in", "track_id": 7, "class_name": "car", "dwell_s": 0.5, "index": 41,
        "pts_s": 4.1, "xyxy": [1, 2.5, 3, 4], "score": 0.8125, "clip": False,
        "clip_offset_s": None, "visit": None,
    }  # fmt: skip
    assert store.get(number + 1) is None
    assert store.get(1 << 70) is None


def test_whatever_a_name_holds_is_kept(store: EventStore) -> None:
    """A class name comes from a stranger's weights; PostgreSQL refuses NUL, both refuse halves."""
    store.add([event(camera="a\0b\ud800", class_name="'; DROP TABLE events; --")])
    assert [one.camera for one in store.query()] == ["ab?"]
    assert store.query(EventQuery(camera="a\0b\ud800"))


def test_a_senseless_limit_or_number_is_no_error(store: EventStore) -> None:
    store.add([event()])
    assert (store.query(EventQuery(limit=-1)), store.clip_path(1 << 80), store.get(-3)) == (
        [],
        None,
        None,
    )
    assert len(store.query(EventQuery(limit=1 << 80))) == 1


def test_a_camera_has_events_of_any_kind(store: EventStore) -> None:
    store.add([EventRecord(time=1.0, kind="lost", camera="gate")])
    assert [one.kind for one in store.query()] == ["lost"]


def test_adding_again_after_a_failure_doubles_nothing(store: EventStore) -> None:
    """A commit whose answer was lost is tried again: neither event nor delivery may be doubled."""
    store.deliver_to({"hook": ()})
    some = [event(1), event(2)]
    assert store.add(some) == store.add([*some])
    assert len(store.query()) == 2
    assert Outbox(store, "hook").states() == {"waiting": 2}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EventQuery(), [5, 4, 3, 2, 1, 0]),
        (EventQuery(camera="door"), [5, 3]),
        (EventQuery(kind="leave"), [4]),
        (EventQuery(class_name="car"), [2]),
        (EventQuery(area="road"), [1]),
        (EventQuery(since=1003.0), [5, 4, 3]),
        (EventQuery(since=1003.0, until=1005.0), [4, 3]),
        (EventQuery(camera="door", since=1004.0), [5]),
        (EventQuery(camera="' OR 1=1 --"), []),
        (EventQuery(camera="\0\ud800"), []),
        (EventQuery(before_id=1 << 80), [5, 4, 3, 2, 1, 0]),
        (EventQuery(before_id=-(1 << 80)), []),
        (EventQuery(since=float("inf")), []),
    ],
)
def test_filters(store: EventStore, wanted: EventQuery, expected: list[int]) -> None:
    store.add(
        [
            event(0), event(1, area="road"), event(2, class_name="car"), event(3, camera="door"),
            event(4, kind="leave"), event(5, camera="door"),
        ]
    )  # fmt: skip
    assert [one.track_id for one in store.query(wanted)] == expected


def test_pages_go_back_from_the_newest(store: EventStore) -> None:
    store.add([event(n) for n in range(7)])
    first = store.query(EventQuery(limit=3))
    second = store.query(EventQuery(before_id=first[-1].id, limit=3))
    assert [one.track_id for one in [*first, *second]] == [6, 5, 4, 3, 2, 1]
    newer = store.query(EventQuery(after_id=second[0].id))
    assert [one.track_id for one in newer] == [6, 5, 4]


def test_counts_of_the_last_hours(store: EventStore) -> None:
    now = time.time()
    crossing = {"kind": "cross", "area": "line"}
    store.add(
        [
            event(1, time=now - 60, direction="in", class_name="car", **crossing),
            event(2, time=now - 60, direction="in", class_name="car", **crossing),
            event(3, time=now - 60, direction="out", class_name="car", **crossing),
            event(4, time=now - 7200, direction="out", class_name="car", **crossing),
            event(5, time=now - 60, camera="door"),
        ]
    )
    assert store.counts("gate", hours=1) == [
        EventCount("gate", "line", "cross", "in", "car", 2),
        EventCount("gate", "line", "cross", "out", "car", 1),
    ]
    assert sum(one.count for one in store.counts()) == 5


def test_counts_by_slot_of_time(store: EventStore) -> None:
    store.add(
        [
            event(1, time=3599.9),
            event(2, time=3600.0),
            event(3, time=7199.9),
            event(4, time=7200.0, kind="leave"),
            event(5, time=7200.0, camera="door"),
        ]
    )

    def counted(slot_s: int, **wanted: object) -> list[tuple[int, str, str, int]]:
        found = store.counts_by_slot(EventQuery(**wanted), slot_s)  # type: ignore[arg-type]
        return [(one.began, one.label.camera, one.label.kind, one.total) for one in found]

    hours = [(0, "gate", "enter", 1), (3600, "gate", "enter", 2), (7200, "door", "enter", 1)]
    assert counted(3600) == [*hours, (7200, "gate", "leave", 1)]
    assert counted(3600, kind="enter", camera="gate") == hours[:2]
    assert counted(3600, since=3600.0, until=7200.0) == hours[1:2]
    assert counted(86400, zone="lawn", camera="gate", kind="enter") == [(0, "gate", "enter", 3)]
    assert len(counted(3600, limit=2)) == 2


def test_a_number_is_never_given_again(store: EventStore) -> None:
    """A page that knows event 2 must not be shown another one under that number."""
    first = store.add([event(1), event(2)])
    assert store.delete(first) == 2
    assert store.add([event(3)])[0] > max(first)


def test_asking_before_anything_was_kept_gives_nothing(tmp_path: Path) -> None:
    store = EventStore(str(tmp_path / "none.db"), tmp_path)
    assert (store.query(), store.counts(), store.get(1), store.clip_path(1)) == ([], [], None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_reader_sees_what_a_writer_keeps_meanwhile(tmp_path: Path) -> None:
    """The live server reads on its own threads, through a store of its own."""
    writer = EventStore(str(tmp_path / "events.db"), tmp_path)
    reader = EventStore(str(tmp_path / "events.db"), tmp_path)
    problems: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                ids = [one.id for one in reader.query(EventQuery(limit=50))]
                assert ids == sorted(ids, reverse=True)
                reader.counts()
        except BaseException as error:  # noqa: BLE001 - a thread's outermost frame
            problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(150):
        writer.add([event(number)])
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(reader.query(EventQuery(limit=1000))) == 150


def test_two_writers_take_turns(tmp_path: Path) -> None:
    """The sink keeps events while the server keeps those of cameras: neither may be refused."""
    stores = [EventStore(str(tmp_path / "events.db"), tmp_path) for _ in range(2)]
    problems: list[BaseException] = []

    def write(store: EventStore) -> None:
        try:
            store.deliver_to({"hook": ()})
            for number in range(60):
                store.add([event(number)])
        except BaseException as error:  # noqa: BLE001 - a thread's outermost frame
            problems.append(error)

    threads = [threading.Thread(target=write, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(stores[0].query(EventQuery(limit=1000))) == 120


# -- clips ----------------------------------------------------------------------------------------


def test_a_clip_is_there_once_it_is_finished_and_goes_with_its_last_event(
    store: EventStore, tmp_path: Path
) -> None:
    events = [event(1), event(2)]
    first, second = store.add(events)
    store.link_clip("gate/a.mp4", 1000.0, [events[0].uid])
    store.link_clip("gate/a.mp4", 1000.0, [events[1].uid])
    file = tmp_path / "clips" / "gate" / "a.mp4"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"video")
    assert store.clip_path(first) is None
    assert store.unfinished_clips() == ["gate/a.mp4"]
    store.finish_clip("gate/a.mp4", 5)
    assert store.clip_path(first) == store.clip_path(second) == file
    assert [one.clip for one in store.query()] == [True, True]
    store.delete([first])
    assert file.exists()
    store.delete([second])
    assert not file.exists()


@pytest.mark.parametrize("path", ["../secret.mp4", "/etc/passwd", "a/../../secret.mp4", ""])
def test_no_stored_path_leads_out_of_the_clips(tmp_path: Path, path: str) -> None:
    """Whoever can write to the database must not read the rest of the disk through the server."""
    (tmp_path / "secret.mp4").write_bytes(b"mine")
    store = EventStore(str(tmp_path / "events.db"), tmp_path / "clips")
    one = event()
    (number,) = store.add([one])
    store.link_clip(path, 1.0, [one.uid])
    store.finish_clip(path, 4)
    assert store.clip_path(number) is None
    store.delete([number])
    assert (tmp_path / "secret.mp4").exists()


# -- versions, addresses, failures ----------------------------------------------------------------


def test_a_store_of_an_older_version_is_brought_up_with_all_it_holds(
    store: EventStore, address: str
) -> None:
    store.add([event(1)])

    def add_column(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE events ADD COLUMN mood TEXT DEFAULT 'fine'")

    newer = [*schema.STEPS, add_column]
    for expected in (KNOWN, KNOWN + 1):  # the second time there is nothing to do
        with store.writing() as connection:
            assert schema.migrate(connection, "other", newer) == expected
    with store.writing() as connection:
        assert connection.exec_driver_sql("SELECT mood FROM events").scalar() == "fine"
        assert schema.version_of(connection) == KNOWN + 1
    again = EventStore(address, store.clips_folder)
    with pytest.raises(
        StoreError, match=f"has version {KNOWN + 1}, this Trackline knows up to {KNOWN}"
    ):
        again.query()
    with pytest.raises(StoreError, match="use a newer Trackline"):
        again.add([event(2)])
    again.close()


def test_what_waited_in_a_store_without_clip_messages_is_still_delivered(
    store: EventStore, address: str
) -> None:
    """Version 1 had one message of each event; what was queued there must not be lost or double."""
    store.deliver_to({"hook": ()})
    (number,) = store.add([event(1)])
    with store.writing() as connection:
        for statement in (
            "DROP INDEX outbox_by_event",
            "ALTER TABLE outbox DROP COLUMN about",
            "ALTER TABLE targets DROP COLUMN clips",
            "CREATE UNIQUE INDEX outbox_by_event ON outbox (event_id, target)",
            "DROP INDEX visits_with_thumbnail",
            "DROP TABLE positions",
            "ALTER TABLE events DROP COLUMN score",
            "UPDATE trackline_facts SET value = '1' WHERE name = 'version'",
        ):
            connection.exec_driver_sql(statement)
    later = EventStore(address, store.clips_folder)
    later.deliver_to({"hook": ()}, {"hook"})
    outbox = Outbox(later, "hook")
    message = outbox.take(2000.0)
    assert message is not None
    assert (message.event.id, message.about, message.event.score) == (number, "event", None)
    outbox.delivered(message)
    ready(later, number)
    second = outbox.take(2000.0)
    assert second is not None
    assert (second.event.id, second.about) == (number, "clip")
    with later.reading() as connection:
        found = sa.inspect(connection)
        assert found is not None
        assert "visits_with_thumbnail" in {one["name"] for one in found.get_indexes("visits")}
        assert found.has_table("positions")
    later.close()


# -- what is told of clips ------------------------------------------------------------------------


def ready(store: EventStore, *numbers: int) -> Path:
    """Have a clip of these events finished, with a file."""
    found = {number: store.get(number) for number in numbers}
    uids = [one.uid for one in found.values() if one is not None]
    path = f"gate/{numbers[0]}.mp4"
    store.link_clip(path, 1000.0, uids)
    file = store.clips_folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"mp4")
    store.finish_clip(path, 3)
    return file


def taken(outbox: Outbox) -> list[tuple[int, str, str | None]]:
    """Deliver all that is due: number of the event, what about, link."""
    found = []
    while (message := outbox.take(2000.0)) is not None:
        found.append((message.event.id, message.about, message.clip_url))
        outbox.delivered(message)
    return found


def test_a_clip_is_delivered_to_targets_that_got_its_event_and_want_clips(
    store: EventStore,
) -> None:
    """Each once, however often the clip is finished: rescuing repeats it after a kill."""
    store.deliver_to({"all": (), "few": ("leave",), "plain": ()}, {"all", "few"})
    one, two = store.add([event(1), event(2, kind="leave")])
    store.deliver_to(
        {"all": (), "few": ("leave",), "plain": (), "late": ()}, {"all", "few", "late"}
    )
    boxes = {name: Outbox(store, name, "https://cams.example/") for name in ("all", "few")}
    assert [each[:2] for each in taken(boxes["all"])] == [(one, "event"), (two, "event")]
    for _ in range(2):
        ready(store, one, two)
    link = "https://cams.example/api/events/{}/clip.mp4".format
    assert taken(boxes["all"]) == [(one, "clip", link(one)), (two, "clip", link(two))]
    assert taken(boxes["few"]) == [(two, "event", link(two)), (two, "clip", link(two))]
    path = f"/api/events/{one}/clip.mp4"
    assert taken(Outbox(store, "plain"))[0] == (one, "event", path), "no address known: the path"
    assert taken(Outbox(store, "late")) == [], "it never heard of the event"


def test_a_message_has_the_address_of_its_visits_picture(store: EventStore) -> None:
    store.deliver_to({"hook": ()})
    store.add([event(1, visit="a"), event(2, visit="b")])
    store.set_thumbnail("b", "gate/20260131-235959-0123abcd.jpg", 9)
    outbox = Outbox(store, "hook", "https://cams.example.org/")
    urls = {}
    while (message := outbox.take(2000.0)) is not None:
        urls[message.event.visit] = message.as_dict()["thumbnail_url"]
        outbox.delivered(message)
    assert urls == {1: None, 2: "https://cams.example.org/api/visits/2/thumbnail.jpg"}


def test_a_clip_is_never_delivered_before_its_event(store: EventStore) -> None:
    """The event may have to be sent again; a clip of something unknown helps nobody."""
    store.deliver_to({"hook": ()}, {"hook"})
    one, two = store.add([event(1), event(2)])
    outbox = Outbox(store, "hook")
    first = outbox.take(2000.0)
    assert first is not None
    ready(store, one)
    ready(store, two)
    outbox.put_back(first, 5000.0, "away")
    assert [each[:2] for each in taken(outbox)] == [(two, "event"), (two, "clip")]
    again = outbox.take(6000.0)
    assert again is not None
    assert (again.event.id, again.about, again.attempt) == (one, "event", 2)
    outbox.give_up(again, "refused")
    assert [each[:2] for each in taken(outbox)] == [(one, "clip")]


def test_a_clip_deleted_before_delivery_is_marked(store: EventStore) -> None:
    """A link that leads nowhere would be taken for a fault of this program."""
    store.deliver_to({"hook": ()}, {"hook"})
    (number,) = store.add([event(1)])
    outbox = Outbox(store, "hook")
    assert len(taken(outbox)) == 1
    file = ready(store, number)
    store.forget_clip(file.relative_to(store.clips_folder).as_posix())
    assert taken(outbox) == []
    assert outbox.states() == {"sent": 1, "failed": 1}


def test_a_step_that_fails_changes_nothing(store: EventStore) -> None:
    store.add([event(1)])

    def fail(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE events ADD COLUMN mood TEXT")
        connection.exec_driver_sql("ALTER TABLE nowhere ADD COLUMN mood TEXT")

    with pytest.raises(StoreError), store.writing() as connection:
        schema.migrate(connection, "other", [*schema.STEPS, fail])
    with store.writing() as connection:
        assert schema.version_of(connection) == KNOWN
        names = {column["name"] for column in sa.inspect(connection).get_columns("events")}
    assert "mood" not in names


def test_sqlite_is_set_up_for_a_reader_beside_a_writer_and_for_kills(tmp_path: Path) -> None:
    EventStore(str(tmp_path / "events.db"), tmp_path).prepare()
    with sqlite3.connect(tmp_path / "events.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


@pytest.mark.slow
def test_what_an_event_takes_on_the_disk_is_as_estimated(tmp_path: Path) -> None:
    """Retention by size adds up estimates: deleting rows does not shrink a file by itself."""
    store = EventStore(str(tmp_path / "events.db"), tmp_path)
    store.deliver_to({"hook": ()})
    some = [
        event(n, class_name="person", time=1.7e9 + n, visit=f"{n // 3:032x}") for n in range(5000)
    ]
    store.add(some)
    store.close()
    size = (tmp_path / "events.db").stat().st_size
    assert size == pytest.approx(5000 * (ROW_BYTES + MESSAGE_BYTES), rel=0.25)


@pytest.mark.parametrize(
    "address",
    ["mysql://u:hunter2@h/db", "sqlite://", "sqlite:///:memory:", "postgresql://u:hunter2@h:x/d"],
)
def test_other_databases_are_refused_without_showing_a_password(address: str) -> None:
    with pytest.raises(ConfigError, match="want a file's path") as caught:
        parse(address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_is_away_is_one_line_without_password(tmp_path: Path) -> None:
    store = EventStore("postgresql://u:hunter2@127.0.0.1:1/db?sslpassword=hunter2", tmp_path)
    with pytest.raises(StoreError) as caught:
        store.add([event()])
    text = f"{caught.value} {store}"
    assert "hunter2" not in text
    assert "\n" not in str(caught.value)
    assert "127.0.0.1" in text


def test_a_wrong_password_is_one_line_without_it(cluster: Postgres, tmp_path: Path) -> None:
    store = EventStore(cluster.url.replace("secret word", "hunter2"), tmp_path)
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        store.add([event()])
    assert "hunter2" not in str(caught.value)


def test_what_the_database_refuses_for_good_is_an_error_of_its_own(store: EventStore) -> None:
    """Trying that again would hold up everything behind it for ever."""
    with pytest.raises(StoreRefusedError), store.writing() as connection:
        connection.exec_driver_sql("INSERT INTO events (id) VALUES (1)")


@pytest.mark.parametrize(
    ("hide", "text", "shown_as"),
    [
        (hidden, "", ""),
        (hidden, "${TOKEN}", "${TOKEN}"),
        (hidden, "hunter2", "***"),
        (hidden, "${hunter 2}", "***"),
        (hidden, "$${TOKEN}", "***"),
        (hidden, "Bearer ${TOKEN}", "***${TOKEN}"),
        (hidden_address, "https://hooks.example/T000/B111?key=1", "https://hooks.example/***"),
        (hidden_address, "https://u:p@hooks.example", "https://***@hooks.example"),
    ],
)
def test_what_is_shown_of_secrets(hide: object, text: str, shown_as: str) -> None:
    assert callable(hide)
    assert hide(text) == shown_as


def test_postgres_addresses_use_psycopg() -> None:
    for address in ("postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"):
        assert parse(address).drivername == "postgresql+psycopg"
        assert "p@" not in shown(parse(address))


def test_a_thread_that_writes_for_long_makes_others_wait_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first start on a million events all visits were ended in one step, for 7 s.

    The round of retention that began meanwhile found the "database is locked" after 5 s.
    """
    monkeypatch.setattr("pipeline.events.store.database.BUSY_S", 0.01)
    store = EventStore(str(tmp_path / "events.db"), tmp_path)
    began, ended = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with store.writing():
            began.set()
            ended.wait(0.3)

    thread = threading.Thread(target=write_for_long)
    thread.start()
    began.wait(60)
    store.end_all_visits()
    ended.set()
    thread.join()


def test_threads_write_in_the_order_in_which_they_ask() -> None:
    """One that deleted batch after batch had the database again before the others looked."""
    lock, order = FairLock(), list[str]()
    asks = threading.Event()

    def other() -> None:
        asks.set()
        with lock.held():
            order.append("other")

    thread = threading.Thread(target=other)
    with lock.held():
        thread.start()
        asks.wait(60)
        until(lambda: lock.waiting == 1)
    with lock.held():
        order.append("again")
    thread.join()
    assert order == ["other", "again"]


@pytest.mark.parametrize("line", range(1, 5))
def test_a_thread_that_is_interrupted_while_it_asks_does_not_hold_the_lock(line: int) -> None:
    """Ctrl-C as it was lined up left it there, and whatever wrote afterwards waited for ever."""
    lock, lines = FairLock(), 0

    def interrupt(frame: FrameType, what: str, argument: object) -> Any:
        nonlocal lines
        if frame.f_code.co_name != "held":
            return None
        lines += what == "line"
        if what == "line" and lines == line:
            sys.settrace(None)
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    try:
        sys.settrace(interrupt)
        with pytest.raises(KeyboardInterrupt), lock.held():
            raise AssertionError("not interrupted")
    finally:
        sys.settrace(before)
    assert lock.waiting == 0
    with lock.held():
        assert lock.waiting == 0
