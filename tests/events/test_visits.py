"""Visits: all events of one track are one, searched by what they touched; on both databases."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa
from support.event_results import event as happened
from support.event_results import result

from pipeline.core.data import Result
from pipeline.events.store import tables as schema
from pipeline.events.store.database import parse
from pipeline.events.store.records import EventQuery, EventRecord, StoredVisit
from pipeline.events.store.store import EventStore
from pipeline.events.visits import OpenVisits, VisitChange, visit_uid


def event(at: float, track: int = 1, kind: str = "enter", **values: object) -> EventRecord:
    """An event `at` seconds after the start of the run."""
    usual = {
        "time": 1000.0 + at, "kind": kind, "camera": "gate", "area": "lawn", "track_id": track,
        "class_name": "person", "pts_s": at, "visit": f"track {track}",
    }  # fmt: skip
    return EventRecord(**{**usual, **values})  # type: ignore[arg-type]


def touched(visit: StoredVisit) -> list[str]:
    return [f"{one.kind} {one.area} {one.direction}".strip() for one in visit.touched]


def test_all_events_of_a_track_are_one_visit(store: EventStore) -> None:
    store.add([event(0)])
    store.add([event(2, kind="cross", area="gate", direction="in"), event(3, 2)])
    store.add([event(9, kind="leave", dwell_s=9.0, class_name="rider"), event(12)])
    other, visit = store.visits()
    assert (other.track_id, other.events) == (2, 1)
    assert (visit.started, visit.seconds, visit.ended) == (1000, 12, None)
    assert (visit.class_name, visit.dwell_s, visit.events) == ("person", 9, 4)
    assert touched(visit) == ["enter lawn", "cross gate in", "leave lawn"]
    assert {one.visit for one in store.query(EventQuery(area="gate"))} == {visit.id}
    assert [one.time for one in store.query(EventQuery(visit=visit.id))] == [1012, 1009, 1002, 1000]
    assert len(store.query(EventQuery(visit=visit.id, kind="enter"))) == 2
    assert store.visit(visit.id) == visit
    assert store.visit(1 << 70) is None


def test_a_visit_ends_when_its_track_was_last_seen_and_goes_on_if_it_is_seen_again(
    store: EventStore,
) -> None:
    store.add([event(0), event(4, kind="dwell")])
    store.end_visits({"track 1": 10.5, "unknown": 3.0})
    (visit,) = store.visits()
    assert (visit.ended, visit.seconds) == (1010.5, 10.5)
    store.add([event(10.5, kind="leave")])
    assert store.visits()[0].ended == 1010.5, "decided later, happened before"
    store.add([event(13)])
    assert (store.visits()[0].ended, store.visits()[0].seconds) == (None, 13)
    store.end_all_visits()
    assert store.visits()[0].ended == 1013
    store.end_visits({"track 1": None})
    assert store.visits()[0].ended is None


def test_an_event_that_happened_before_the_first_one_moves_the_start(store: EventStore) -> None:
    store.add([event(5)])
    store.add([event(4, kind="appeared", area="")])
    (visit,) = store.visits()
    assert (visit.started, visit.seconds) == (1004, 1)
    assert touched(visit) == ["appeared", "enter lawn"]
    assert store.visits(EventQuery(kind="enter", until=1004.5)) == [visit]


def test_adding_again_after_a_failure_counts_nothing_twice(store: EventStore) -> None:
    some = [event(0), event(1, kind="cross", area="gate", direction="in")]
    assert store.add(some) == store.add([*some])
    assert [one.events for one in store.visits()] == [2]


def test_a_camera_without_a_picture_is_a_visit_of_its_own(store: EventStore) -> None:
    def about(at: float, kind: str, camera: str = "gate") -> EventRecord:
        return EventRecord(time=at, kind=kind, camera=camera)

    store.add([about(100, "lost"), about(101, "lost", "yard")])
    store.add([about(130, "live")])
    store.add([about(200, "lost"), about(210, "live")])
    store.add([about(300, "live")])
    found = [(v.camera, v.started, v.ended, touched(v)) for v in store.visits()]
    assert found == [
        ("gate", 300, 300, ["live"]),
        ("gate", 200, 210, ["lost", "live"]),
        ("yard", 101, None, ["lost"]),
        ("gate", 100, 130, ["lost", "live"]),
    ]


SCENE = [
    event(0, 1),
    event(1, 1, "leave", dwell_s=1.0),
    event(2, 2, class_name="car", area="road"),
    event(3, 3, "cross", area="gate", direction="in"),
    event(4, 3, area="lawn"),
    event(9, 3, "dwell", dwell_s=5.0),
    event(10, 4, "appeared", area="", camera="door", class_name="dog"),
    event(11, 5, "cross", area="lawn", direction="out"),
]


@pytest.mark.parametrize(
    ("wanted", "tracks"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"camera": "door"}, [4]),
        ({"class_name": "car"}, [2]),
        ({"class_name": "cat"}, []),
        ({"kind": "appeared"}, [4]),
        ({"area": ""}, [4]),
        ({"area": "lawn"}, [5, 3, 1]),
        ({"zone": "lawn"}, [3, 1]),
        ({"line": "lawn"}, [5]),
        ({"line": "gate"}, [3]),
        ({"zone": "lawn", "line": "gate"}, [3]),
        ({"zone": "road", "line": "gate"}, []),
        ({"zone": "lawn", "kind": "dwell"}, [3]),
        ({"zone": "lawn", "class_name": "person", "camera": "gate"}, [3, 1]),
        ({"since": 1003.0}, [5, 4, 3]),
        ({"until": 1003.0}, [2, 1]),
        ({"since": 1002.0, "until": 1010.0, "camera": "gate"}, [3, 2]),
        ({"min_s": 1.0}, [3, 1]),
        ({"min_s": 1.0, "zone": "lawn", "max_s": 2.0}, [1]),
        ({"max_s": 0.5, "kind": "enter"}, [2]),
        ({"camera": "' OR 1=1 --"}, []),
        ({"camera": "\0\ud800"}, []),
        ({"limit": 2}, [5, 4]),
        ({"limit": -1}, []),
    ],
)
def test_visits_are_found_by_what_they_touched(
    store: EventStore, wanted: dict[str, object], tracks: list[int]
) -> None:
    store.add(SCENE)
    query = EventQuery(**wanted)  # type: ignore[arg-type]
    assert [one.track_id for one in store.visits(query)] == tracks


@pytest.mark.parametrize(
    ("wanted", "times"),
    [
        ({"zone": "lawn"}, [9, 4, 1, 0]),
        ({"line": "lawn"}, [11]),
        ({"zone": "lawn", "line": "lawn"}, []),
        ({"min_s": 2.0}, [9]),
        ({"class_name": "person", "kind": "enter"}, [4, 0]),
        ({"max_s": 0.0, "camera": "door"}, [10]),
    ],
)
def test_events_are_found_the_same_way(
    store: EventStore, wanted: dict[str, object], times: list[float]
) -> None:
    store.add(SCENE)
    query = EventQuery(**wanted)  # type: ignore[arg-type]
    assert [one.time - 1000 for one in store.query(query)] == times


@pytest.mark.parametrize("more", [{}, {"camera": "gate"}, {"zone": "lawn", "kind": "enter"}])
def test_pages_neither_skip_nor_repeat_whatever_arrives_meanwhile(
    store: EventStore, more: dict[str, str]
) -> None:
    """Times are far apart and equal in turn: the windows of the search and the cursor's number."""
    ages = [0, 0, 50, 4000, 4000, 90_000, 90_000, 9_000_000]
    store.add([event(1e7 - age, track=n) for n, age in enumerate(ages, 1)])
    expected = [one.track_id for one in store.visits(EventQuery(**more))]  # type: ignore[arg-type]
    assert expected == [2, 1, 3, 5, 4, 7, 6, 8]
    found: list[int] = []
    before = None
    for number in range(20):
        page = store.visits(EventQuery(**more, limit=3, before=before))  # type: ignore[arg-type]
        found += [one.track_id for one in page]
        if len(page) < 3:
            break
        before = (page[-1].started, page[-1].id)
        store.add([event(1e7 + 1 + number, track=100 + number)])
    assert found == expected


