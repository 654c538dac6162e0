"""Counts by hour and day: the routes, what spreadsheets get, and totals for Prometheus."""

from __future__ import annotations

import csv
import io
import time
import zoneinfo
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from support.fake_backend import CAMERAS, ServerParts

from pipeline.core.data import Detections, Event, Frame, Result, Tracks
from pipeline.events.store.records import EventLabel, SlotCount
from pipeline.server.count_history import MAX_ROWS, CountSlots
from pipeline.server.event_totals import MAX_LABELS, EventTotals

LABEL = EventLabel("yard", "gate", "cross", "in", "car")


def result_with(*labels: EventLabel) -> Result:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), "yard", 0, 0.0, time.monotonic())
    events = tuple(
        Event(kind, camera, area, way, 1, 0, name, 0, 0.0, 0.0, (0, 0, 1, 1))  # type: ignore[arg-type]
        for camera, area, kind, way, name in labels
    )
    return Result(frame, Detections.empty(), Tracks.empty(), {}, events=events)


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server whose time zone has summer time."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# -- routes ---------------------------------------------------------------------------------------


def test_counts_come_by_hour_and_as_a_table(made: ServerParts, client: TestClient) -> None:
    made.backend.slot_counts = [SlotCount(3600, LABEL, 2), SlotCount(7200, LABEL, 5)]
    asked = "camera=yard&zone=x&since=1970-01-01T01:00:00Z&until=10800&class=car"
    rows = client.get(f"/api/counts/history?{asked}").json()["counts"]
    assert [(row["time"], row["area"], row["count"]) for row in rows] == [
        (3600, "gate", 2), (7200, "gate", 5),
    ]  # fmt: skip
    query, slot_s = made.backend.asked_counts
    assert (query.camera, query.class_name, query.since, query.until) == (
        "yard",
        "car",
        3600,
        10800,
    )
    assert slot_s == 3600
    answer = client.get(f"/api/counts.csv?{asked}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "counts.csv" in answer.headers["content-disposition"]
    assert answer.text.splitlines() == [
        "time,camera,area,kind,direction,class,count",
        "1970-01-01T01:00:00Z,yard,gate,cross,in,car,2",
        "1970-01-01T02:00:00Z,yard,gate,cross,in,car,5",
    ]


def test_days_are_added_up(made: ServerParts, client: TestClient) -> None:
    made.backend.slot_counts = [SlotCount(0, LABEL, 2), SlotCount(86400, LABEL, 5)]
    rows = client.get("/api/counts/history?bucket=day&until=172800").json()["counts"]
    assert [(row["time"], row["count"]) for row in rows] == [(0, 2), (86400, 5)]
    assert made.backend.asked_counts[1] == 86400


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_name_is_a_formula(
    module_made: ServerParts, module_client: TestClient, name: str
) -> None:
    """A zone named =HYPERLINK(...) must not run where the table is opened."""
    module_made.backend.slot_counts = [SlotCount(0, EventLabel(name, name, "enter", "", name), 1)]
    ((_, camera, area, *_, class_name, _),) = list(
        csv.reader(io.StringIO(module_client.get("/api/counts.csv").text, newline=""))
    )[1:]
    assert {camera, area, class_name} == {f"'{name}"}


@pytest.mark.parametrize(
    "asked", ["bucket=minute", "clock=Mars", "since=yesterday", "until=inf", "camera=" + "x" * 201]
)
def test_what_cannot_be_counted_is_refused(module_client: TestClient, asked: str) -> None:
    for path in ("/api/counts/history", "/api/counts.csv"):
        assert module_client.get(f"{path}?{asked}").status_code == 422


@pytest.mark.parametrize("clock", ["utc", "local", "utc&time_zone=Asia/Kolkata"])
@pytest.mark.parametrize("when", ["0001-01-02", "9999-12-31T23:59:59Z", "-1", "253402300799"])
def test_any_year_can_be_asked_for(module_client: TestClient, when: str, clock: str) -> None:
    """The year 9966 was refused, though the description allows it."""
    for bound in ("since", "until"):
        assert module_client.get(f"/api/counts.csv?clock={clock}&{bound}={when}").status_code == 200


def test_more_rows_than_fit_are_refused(made: ServerParts, client: TestClient) -> None:
    """Half a table that looks whole is worse than none."""
    made.backend.slot_counts = [SlotCount(0, LABEL, 1)] * (MAX_ROWS + 1)
    answer = client.get("/api/counts.csv")
    assert answer.status_code == 422
    assert "days" in answer.json()["detail"]


# -- hours and days -------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_berlin")
def test_local_days_follow_summer_time() -> None:
    """29 March 2026 had 23 hours: its quarters of an hour are one day's, the next one's not."""
    midnight = 1774738800  # 2026-03-29T00:00:00+01:00
    slots = CountSlots("day", "local")
    quarters = range(midnight - 900, midnight + 24 * 3600, slots.slot_s)
    rows = slots.rows(SlotCount(each, LABEL, 1) for each in quarters)
    assert [(slots.iso(row.time), row.count) for row in rows] == [
        ("2026-03-28T00:00:00+01:00", 1),
        ("2026-03-29T00:00:00+01:00", 23 * 4),
        ("2026-03-30T00:00:00+02:00", 4),
    ]
    hours = CountSlots("hour", "local").rows([SlotCount(midnight + 900, LABEL, 1)])
    assert [row.time for row in hours] == [midnight]


@pytest.mark.parametrize(
    ("zone", "hour", "day"),
    [
        ("Asia/Kolkata", "2026-03-29T01:00:00+05:30", "2026-03-29T00:00:00+05:30"),
        ("Asia/Kathmandu", "2026-03-29T02:00:00+05:45", "2026-03-29T00:00:00+05:45"),
        ("America/New_York", "2026-03-28T16:00:00-04:00", "2026-03-28T00:00:00-04:00"),
        ("Mars/Crater", "2026-03-28T20:00:00Z", "2026-03-28T00:00:00Z"),
        ("../etc/passwd", "2026-03-28T20:00:00Z", "2026-03-28T00:00:00Z"),
    ],
)
def test_hours_and_days_of_a_time_zone(zone: str, hour: str, day: str) -> None:
    """For a browser in India, hours of a server in Europe began half an hour apart."""
    begin = CountSlots("hour", "utc", zone), CountSlots("day", "utc", zone)
    quarter = SlotCount(1774728900, LABEL, 1)  # 2026-03-28T20:15:00Z
    shown = [slots.iso(slots.rows([quarter])[0].time) for slots in begin]
    assert shown == [hour, day]


@pytest.mark.parametrize("zone", ["Asia/Calcutta", "Asia/Katmandu", "Asia/Rangoon"])
def test_names_that_browsers_say_are_known_without_the_systems_list(zone: str) -> None:
    """Browsers say older names, which newer Debian and Ubuntu leave out: the package tzdata has
    them, and is part of the extra `live`."""
    zoneinfo.reset_tzpath([])
    try:
        zoneinfo.ZoneInfo.clear_cache(only_keys=[zone])
        slots = CountSlots("hour", "utc", zone)
    finally:
        zoneinfo.reset_tzpath()
    assert slots.iso(0)[19:] not in ("Z", "+00:00")


# -- totals ---------------------------------------------------------------------------------------


def test_totals_are_metrics(made: ServerParts, client: TestClient) -> None:
    odd = EventLabel('a "door"\\\n', "lawn", "enter", "", "caf\ud800")
    for _ in range(3):
        made.backend.totals.write(result_with(odd, LABEL))
    found = {
        tuple(sample.labels[each] for each in ("camera", "area", "kind", "direction", "class")): (
            sample.value
        )
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "trackline_events_total"
    }
    assert found == {(*odd[:4], "caf?"): 3, LABEL: 3}


def test_totals_stay_bounded_and_complete() -> None:
    """A detector with a new class name for each object must not fill Prometheus."""
    totals = EventTotals()
    for number in range(MAX_LABELS + 50):
        totals.write(result_with(EventLabel(CAMERAS[0], "", "enter", "", f"class {number}")))
    now = totals.now()
    assert len(now) == MAX_LABELS + 1
    assert now[EventLabel("", "", "enter", "", "")] == 50
    assert sum(now.values()) == MAX_LABELS + 50
