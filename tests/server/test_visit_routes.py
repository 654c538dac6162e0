"""Routes of visits: lists, filters, cursors, pictures; the log of a run without a database."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient
from support.event_results import event as happened
from support.event_results import result
from support.fake_backend import ServerParts

from pipeline.events.store.records import EventQuery, EventRecord
from pipeline.server.live.event_log import RecentEvents
from pipeline.server.query_values import cursor_of, place_of, unix_seconds
from pipeline.server.visit_log import MAX_RECENT, RecentVisits


@pytest.fixture
def made(tmp_path: Path) -> ServerParts:
    return with_scene(ServerParts(tmp_path))


@pytest.fixture(scope="module")
def module_made(tmp_path_factory: pytest.TempPathFactory) -> ServerParts:
    return with_scene(ServerParts(tmp_path_factory.mktemp("server")))


def with_scene(parts: ServerParts) -> ServerParts:
    parts.backend.visits = log_of(*SCENE)
    return parts


def event(at: float, track: int, kind: str = "enter", **values: object) -> EventRecord:
    usual = {
        "time": 1.7e9 + at, "kind": kind, "camera": "gate", "area": "lawn", "track_id": track,
        "class_name": "person", "pts_s": at, "visit": f"track {track}",
    }  # fmt: skip
    return EventRecord(**{**usual, **values})  # type: ignore[arg-type]


SCENE = (
    event(0, 1),
    event(9, 1, "leave", dwell_s=9.0),
    event(20, 2, "cross", area="gate", direction="in", class_name="car"),
    event(30, 3, "appeared", area="", camera="yard"),
    event(31, 3, "cross", area="gate", direction="out", camera="yard"),
    event(32, 3, camera="yard"),
)


def log_of(*records: EventRecord) -> RecentVisits:
    log = RecentVisits()
    for number, record in enumerate(records, 1):
        log.add(record, number)
    return log


@pytest.mark.parametrize(
    ("query", "tracks"),
    [
        ("", [3, 2, 1]),
        ("camera=yard", [3]),
        ("class=car", [2]),
        ("kind=appeared", [3]),
        ("zone=lawn", [3, 1]),
        ("line=gate", [3, 2]),
        ("line=lawn", []),
        ("zone=lawn&line=gate", [3]),
        ("area=", [3]),
        ("since=1700000020", [3, 2]),
        ("until=1700000020", [1]),
        ("since=2023-11-14T22:13:40Z", [3, 2]),
        ("since=2023-11-15T00:13:40%2B02:00", [3, 2]),
        ("since=2023-11-15T00:13:40+02:00", [3, 2]),
        ("until=2023-11-14T22:13:40", [1]),
        ("min_s=1", [3, 1]),
        ("max_s=2", [3, 2]),
        ("min_s=1&class=car", []),
    ],
)
def test_visits_are_filtered(module_client: TestClient, query: str, tracks: list[int]) -> None:
    answer = module_client.get(f"/api/visits?{query}")
    assert answer.status_code == 200, answer.text
    assert [one["track_id"] for one in answer.json()["visits"]] == tracks


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday", "since=inf", "since=nan", "until=1e300", "since=2023-13-01",
        "min_s=-1", "max_s=much", "limit=0", "limit=1001", "cursor=17", "cursor=1_2",
        "cursor=1.000000000_x", f"camera={'x' * 201}", "since=",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["visits", "events"])
def test_values_that_are_none_are_422_and_one_line(
    module_client: TestClient, path: str, query: str
) -> None:
    answer = module_client.get(f"/api/{path}?{query}")
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    assert "\n" not in detail


def test_pages_are_joined_by_a_cursor(client: TestClient) -> None:
    found, cursor = [], ""
    for _ in range(3):
        answer = client.get(f"/api/visits?limit=1{cursor}").json()
        found += [one["track_id"] for one in answer["visits"]]
        cursor = f"&cursor={answer['next']}"
    assert found == [3, 2, 1]
    assert client.get(f"/api/visits?limit=1{cursor}").json() == {"visits": [], "next": None}
    assert client.get("/api/visits?limit=4").json()["next"] is None


def test_a_visit_by_its_number(client: TestClient) -> None:
    visit = client.get("/api/visits/3").json()
    assert (visit["track_id"], visit["seconds"], visit["ended"]) == (3, 2.0, None)
    assert [one["kind"] for one in visit["touched"]] == ["appeared", "cross", "enter"]
    assert client.get("/api/visits/99").status_code == 404
    assert client.get("/api/visits/0").status_code == 422


def test_a_thumbnail_is_a_picture_or_404(made: ServerParts, client: TestClient) -> None:
    assert client.get("/api/visits/3/thumbnail.jpg").status_code == 404
    file = Path(made.backend.clips or "") / "best.jpg"
    file.write_bytes(b"\xff\xd8picture")
    made.backend.visits.thumbnail = lambda number: file  # type: ignore[method-assign]
    answer = client.get("/api/visits/3/thumbnail.jpg")
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", b"\xff\xd8picture")
    file.unlink()  # deleted, or about to be replaced, since its path was asked for
    assert client.get("/api/visits/3/thumbnail.jpg").status_code == 404


def test_the_boxes_of_a_clip(made: ServerParts, client: TestClient) -> None:
    assert client.get("/api/events/1/boxes.json").json() is None
    boxes = {"size": [64, 48], "classes": {"1": "person"}, "frames": [[0.1, [[1, 2, 3, 4, 5.5]]]]}
    made.backend.visits.boxes = lambda event_id: boxes  # type: ignore[method-assign]
    assert client.get("/api/events/1/boxes.json").json() == boxes


@pytest.mark.parametrize("time", [0.0, 1.7e9, 1764465210.1234567, 1764465210.9999998])
def test_a_cursor_is_exact(time: float) -> None:
    assert place_of(cursor_of(time, 17)) == (time, 17)


def test_times_that_people_write() -> None:
    assert unix_seconds("2026-01-31") == unix_seconds("2026-01-31T00:00:00+00:00")
    assert unix_seconds("1e3") == 1000


# -- the log in memory ----------------------------------------------------------------------------


def test_a_run_without_a_database_has_visits_too() -> None:
    log = RecentEvents()
    _, seen = log.visits.after(None, 10)
    log.write(result(0, happened(0)))
    for index in range(1, 50):
        log.write(result(index))
    log.write(result(50, happened(50, "leave", dwell_s=5.0)))
    (visit,) = log.visits.query(EventQuery())
    assert (visit.seconds, visit.ended, visit.events, visit.event_id) == (5.0, None, 2, 1)
    changed, seen = log.visits.after(seen, 10)
    assert [one.id for one in changed] == [visit.id]
    log.write(result(200))
    assert log.visits.after(seen, 10)[0] == [], "it is still seen"
    assert log.visits.get(visit.id) == visit
    assert log.visits.thumbnail(visit.id) is None


def test_memory_is_bounded() -> None:
    log = log_of(*(event(n, n) for n in range(1, MAX_RECENT + 10)))
    assert len(log.query(EventQuery(limit=5000))) == MAX_RECENT
    assert log.get(1) is None