def test_changes_come_in_order_and_once(store: EventStore) -> None:
    assert store.visits_after(None, 10) == ([], 0)
    store.add([event(0), event(1, 2)])
    _, seen = store.visits_after(None, 10)
    store.add([event(2)])
    changed, seen = store.visits_after(seen, 10)
    assert [one.track_id for one in changed] == [1]
    store.end_visits({"track 2": 5.0, "track 1": 5.0})
    changed, seen = store.visits_after(seen, 1)
    assert len(changed) == 1
    more, seen = store.visits_after(seen, 10)
    assert {one.track_id for one in [*changed, *more]} == {1, 2}
    assert store.visits_after(seen, 10) == ([], seen)


def test_a_visit_goes_with_its_last_event_and_its_thumbnail_with_it(store: EventStore) -> None:
    ids = store.add([event(0), event(1)])
    file = store.clips_folder / "gate" / "20260131-235959-0123abcd.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"jpeg")
    store.set_thumbnail("track 1", "gate/20260131-235959-0123abcd.jpg", 4)
    (visit,) = store.visits()
    assert visit.thumbnail
    assert store.thumbnail_path(visit.id) == file
    store.delete(ids[:1])
    assert (store.visits()[0].event_id, file.exists()) == (ids[1], True)
    store.delete(ids[1:])
    assert (store.visits(), file.exists()) == ([], False)
    file.write_bytes(b"late")
    store.set_thumbnail("track 1", "gate/20260131-235959-0123abcd.jpg", 4)
    assert not file.exists(), "made for a visit that was deleted meanwhile"


