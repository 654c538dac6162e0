"""Routes of where objects were over days: grid, picture, paths."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from starlette.testclient import TestClient
from support.fake_backend import CAMERAS, ServerParts

from pipeline.core.data import Float32
from pipeline.events.positions import COLUMNS, ROWS, no_seconds
from pipeline.events.store.positions import VisitPath
from pipeline.events.store.records import EventQuery


def asked(made: ServerParts, monkeypatch: pytest.MonkeyPatch) -> list[EventQuery]:
    """Have the log know one warm place and a path; return what it is asked."""
    queries: list[EventQuery] = []

    def positions(wanted: EventQuery) -> Float32:
        queries.append(wanted)
        seconds = no_seconds()
        seconds[18, 16] = 60.0
        return seconds

    def paths(wanted: EventQuery) -> list[VisitPath]:
        queries.append(wanted)
        return [VisitPath(7, "person", [(0.25, 0.5), (0.5, 0.75)])]

    monkeypatch.setattr(made.backend.visits, "positions", positions)
    monkeypatch.setattr(made.backend.visits, "paths", paths)
    return queries


def test_grid_picture_and_paths(
    made: ServerParts, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = asked(made, monkeypatch)
    where = "/api/cameras/yard"
    about = "since=1970-01-02T00:00:00Z&until=90000&class=person"
    grid = client.get(f"{where}/heatmap?{about}").json()
    assert (grid["columns"], grid["rows"], len(grid["seconds"])) == (COLUMNS, ROWS, ROWS * COLUMNS)
    assert grid["seconds"][18 * COLUMNS + 16] == 60.0
    assert client.get(f"{where}/paths?{about}&limit=9").json()["paths"] == [
        {"visit": 7, "class_name": "person", "points": [[0.25, 0.5], [0.5, 0.75]]}
    ]
    wanted = EventQuery(camera="yard", class_name="person", since=86400, until=90000, limit=9)
    assert queries == [replace(wanted, limit=100), wanted]
    client.get(f"{where}/heatmap")
    assert queries[-1].until == pytest.approx(time.time(), abs=60)
    assert queries[-1].until - queries[-1].since == pytest.approx(86400)  # type: ignore[operator]
    assert client.get(f"{where}/paths?limit=1000").status_code == 422


def test_the_picture_is_warm_where_objects_were(
    made: ServerParts, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the newest picture, at most 1280 wide; over grey for a camera without one."""
    asked(made, monkeypatch)
    made.show(60, CAMERAS[0], size=(1440, 2560))
    for camera, size, dark in ((CAMERAS[0], (720, 1280), 60), ("gone", (540, 960), 96)):
        answer = client.get(f"/api/cameras/{camera}/heatmap.jpg")
        assert answer.headers["content-type"] == "image/jpeg"
        image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[:2] == size
        assert image[-5, -5].tolist() == pytest.approx([dark] * 3, abs=4)
        warm = image[round(size[0] * 18.5 / ROWS), round(size[1] * 16.5 / COLUMNS)]
        assert int(warm.max()) - int(warm.min()) > 60


def test_without_a_database_there_is_no_time_anywhere(client: TestClient) -> None:
    assert not any(client.get("/api/cameras/yard/heatmap").json()["seconds"])
    assert client.get("/api/cameras/yard/paths").json() == {"paths": []}
