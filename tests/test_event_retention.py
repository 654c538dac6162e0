"""What is kept and what goes, after kills too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.events import outbox as outbox_module
from pipeline.events.outbox import Outbox
from pipeline.events.records import EventRecord
from pipeline.events.retention import ROW_BYTES, Limits, Tidied, tidy, total_bytes
from pipeline.events.store import EventStore

NOW = 1_000_000_000.0
DAY = 86_400.0
FOR_EVER = Limits(None, None)


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    made = EventStore(str(tmp_path / "events.db"), tmp_path / "clips")
    made.prepare()
    return made


def event(days_ago: float) -> EventRecord:
    return EventRecord(time=NOW - days_ago * DAY, kind="enter", camera="gate")


def clip(store: EventStore, *events: EventRecord, size: int = 1000) -> Path:
    """Keep events with one finished clip, a day old on the disk."""
    store.add(events)
    path = f"gate/{events[0].uid[:8]}.mp4"
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
    return [(NOW - one.time) / DAY for one in store.query(limit=10_000)]


def test_what_is_too_old_goes_with_its_clip(store: EventStore) -> None:
    old, young = clip(store, event(31)), clip(store, event(29))
    assert tidy(store, Limits(30, None), NOW).events == 1
    assert days(store) == [29]
    assert (old.exists(), young.exists()) == (False, True)


def test_a_clip_stays_as_long_as_one_of_its_events(store: EventStore) -> None:
    shared = clip(store, event(31), event(29))
    tidy(store, Limits(30, None), NOW)
    assert shared.exists()
    assert [one.clip for one in store.query()] == [True]


def test_beyond_the_size_the_oldest_clips_go_and_their_events_stay(store: EventStore) -> None:
    """Clips take nearly all of the space; a busy camera must not cost the counts of last week."""
    files = [clip(store, event(9 - n), size=400_000) for n in range(5)]
    assert tidy(store, Limits(None, 1.0), NOW) == Tidied(clips=3)
    assert [file.exists() for file in files] == [False, False, False, True, True]
    assert [one.clip for one in store.query()] == [True, True, False, False, False]
    assert total_bytes(store) <= 1_000_000
    assert tidy(store, Limits(None, 1.0), NOW) == Tidied()


def test_beyond_the_size_events_alone_go_too_and_the_file_shrinks(
    store: EventStore, tmp_path: Path
) -> None:
    store.add([event(5 - n / 2000) for n in range(4000)])
    store.close()
    before = (tmp_path / "events.db").stat().st_size
    limit = Limits(None, 1000 * ROW_BYTES / 1e6)
    assert tidy(store, limit, NOW).events == 3000
    assert min(days(store)) < 3.1
    assert max(days(store)) < 3.51
    store.close()
    assert (tmp_path / "events.db").stat().st_size < before / 2


def test_files_without_a_row_go_once_they_are_settled(store: EventStore) -> None:
    """A kill between deleting the row and the file, or before the row was written, leaves them."""
    kept = clip(store, event(1))
    strays = [on_disk(store, "gate/stray.mp4"), on_disk(store, "gate/.x.mp4.part")]
    fresh = on_disk(store, "gate/fresh.mp4", days_ago=0)
    other = on_disk(store, "gate/holiday.jpg")
    above = on_disk(store, "mine.mp4")
    assert tidy(store, FOR_EVER, NOW).strays == 2
    assert [file.exists() for file in (kept, fresh, other, above)] == [True] * 4
    assert not any(file.exists() for file in strays)


def test_a_link_in_the_clips_folder_is_not_followed(store: EventStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film.mp4").write_bytes(b"mine")
    os.utime(elsewhere / "film.mp4", (1, 1))
    store.clips_folder.mkdir()
    (store.clips_folder / "gate").symlink_to(elsewhere)
    tidy(store, Limits(1, 0.001), NOW)
    assert (elsewhere / "film.mp4").exists()


def test_a_row_whose_file_somebody_deleted_offers_no_clip_any_more(store: EventStore) -> None:
    clip(store, event(1)).unlink()
    assert tidy(store, FOR_EVER, NOW).strays == 1
    assert [one.clip for one in store.query()] == [False]


def test_a_clip_that_is_being_recorded_is_left_alone(store: EventStore) -> None:
    one = event(1)
    store.add([one])
    store.link_clip("gate/now.mp4", NOW, [one.uid])
    file = on_disk(store, "gate/now.mp4")
    tidy(store, Limits(None, 0.001), NOW)
    assert file.exists()


def test_what_waits_too_long_for_delivery_is_marked_failed(store: EventStore) -> None:
    store.deliver_to({"hook": ()})
    store.add([event(8), event(6)])
    assert tidy(store, FOR_EVER, NOW).expired == 1
    assert Outbox(store, "hook").states() == {"waiting": 1, "failed": 1}


def test_too_many_that_wait_lose_the_oldest(store: EventStore) -> None:
    store.deliver_to({"hook": ()})
    extra = 3
    some = [event(1) for _ in range(outbox_module.MOST_WAITING + extra)]
    for start in range(0, len(some), 5000):
        store.add(some[start : start + 5000])
    assert tidy(store, FOR_EVER, NOW).expired == extra
    parcel = Outbox(store, "hook").take(NOW)
    assert parcel is not None
    assert parcel.event.uid == some[extra].uid


def test_what_waits_for_a_target_that_is_configured_no_more_is_marked(store: EventStore) -> None:
    store.deliver_to({"old": (), "hook": ("lost",)})
    store.add([event(1)])
    store.deliver_to({"hook": ()})
    assert Outbox(store, "old").states() == {"failed": 1}
    assert Outbox(store, "hook").states() == {}
