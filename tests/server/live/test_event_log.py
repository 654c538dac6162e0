"""EventLog: recent events in memory, and the sink that stores them."""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.core.data import Detections, Event, Frame, Result, Tracks
from pipeline.core.run_info import RunInfo

pytest.importorskip("fastapi")
from pipeline.events.store.records import EventQuery
from pipeline.events.visits import SILENT_S
from pipeline.server.live.event_log import MAX_RECENT, EventStoreSink, RecentEvents, StoredEvents
from pipeline.server.schemas import Deliveries
from pipeline.sinks import events


def result_with(*kinds: str, index: int = 0) -> Result:
    at = time.monotonic()
    frame = Frame(np.zeros((4, 4, 3), np.uint8), "yard", index, index / 10, at)
    events = tuple(
        Event(kind, "yard", "lawn", "", 1, 0, "cat", index, index / 10, at, (0, 0, 1, 1))  # type: ignore[arg-type]
        for kind in kinds
    )
    return Result(frame, Detections.empty(), Tracks.empty(), {}, events=events)


def test_recent_events_are_numbered_and_found(tmp_path: Path) -> None:
    recent = RecentEvents()
    recent.open(RunInfo(tmp_path, {}, {}, time.time() - time.monotonic()))
    recent.write(result_with("enter", "leave"))
    recent.write(result_with("enter", index=1))
    assert [event.id for event in recent.query(EventQuery())] == [3, 2, 1]
    assert [event.id for event in recent.query(EventQuery(kind="enter"))] == [3, 1]
    assert [event.id for event in recent.query(EventQuery(before_id=3, limit=1))] == [2]
    assert [event.id for event in recent.query(EventQuery(after_id=2))] == [3]
    assert recent.query(EventQuery(camera="street")) == []
    assert [(c.kind, c.count) for c in recent.counts("yard", 1)] == [("enter", 2), ("leave", 1)]
    (slot,) = recent.counts_by_slot(EventQuery(kind="enter"), 86400 * 365)
    assert (slot.label.area, slot.label.class_name, slot.total) == ("lawn", "cat", 2)


def test_a_visit_at_the_only_camera_ends_when_that_is_lost() -> None:
    """Silence was looked for with a result only, which did not come: "still there" for ever."""
    recent = RecentEvents()
    recent.write(result_with("enter"))
    for now, is_open in ((time.monotonic(), True), (time.monotonic() + SILENT_S + 1, False)):
        recent.end_silent_visits(now)
        (visit,) = recent.visits.query(EventQuery())
        assert (visit.ended is None) == is_open


def test_recent_events_take_no_memory() -> None:
    recent = RecentEvents()
    for index in range(MAX_RECENT + 500):
        recent.write(result_with("enter", index=index))
    found = recent.query(EventQuery(limit=10_000))
    assert len(found) == MAX_RECENT
    assert found[0].id == MAX_RECENT + 500


def test_the_sink_events_is_an_event_store_sink() -> None:
    """The server finds it by its members: one that is renamed would leave the page without events.

    The sink is not open here, and has no events then.
    """
    sink = events.build(events.Options())
    assert isinstance(sink, EventStoreSink)
    for method in ("follow_zones", "delivery_status", "store_status"):
        wanted, given = (
            list(inspect.signature(getattr(kind, method)).parameters)
            for kind in (EventStoreSink, type(sink))
        )
        assert given == wanted, method
    assert list(StoredEvents(sink).query(EventQuery())) == []
    assert StoredEvents(sink).deliveries() == Deliveries(keeping=None, deliveries=[])


@pytest.mark.parametrize("member", ["store", "follow_zones", "delivery_status", "store_status"])
def test_a_sink_without_one_of_its_members_is_none(member: str) -> None:
    """Other sinks may be called `events` in a configuration; their results are kept in memory."""
    members = ("open", "write", "close", "store", "follow_zones", "delivery_status", "store_status")
    given = {name: None for name in members if name != member}
    assert not isinstance(SimpleNamespace(**given, own_thread=True), EventStoreSink)
