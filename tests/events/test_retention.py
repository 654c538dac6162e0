"""What is kept and what goes, after kills too."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.core.errors import StoreError
from pipeline.events.delivery import outbox as outbox_module
from pipeline.events.delivery.outbox import Outbox
from pipeline.events.store.clip_cleaning import CLEAN_EVERY_S, MARKER, Cleaned, ClipCleaner
from pipeline.events.store.enqueue import GivenUp
from pipeline.events.store.records import EventQuery, EventRecord
from pipeline.events.store.retention import (
    ROW_BYTES,
    RetentionLimits,
    RetentionResult,
    apply_retention,
    total_bytes,
)
from pipeline.events.store.store import EventStore
from pipeline.events.store.tables import clips
from pipeline.sinks.clips.recovery import recover_clips

NOW = 1_000_000_000.0
DAY = 86_400.0
FOR_EVER = RetentionLimits(None, None)


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    made = EventStore(str(tmp_path / "events.db"), tmp_path / "clips")
    made.prepare()
    return made


def event(days_ago: float) -> EventRecord:
    return EventRecord(time=NOW - days_ago * DAY, kind="enter", camera="gate")


def named(uid: str, camera: str = "gate") -> str:
    """A path as clips have it."""
    return f"{camera}/20260131-235959-{uid[:8]}.mp4"


def clip(store: EventStore, *events: EventRecord, size: int = 1000) -> Path:
    """Keep events with one finished clip, a day old on the disk."""
    store.add(events)
    path = named(events[0].uid)
    store.link_clip(path, events[0].time, [one.uid for one in events])
    store.finish_clip(path, size)
    return on_disk(store, path, size)


def on_disk(store: EventStore, path: str, size: int = 1000, days_ago: float = 1) -> Path:
    file = store.clips_folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    os.utime(file, (NOW - days_ago * DAY, NOW - days_ago * DAY))
    return file


def days(store: EventStore) -> list[float]:
    return [(NOW - one.time) / DAY for one in store.query(EventQuery(limit=10_000))]


def test_what_is_too_old_goes_with_its_clip(store: EventStore) -> None:
    old, young = clip(store, event(31)), clip(store, event(29))
    assert apply_retention(store, RetentionLimits(30, None), NOW).events == 1
    assert days(store) == [29]
    assert (old.exists(), young.exists()) == (False, True)


def test_a_clip_stays_as_long_as_one_of_its_events(store: EventStore) -> None:
    shared = clip(store, event(31), event(29))
    apply_retention(store, RetentionLimits(30, None), NOW)
    assert shared.exists()
    assert [one.clip for one in store.query()] == [True]


def test_beyond_the_size_the_oldest_clips_go_and_their_events_stay(store: EventStore) -> None:
    """Clips take nearly all of the space; a busy camera must not cost the counts of last week."""
    files = [clip(store, event(9 - n), size=400_000) for n in range(5)]
    assert apply_retention(store, RetentionLimits(None, 1.0), NOW) == RetentionResult(clips=3)
    assert [file.exists() for file in files] == [False, False, False, True, True]
    assert [one.clip for one in store.query()] == [True, True, False, False, False]
    assert total_bytes(store) <= 1_000_000
    assert apply_retention(store, RetentionLimits(None, 1.0), NOW) == RetentionResult()


def thumbnail(store: EventStore, visit: str, days_ago: float, size: int = 1000) -> Path:
    """Keep an event of a visit with a thumbnail."""
    one = replace(event(days_ago), visit=visit, track_id=1)
    store.add([one])
    path = named(one.uid).replace(".mp4", ".jpg")
    file = on_disk(store, path, size)
    store.set_thumbnail(visit, path, size)
    return file


def test_beyond_the_size_thumbnails_and_clips_go_together_the_oldest_first(
    store: EventStore,
) -> None:
    """Thumbnails of four weeks ago stayed, and pushed out clips that had just been recorded."""
    files = [
        thumbnail(store, "a", 28, 400_000),
        clip(store, event(27), size=400_000),
        thumbnail(store, "b", 26, 400_000),
        clip(store, event(1), size=400_000),
        thumbnail(store, "c", 0.5, 400_000),
    ]
    _, seen = store.visits_after(None, 1)
    assert apply_retention(store, RetentionLimits(None, 1.0), NOW) == RetentionResult(clips=1)
    assert [file.exists() for file in files] == [False, False, False, True, True]
    changed, _ = store.visits_after(seen, 10)
    assert [(one.uid, one.thumbnail) for one in changed] == [("a", None), ("b", None)]
    assert len(days(store)) == 5


def test_files_and_rows_are_compared_once_an_hour(store: EventStore) -> None:
    """Each minute every thumbnail was resolved and asked for, 10 s of a processor for 130,000."""
    clip(store, event(1))
    cleaner = ClipCleaner(store)
    cleaner.clean(NOW)  # marks the folder
    on_disk(store, named("a" * 8))
    on_disk(store, named("b" * 8), days_ago=2)
    for now, quarantined in (
        (NOW + 60, 0), (NOW + CLEAN_EVERY_S - 1, 0), (NOW + CLEAN_EVERY_S, 2),
    ):  # fmt: skip
        assert cleaner.clean(now).quarantined == quarantined
    on_disk(store, named("c" * 8), days_ago=2)
    assert cleaner.clean(NOW).quarantined == 1, "the clock was set back"


def _link_to_a_file(store: EventStore, folder: Path, file: Path) -> int:
    file.rename(folder / "film.mp4")
    file.symlink_to(folder / "film.mp4")
    return 0


def _link_out_of_the_folder(store: EventStore, folder: Path, file: Path) -> int:
    outside = store.clips_folder.parent / "outside.mp4"
    file.rename(outside)
    file.symlink_to(outside)
    return 1


def _linked_camera(store: EventStore, folder: Path, file: Path) -> int:
    folder.rename(store.clips_folder / "moved.away")
    folder.symlink_to(store.clips_folder / "moved.away")
    return 0


def _folder_instead(store: EventStore, folder: Path, file: Path) -> int:
    file.unlink()
    file.mkdir()
    return 0


def _nothing(store: EventStore, folder: Path, file: Path) -> int:
    file.unlink()
    return 1


@pytest.mark.parametrize(
    "change",
    [_link_to_a_file, _link_out_of_the_folder, _linked_camera, _folder_instead, _nothing],
    ids=lambda change: change.__name__.strip("_"),
)
def test_a_row_is_forgotten_only_where_no_file_is_below_the_folder(
    store: EventStore, change: Callable[[EventStore, Path, Path], int]
) -> None:
    for days_ago in (4, 3, 2):
        clip(store, event(days_ago))
    file = clip(store, event(1))
    apply_retention(store, FOR_EVER, NOW)
    forgotten = change(store, file.parent, file)
    assert ClipCleaner(store).clean(NOW).forgotten == forgotten


@pytest.mark.slow
def test_beyond_the_size_events_alone_go_too_and_the_file_shrinks(
    store: EventStore, tmp_path: Path
) -> None:
    store.add([event(5 - n / 2000) for n in range(4000)])
    store.close()
    before = (tmp_path / "events.db").stat().st_size
    limit = RetentionLimits(None, 1000 * ROW_BYTES / 1e6)
    assert apply_retention(store, limit, NOW).events == 3000
    assert min(days(store)) < 3.1
    assert max(days(store)) < 3.51
    store.close()
    assert (tmp_path / "events.db").stat().st_size < before / 2


def test_files_without_a_row_are_set_aside_once_they_are_settled_and_deleted_after_a_week(
    store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill between deleting the row and the file, or before the row was written, leaves them."""
    kept = clip(store, event(1))
    apply_retention(store, FOR_EVER, NOW)  # marks the folder
    strays = [
        on_disk(store, named("a" * 8)),
        on_disk(store, "gate/.20260131-235959-bbbbbbbb.mp4.part"),
    ]
    fresh = on_disk(store, named("c" * 8), days_ago=0)
    assert apply_retention(store, FOR_EVER, NOW).strays == 2
    assert "2 clip files" in caplog.text
    assert "7 days" in caplog.text
    day = store.clips_folder / ".quarantine" / "2001-09-09"
    aside = [day / "gate" / file.name for file in strays]
    assert [file.exists() for file in (*strays, *aside)] == [False, False, True, True]
    assert apply_retention(store, FOR_EVER, NOW + 6.9 * DAY).deleted == 0
    assert apply_retention(store, FOR_EVER, NOW + 8.1 * DAY).deleted == 2
    assert not day.exists()
    assert kept.exists()
    assert not fresh.exists(), "settled by now, and set aside in its turn"