def test_the_first_events_clip_shows_the_visit(store: EventStore) -> None:
    first, second = event(0), event(20)
    store.add([first, second])
    store.link_clip("gate/one.mp4", 996.0, [first.uid])
    assert (store.visits()[0].clip, store.visits()[0].clip_offset_s) == (False, None)
    store.finish_clip("gate/one.mp4", 9)
    (visit,) = store.visits()
    assert (visit.clip, visit.clip_offset_s) == (True, 4.0)
    assert visit.event_id == store.query()[-1].id


# -- a database from before there were visits -----------------------------------------------------

OLD = [
    ("gate", 1, "enter", "lawn", 0, 100),
    ("gate", 1, "leave", "lawn", 8, 180),
    ("gate", 2, "enter", "lawn", 9, 190),
    ("gate", 2, "enter", "road", 8.5, 185),  # decided late: happened before the one before it
    ("yard", 1, "enter", "lawn", 10, 100),
    ("gate", 0, "lost", "", 20, 0),
    ("gate", 0, "live", "", 50, 0),
    ("gate", 1, "enter", "lawn", 60, 10),  # another run: the frames begin anew
    ("gate", 1, "enter", "lawn", 9000, 90_000),  # the same id, hours later
    ("gate", 0, "lost", "", 9100, 0),
]


def make_old(engine: sa.Engine) -> None:
    """The tables of version 2, with some events."""
    old = sa.MetaData()
    for name, without in (
        ("trackline_facts", set()), ("clips", {"boxes"}), ("targets", set()),
        ("events", {"visit_id", "label_id", "score"}), ("outbox", set()),
    ):  # fmt: skip
        table = schema.metadata.tables[name]
        columns = [
            sa.Column(column.name, column.type, primary_key=column.primary_key)
            for column in table.columns
            if column.name not in without
        ]
        sa.Table(name, old, *columns)
    sa.Index("events_by_camera", old.tables["events"].c.camera, old.tables["events"].c.id)
    sa.Index("outbox_by_event", *(old.tables["outbox"].c[c] for c in ("event_id", "target")))
    with engine.begin() as connection:
        old.create_all(connection)
        connection.execute(
            sa.insert(old.tables["trackline_facts"]),
            [{"name": "version", "value": "2"}, {"name": "uid", "value": "old"}],
        )
        rows = [
            {
                "uid": f"uid {n}", "time": 1000.0 + at, "kind": kind, "camera": camera,
                "area": area, "direction": "", "track_id": track, "class_id": 0,
                "class_name": "person" if track else "", "dwell_s": 0.0, "frame": frame,
                "pts_s": at, "x1": 0, "y1": 0, "x2": 1, "y2": 1,
            }
            for n, (camera, track, kind, area, at, frame) in enumerate(OLD)
        ]  # fmt: skip
        connection.execute(sa.insert(old.tables["events"]), rows)


