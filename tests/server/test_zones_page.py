"""Zones drawn on one picture: what the page gets, what the file gets, and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

import httpx

from pipeline.core.data import Frame
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.zones_file import load_zones
from pipeline.server.live.zone_editor import ZoneEditor
from pipeline.server.zones_page import Still, StillBackend, StillPage, misfit

BROWSER = {"X-Trackline": "1"}
GATE = {"name": "gate", "points": [[10, 10], [90, 10], [90, 50]]}
OTHERS = """
cameras:
  yard: {lines: [{name: kerb, points: [[0, 0], [9, 9]]}]}
  a/b c: {settle_s: 0.5, zones: [{name: old, points: [[0, 0], [9, 0], [9, 9]]}]}
"""


class Serving:
    """A page that is served by a thread of its own; `saved` is what it wrote."""

    def __init__(self, path: Path) -> None:
        frame = Frame(np.full((60, 100, 3), 90, np.uint8), "a/b c", 0, 0.0, 0.0)
        still = Still(frame, "a/b c")
        self.saved: list[CameraZones] = []
        self.page = StillPage(still, StillBackend(still, ZoneEditor(path), self.saved.append), 0)
        self.stop = threading.Event()
        self.is_done: bool | None = None
        self.started = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.url = self.page.address.partition("/?")[0]

    def _serve(self) -> None:
        self.is_done = self.page.serve(self.stop.is_set, self.started.set)


@contextmanager
def serving(path: Path) -> Iterator[tuple[Serving, httpx.Client]]:
    one = Serving(path)
    one.thread.start()
    assert one.started.wait(60)
    try:
        with httpx.Client(base_url=one.url, timeout=60) as client:
            yield one, client
    finally:
        one.stop.set()
        one.thread.join(60)


@pytest.mark.slow
def test_it_shows_the_picture_and_writes_the_file(tmp_path: Path) -> None:
    """Other cameras, and what the page does not know of this one, stay as they were."""
    path = tmp_path / "zones.yaml"
    path.write_text(OTHERS)
    before = load_zones(path)
    with serving(path) as (one, client):
        assert one.page.address.endswith("/?zones#camera/a%2Fb%20c")
        assert one.page.address.startswith("http://127.0.0.1:")
        (camera,) = client.get("/api/cameras").json()["cameras"]
        assert (camera["name"], camera["width"], camera["height"]) == ("a/b c", 100, 60)
        place = "/api/cameras/a%2Fb%20c"
        assert client.get(f"{place}/snapshot.jpg").content[:2] == b"\xff\xd8"
        assert client.get(f"{place}/zones").json()["zones"][0]["name"] == "old"
        assert client.get("/api/frame").json() == {"duration_s": 0.0, "at_s": 0.0}
        other = client.put("/api/frame", json={"at_s": 1}, headers=BROWSER)
        assert (other.status_code, "no other" in other.text) == (404, True)
        body: dict[str, Any] = {"size": [100, 60], "zones": [GATE]}
        assert client.put(f"{place}/zones", json=body, headers=BROWSER).status_code == 200
        for rest in ("status", "counts", "events", "deliveries", "config"):
            assert client.get(f"/api/{rest}").status_code == 200
        assert client.get("/healthz").json() == {"ok": True, "keeping": True}
    found = load_zones(path)
    assert found.cameras["yard"] == before.cameras["yard"]
    assert found.cameras["a/b c"].settle_s == 0.5
    assert [zone.name for zone in found.cameras["a/b c"].zones] == ["gate"]
    assert one.saved == [found.cameras["a/b c"]]
    assert one.is_done is False


@pytest.mark.slow
def test_done_ends_it_and_only_this_page_may_say_so(tmp_path: Path) -> None:
    """A page of another site must not end the program, nor save a zone."""
    with serving(tmp_path / "zones.yaml") as (one, client):
        foreign = {**BROWSER, "Origin": "http://elsewhere.example"}
        assert client.post("/api/done", headers=foreign).status_code == 403
        assert client.post("/api/done", headers={"Origin": one.url}).status_code == 403
        assert one.thread.is_alive()
        assert client.post("/api/done", headers=BROWSER).status_code == 204
        one.thread.join(60)
    assert one.is_done is True
    assert not (tmp_path / "zones.yaml").exists()


@pytest.mark.slow
def test_a_file_that_broke_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "zones.yaml"
    with serving(path) as (one, client):
        path.write_text("cameras: [")
        body = {"zones": [GATE]}
        answer = client.put("/api/cameras/a%2Fb%20c/zones", json=body, headers=BROWSER)
        assert answer.status_code == 422
        assert "zones.yaml" in answer.json()["detail"]
    assert path.read_text() == "cameras: ["
    assert one.saved == []


@pytest.mark.parametrize(
    ("zones", "words"),
    [
        ({}, None),
        ({"size": [640, 480]}, None),
        ({"size": [100, 60], "zones": [GATE]}, None),
        ({"zones": [GATE]}, None),
        ({"size": [200, 120], "zones": [GATE]}, "drawn on 200x120, this picture is 100x60"),
        ({"lines": [{"name": "far", "points": [[200, 9], [300, 9]]}]}, "line 'far' lies wholly"),
    ],
)
def test_zones_that_do_not_fit_the_picture_are_named(
    zones: dict[str, Any], words: str | None
) -> None:
    found = misfit(CameraZones.model_validate(zones), (100, 60))
    assert (found is None) if words is None else (found is not None and words in found)