NOT_OURS = (
    "mine.mp4",
    "gate/holiday.mp4",
    "gate/holiday.jpg",
    "gate/20260131-235959.mp4",
    "gate/20260131-235959-ABCDEF01.mp4",
    "gate/20260131-235959-aaaaaaaa.mkv",
    "gate/old/20260131-235959-aaaaaaaa.mp4",
)


@pytest.mark.parametrize("path", NOT_OURS)
def test_only_files_named_as_clips_are_touched(store: EventStore, path: str) -> None:
    """Any .mp4 in a folder below OUT/clips was deleted, a video that somebody put there too."""
    clip(store, event(1))
    file = on_disk(store, path)
    for later in (0, 30, 60):
        apply_retention(store, RetentionLimits(None, 0.001), NOW + later * DAY)
    assert file.exists()


def _new_database(store: EventStore) -> EventStore:
    made = EventStore(str(store.clips_folder.parent / "new.db"), store.clips_folder)
    made.prepare()
    return made


def _new_database_in_use(store: EventStore) -> EventStore:
    made = _new_database(store)
    clip(made, event(0.5))
    return made


def _older_copy(store: EventStore) -> EventStore:
    """A backup of the database is put back: it knows only the oldest of the clips."""
    for path in sorted(_paths(store))[1:]:
        with store.writing() as connection:
            connection.execute(sa.delete(clips).where(clips.c.path == path))
    return store