def test_events_of_an_older_version_are_grouped(store: EventStore, address: str) -> None:
    engine = sa.create_engine(parse(address))
    make_old(engine)
    engine.dispose()
    store.prepare()
    found = [
        (v.camera, v.track_id, v.started - 1000, v.seconds, touched(v)) for v in store.visits()
    ]
    assert found == [
        ("gate", 0, 9100, 0, ["lost"]),
        ("gate", 1, 9000, 0, ["enter lawn"]),
        ("gate", 1, 60, 0, ["enter lawn"]),
        ("gate", 0, 20, 30, ["lost", "live"]),
        ("yard", 1, 10, 0, ["enter lawn"]),
        ("gate", 2, 8.5, 0.5, ["enter road", "enter lawn"]),
        ("gate", 1, 0, 8, ["enter lawn", "leave lawn"]),
    ]
    assert all(one.ended is not None for one in store.visits())
    assert [one.track_id for one in store.visits(EventQuery(zone="road"))] == [2]
    assert len(store.query(EventQuery(camera="gate"))) == 9
    store.add([event(0, 7, score=0.5)])
    assert {one.score for one in store.query(EventQuery(since=1000.0))} == {None, 0.5}
    assert store.visits(EventQuery(until=1001.0))[0].track_id == 7


# -- which tracks are still there -----------------------------------------------------------------


def records_of(frame: int, track: int = 1) -> list[EventRecord]:
    return [EventRecord.of(happened(frame, track_id=track), 0.0, visit_uid("run", "gate", track))]


def shown(frame: int, *, seen: bool = True) -> Result:
    """A result with track 1, detected or just predicted."""
    one = result(frame)
    detection = np.array([0 if seen else -1], np.int32)
    return replace(one, tracks=replace(one.tracks, detection=detection))


def test_a_track_ends_its_visit_when_it_is_not_seen_for_a_while_and_goes_on_if_it_is() -> None:
    """One behind a bus for five seconds, with the same id, was a visit that had ended."""
    open_, uid = OpenVisits(), visit_uid("run", "gate", 1)
    assert open_.update(shown(0), records_of(0)) == []
    changes: list[VisitChange] = []
    for frame in range(1, 300):
        changes += open_.update(shown(frame, seen=frame < 50 or 100 < frame < 200), [])
    assert changes == [
        VisitChange(uid, 4.9), VisitChange(uid, None), VisitChange(uid, 19.9),
    ]  # fmt: skip
    assert open_.close() == []


def test_a_silent_camera_and_the_end_of_the_run_end_visits() -> None:
    open_ = OpenVisits()
    open_.update(shown(0), records_of(0))
    open_.update(result(0, source="yard"), records_of(0, 2))
    assert open_.end_silent(0.0) == []
    assert len(open_.end_silent(float("inf"))) == 2
    (again,) = open_.update(shown(9), [])
    assert again.pts_s is None
    assert [one.pts_s for one in open_.close()] == [0.9]
    assert open_.close() == []


def test_a_camera_of_which_few_pictures_are_wanted_is_not_silent_between_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `max_fps: 0.05` each visit ended after ten seconds, and went on ten seconds later."""
    now = [0.0]
    monkeypatch.setattr("pipeline.events.visits.time", SimpleNamespace(monotonic=lambda: now[0]))
    open_ = OpenVisits()
    for picture in range(3):
        now[0] = 20.0 * picture
        open_.update(shown(picture), records_of(0) if picture == 0 else [])
    assert open_.end_silent(59.0) == []
    assert len(open_.end_silent(91.0)) == 1


def test_beyond_the_most_that_are_followed_a_visit_ends_with_its_last_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such visits were "still there" until the next start."""
    monkeypatch.setattr("pipeline.events.visits.MAX_OPEN", 1)
    open_ = OpenVisits()
    uid = visit_uid("run", "gate", 2)
    assert open_.update(shown(0), records_of(0)) == []
    assert open_.update(shown(1), records_of(1, 2)) == [VisitChange(uid, 0.1)]
    assert open_.update(shown(20), records_of(20, 2)) == [VisitChange(uid, 2.0)]
    assert [one.uid for one in open_.close()] == [visit_uid("run", "gate", 1)]


def test_a_clock_that_begins_anew_ends_visits() -> None:
    open_ = OpenVisits()
    open_.update(shown(1000), records_of(1000))
    assert [one.pts_s for one in open_.update(shown(0, seen=False), [])] == [100.0]


def test_a_visits_name_is_its_runs_cameras_and_tracks() -> None:
    names = {
        visit_uid(*one) for one in (("a", "b", 1), ("a", "b", 2), ("a", "c", 1), ("d", "b", 1))
    }
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)
