"""Where objects were: grids by hour, their rows, how long they are kept; paths of visits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from support.event_results import NAMES, event, result, run_info

from pipeline.core.data import Result
from pipeline.core.errors import StoreError, StoreRefusedError
from pipeline.core.run_info import unix_time
from pipeline.events.positions import COLUMNS, MAX_CLASSES, ROWS, HourGrid, PositionCounter
from pipeline.events.store import tables
from pipeline.events.store.clip_boxes import ClipBoxes
from pipeline.events.store.positions import (
    PositionSaver,
    save_positions,
    stored_positions,
    visit_paths,
)
from pipeline.events.store.records import EventQuery, EventRecord
from pipeline.events.store.retention import RetentionLimits, apply_retention
from pipeline.events.store.store import EventStore
from pipeline.sinks import events as plugin

HOUR = 3600.0 * 100_000
CELL = (90 * ROWS // 120, 40 * COLUMNS // 160)
"""Row and column of the lower edge's middle of the box in `result`."""


def grid(hour: float, seconds: float = 1.0, camera: str = "gate", name: str = "person") -> HourGrid:
    return HourGrid(camera, name, int(hour), np.full((ROWS, COLUMNS), seconds, np.float32))


# -- counting -------------------------------------------------------------------------------------


def counted(steps: list[tuple[Result, float]]) -> dict[tuple[int, str], float]:
    """Return seconds by hour and class in the cell, of all that is to be stored."""
    counter, grids = PositionCounter(), {}
    for one, time in steps:
        grids |= {each.uid: each for each in counter.add(one, time)}
    grids |= {each.uid: each for each in counter.flush()}
    found: dict[tuple[int, str], float] = {}
    for each in grids.values():
        assert each.seconds.sum() == pytest.approx(each.seconds[CELL], abs=1e-3)
        key = (each.hour, each.class_name)
        found[key] = found.get(key, 0.0) + round(float(each.seconds[CELL]), 3)
    return found


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 0.5, 1.0], {0: 1.0}),
        ([0, 30], {0: 1.0}),  # what happened in a gap is not known
        ([10, 9, 10], {0: 1.0}),  # the clock was set back
        ([3599.75, 3600.25, 3600.5], {3600: 0.75}),
        ([k / 2 for k in range(400)], {0: 199.5}),  # stored several times, counted once
    ],
)
def test_time_counts_between_two_pictures(times: list[float], expected: dict[int, float]) -> None:
    found = counted([(result(k), HOUR + at) for k, at in enumerate(times)])
    assert found == {(int(HOUR) + hour, "person"): value for hour, value in expected.items()}


def test_only_what_was_seen_counts() -> None:
    """A predicted box, one that is not confirmed or not finite was at no place."""
    one = result(0)
    tracks = one.tracks
    for other in (
        replace(tracks, detection=np.array([-1], np.int32)),
        replace(tracks, track_id=np.array([0], np.int64)),
        replace(tracks, xyxy=np.full((1, 4), np.nan, np.float32)),
    ):
        assert counted([(replace(one, tracks=other), HOUR + k) for k in range(3)]) == {}


def test_a_detector_with_ever_new_classes_fills_no_memory() -> None:
    counter = PositionCounter()
    for k in range(MAX_CLASSES + 9):
        counter.add(replace(result(k), class_names={0: f"class {k}"}), HOUR + k)
    grids = counter.flush()
    assert len(grids) == MAX_CLASSES + 1
    assert sum(float(each.seconds.sum()) for each in grids) == MAX_CLASSES + 8


def test_a_camera_that_is_gone_is_stored_once_more_and_forgotten() -> None:
    counter = PositionCounter()
    for k in range(2):
        counter.add(result(k, source="gone"), HOUR + k)
    stored = [
        [each.camera for each in counter.add(result(k), HOUR + k * 600)] for k in range(1, 16)
    ]
    assert stored[10] == ["gone", "gate"]
    assert "gone" not in stored[-1]


# -- the store ------------------------------------------------------------------------------------