def _unmarked(store: EventStore) -> EventStore:
    """An older Trackline's folder, beside a database that knows half of it."""
    (store.clips_folder / MARKER).unlink()
    return _older_copy(store)


def _two_that_share_a_folder(store: EventStore) -> EventStore:
    other = EventStore(str(store.clips_folder.parent / "other.db"), store.clips_folder)
    other.prepare()
    for _ in range(20):
        clip(other, event(2))
    return other


def _paths(store: EventStore) -> list[str]:
    with store.reading() as connection:
        assert connection is not None
        return list(connection.scalars(sa.select(clips.c.path)))


@pytest.mark.parametrize(
    "accident",
    [_new_database, _new_database_in_use, _unmarked, _two_that_share_a_folder],
    ids=lambda accident: accident.__name__.strip("_"),
)
@pytest.mark.slow
def test_no_clip_is_lost_with_the_database(
    store: EventStore,
    accident: Callable[[EventStore], EventStore],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A new database beside the old clips, and all of them were deleted within a minute."""
    files = [clip(store, event(n + 1)) for n in range(4)]
    apply_retention(store, FOR_EVER, NOW)
    left = accident(store)
    for later in (0, 1, 8, 9, 20):
        apply_retention(left, FOR_EVER, NOW + later * DAY)
    assert all(file.exists() for file in files)
    assert "is not tidied up" in caplog.text


def test_clips_that_an_older_copy_of_the_database_does_not_know_can_be_put_back(
    store: EventStore,
) -> None:
    files = [clip(store, event(n + 1)) for n in range(4)]
    apply_retention(store, FOR_EVER, NOW)
    _older_copy(store)
    assert apply_retention(store, FOR_EVER, NOW).strays == 3
    assert sum(file.exists() for file in files) == 1
    aside = (store.clips_folder / ".quarantine").rglob("*.mp4")
    assert len([*aside]) == 3


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "new clips", "a camera's folder"])
def test_a_disk_that_is_away_for_a_while_costs_no_clip(
    store: EventStore, tmp_path: Path, left: str
) -> None:
    """The folder was not mounted for 20 s: all rows went, and with the disk back all files."""
    files = [clip(store, event(n + 1)) for n in range(4)]
    apply_retention(store, FOR_EVER, NOW)
    disk = tmp_path / "disk"
    mounted = store.clips_folder / "gate" if left == "a camera's folder" else store.clips_folder
    mounted.rename(disk)
    new: list[Path] = []
    if left != "nothing":
        mounted.mkdir()
    if left == "new clips":
        new = [clip(store, event(0.5))]
    if left == "a camera's folder":
        one = event(1)
        store.add([one])
        store.link_clip(named(one.uid, "yard"), NOW, [one.uid])
        store.finish_clip(named(one.uid, "yard"), 10)
        for _ in range(5):
            on_disk(store, named(one.uid, "yard"))
    for _ in range(3):
        apply_retention(store, FOR_EVER, NOW)
    recover_clips(store)
    if mounted.exists():
        mounted.rename(tmp_path / "below the mount")
    disk.rename(mounted)
    for later in (0, 5, 10, 30):
        apply_retention(store, FOR_EVER, NOW + later * DAY)
    assert all(file.exists() for file in files)
    assert [one.clip for one in store.query(EventQuery(camera="gate"))].count(True) >= 4
    del new


def test_a_clip_that_is_being_recorded_is_not_given_up_while_the_disk_is_away(
    store: EventStore, tmp_path: Path
) -> None:
    clip(store, event(2))
    one = event(1)
    store.add([one])
    store.link_clip(named(one.uid), NOW, [one.uid])
    store.clips_folder.rename(tmp_path / "disk")
    recover_clips(store)
    assert store.unfinished_clips() == [named(one.uid)]


def test_a_link_in_the_clips_folder_is_not_followed(store: EventStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "video.mp4").write_bytes(b"mine")
    os.utime(elsewhere / "video.mp4", (1, 1))
    store.clips_folder.mkdir()
    (store.clips_folder / "gate").symlink_to(elsewhere)
    apply_retention(store, RetentionLimits(1, 0.001), NOW)
    assert (elsewhere / "video.mp4").exists()


def test_a_row_whose_file_was_deleted_has_no_clip_any_more(store: EventStore) -> None:
    clip(store, event(2))
    apply_retention(store, FOR_EVER, NOW)
    clip(store, event(1)).unlink()
    assert apply_retention(store, FOR_EVER, NOW).strays == 1
    assert [one.clip for one in store.query()] == [False, True]


def test_a_clip_that_is_being_recorded_is_left_alone(store: EventStore) -> None:
    one = event(1)
    store.add([one])
    store.link_clip(named("d" * 8), NOW, [one.uid])
    file = on_disk(store, named("d" * 8))
    apply_retention(store, RetentionLimits(None, 0.001), NOW)
    assert file.exists()


def test_what_waits_too_long_for_delivery_is_marked_failed(store: EventStore) -> None:
    store.deliver_to({"hook": ()})
    store.add([event(8), event(6)])
    assert apply_retention(store, FOR_EVER, NOW).expired == (("event", "hook"),)
    assert Outbox(store, "hook").states() == {"waiting": 1, "failed": 1}


class BrokenCleaner(ClipCleaner):
    def clean(self, now: float) -> Cleaned:
        raise StoreError("the disk is away")


def test_what_is_given_up_is_told_though_the_round_fails_later(store: EventStore) -> None:
    """Alerts that expired were not among the failed ones of /metrics when the rest of the round
    failed; nor were those that waited about an event that was deleted."""
    store.deliver_to({"hook": ()})
    store.add([event(8), event(6), event(1)])
    told: list[GivenUp] = []
    limits = RetentionLimits(5.0, None)
    with pytest.raises(StoreError):
        apply_retention(store, limits, NOW, BrokenCleaner(store), told.extend)
    assert told == [("event", "hook")] * 2
    assert Outbox(store, "hook").states() == {"waiting": 1}


@pytest.mark.slow
def test_too_many_that_wait_lose_the_oldest(store: EventStore) -> None:
    store.deliver_to({"hook": ()})
    extra = 3
    some = [event(1) for _ in range(outbox_module.MAX_WAITING + extra)]
    for start in range(0, len(some), 5000):
        store.add(some[start : start + 5000])
    assert len(apply_retention(store, FOR_EVER, NOW).expired) == extra
    message = Outbox(store, "hook").take(NOW)
    assert message is not None
    assert message.event.uid == some[extra].uid


def test_what_waits_for_a_target_that_is_configured_no_more_is_marked(store: EventStore) -> None:
    store.deliver_to({"old": (), "hook": ("lost",)})
    store.add([event(1)])
    store.deliver_to({"hook": ()})
    assert Outbox(store, "old").states() == {"failed": 1}
    assert Outbox(store, "hook").states() == {}


def test_how_much_files_take_is_read_from_indices(store: EventStore) -> None:
    """Each minute all visits were read, a million of them: their sums, and the oldest thumbnail."""
    clip(store, event(3))
    asked: list[str] = []

    def note(*about: object) -> None:
        if str(about[2]).startswith("SELECT"):
            asked.append(str(about[2]))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        total_bytes(store)
        apply_retention(store, RetentionLimits(None, 0.0001), NOW)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    plans = {}
    with sqlite3.connect(store.file or "") as raw:
        for statement in asked:
            values = [0] * statement.count("?")
            rows = raw.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            plans[statement] = " ".join(str(row[3]) for row in rows)
    about = {each: plan for each, plan in plans.items() if "bytes" in each}
    assert len(about) >= 4
    for statement, plan in about.items():
        assert "visits_with_thumbnail" in plan or "clips_by_time" in plan, (statement, plan)
        if "sum(" in statement.lower():
            assert "COVERING INDEX" in plan, (statement, plan)