def test_grids_are_added_up_by_camera_class_and_time(store: EventStore) -> None:
    assert stored_positions(store, EventQuery(camera="gate")).sum() == 0
    first = grid(HOUR)
    save_positions(store, [first, grid(HOUR, 2), grid(HOUR + 3600, 4), grid(HOUR, 8, name="car")])
    save_positions(store, [replace(first, seconds=first.seconds + 15)])  # the same hour, later
    save_positions(store, [grid(HOUR, 100, camera="yard")])

    def seconds(**wanted: object) -> float:
        found = stored_positions(store, EventQuery(camera="gate", **wanted))  # type: ignore[arg-type]
        assert found.shape == (ROWS, COLUMNS)
        return float(found[3, 4])

    assert seconds() == 16 + 2 + 4 + 8
    assert seconds(class_name="car") == 8
    assert seconds(since=HOUR + 3600) == 4
    assert seconds(since=HOUR + 1800, until=HOUR + 3599.5) == 16 + 2 + 8
    assert seconds(until=HOUR) == 0


def test_positions_go_with_the_events_of_their_time(store: EventStore) -> None:
    day = 86400.0
    save_positions(store, [grid(HOUR + k * day) for k in range(4)])
    store.add([EventRecord(time=HOUR + k * day, kind="enter", camera="gate") for k in range(4)])

    def days() -> list[float]:
        with store.reading() as connection:
            assert connection is not None
            hours = sa.select(tables.positions.c.hour).order_by(tables.positions.c.hour)
            return [(hour - HOUR) / day for hour in connection.scalars(hours)]

    apply_retention(store, RetentionLimits(days=2, megabytes=None), HOUR + 3.5 * day)
    assert days() == [2, 3]
    apply_retention(store, RetentionLimits(days=None, megabytes=0.0015), HOUR + 3.5 * day)
    assert days() == [3]
    apply_retention(store, RetentionLimits(days=None, megabytes=0), HOUR + 3.5 * day)
    assert days() == []


def test_paths_come_from_the_boxes_of_clips(store: EventStore) -> None:
    """Of the visit's own track, thinned, as shares of the picture; none without boxes."""
    records = [
        EventRecord(
            time=HOUR + k, kind="enter", camera="gate", area="lawn", track_id=1 + k % 2,
            class_name="person", visit=f"visit {k}",
        )
        for k in range(3)
    ]  # fmt: skip
    store.add(records)
    boxes = ClipBoxes(160, 120)
    for k in range(100):
        boxes.add(k / 10, result(k).tracks, NAMES)
    store.link_clip("gate/a.mp4", HOUR, [records[0].uid, records[1].uid])
    store.link_clip("gate/b.mp4", HOUR, [records[2].uid])
    assert visit_paths(store, EventQuery(camera="gate")) == []
    store.finish_clip("gate/a.mp4", 9, boxes.packed())
    store.finish_clip("gate/b.mp4", 9, b"damaged")
    for limit in (5, 50):
        wanted = EventQuery(camera="gate", since=HOUR, until=HOUR + 60, limit=limit)
        (path,) = visit_paths(store, wanted)
        assert path.visit == store.visits()[-1].id
        assert path.points == [(40 / 160, 90 / 120)] * 40


def test_while_the_database_is_away_only_the_newest_grids_wait(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each minute of an outage left another copy of all grids in memory."""
    steps = list[Callable[[], object]]()
    saver = PositionSaver(store, lambda step: steps.append(step) is None)
    newer = grid(HOUR)
    for seconds in range(1, 5):
        saver.save([replace(newer, seconds=np.full((ROWS, COLUMNS), seconds, np.float32))])
    assert len(steps) == 1
    for error, left in ((StoreError, True), (StoreRefusedError, False)):
        with monkeypatch.context() as patch:
            patch.setattr(EventStore, "writing", lambda _, error=error: raises(error))
            with pytest.raises(error):
                steps[0]()
        if left:
            steps[0]()
            assert stored_positions(store, EventQuery(camera="gate", since=HOUR)).max() == 4
        saver.save([newer])
    assert len(steps) == 3, "after a refusal it goes on"
    steps[2]()
    assert stored_positions(store, EventQuery(camera="gate", since=HOUR)).max() == 1


def raises(error: type[StoreError]) -> None:
    raise error("away")


# -- the sink -------------------------------------------------------------------------------------


def test_the_sink_keeps_where_objects_were(tmp_path: Path) -> None:
    sink = plugin.build(plugin.Options(clips=False))
    sink.open(run_info(tmp_path, "gate"))
    for k in range(11):
        sink.write(result(k, *([event(k)] if k == 0 else [])))
    sink.close()
    store = EventStore(str(tmp_path / "events.db"), tmp_path / "clips")
    now = unix_time(result(0).frame.captured_at)
    found = stored_positions(store, EventQuery(camera="gate", since=now, until=now + 3600))
    assert found[CELL] == pytest.approx(1.0, abs=0.002)
    store.close()
