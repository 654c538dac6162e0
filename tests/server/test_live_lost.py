"""What is told of a camera while it is lost: when it is tried again, and what nobody can know."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.fakes import FakeDetector, boxes
from support.live_fakes import Camera, Live, until

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.data import Detections, Frame
from pipeline.events.zones.schema import CameraZones, ZonesFile
from pipeline.events.zones.zones_file import save_areas
from pipeline.server.live.backend import LiveBackend
from pipeline.server.live.config_changes import in_force
from pipeline.server.live.events import RecentEvents
from pipeline.server.live.zones import ZoneEditor
from pipeline.server.metrics import Metrics
from pipeline.server.viewers.hub import Hub
from pipeline.trackers import sort

pytestmark = pytest.mark.timeout(60)

ALL = {"name": "all", "points": [[0, 0], [12, 0], [12, 8], [0, 8]]}


class Somebody(FakeDetector):
    """Finds one object in every picture."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        super().detect(frames)
        return [boxes([3, 1, 9, 6]) for _ in frames]


class Watched:
    """A run of cameras with a zone each, as the live server asks for it."""

    def __init__(self, folder: Path, *cameras: Camera, **told: Any) -> None:
        path = folder / "zones.yaml"
        areas = CameraZones.model_validate({"zones": [ALL], "settle_s": 0, "gone_s": 1})
        save_areas(path, ZonesFile(cameras={camera.name: areas for camera in cameras}))
        hub, book, events = Hub(), ZoneEditor(path), RecentEvents()
        self.hub, self.events = hub, events
        options = sort.Options(confirm_s=0)
        told = {"detector": Somebody(batch_size=8), **told}
        self.live = Live(
            *cameras, new_tracker=lambda: sort.build(options), new_watcher=book.new_watcher,
            sinks={"page": hub, "recent": events}, **told,
        )  # fmt: skip
        state = in_force(resolve_config(Config()), None)
        self.backend = LiveBackend(self.live.pipeline, hub, book, events, state)
        self._metrics = Metrics(self.backend, hub, lambda: 0)

    def camera(self, name: str) -> Any:
        return next(each for each in self.backend.cameras() if each.name == name)

    def inside(self, name: str) -> int | None:
        return self.backend.inside(name).get("all", -1)

    def rows(self, name: str) -> list[tuple[str, int | None]]:
        return [(each.class_name, each.count) for each in self.backend.counts(name, 1).inside]

    def figures(self) -> str:
        return self._metrics.text().decode()


def test_who_is_in_a_zone_of_a_lost_camera_is_unknown_until_it_is_back(tmp_path: Path) -> None:
    """The number of the last picture stood there for as long as the camera was off."""
    door, yard = Camera("door"), Camera("yard")
    run = Watched(tmp_path, door, yard, retry_first_s=0.01, retry_longest_s=0.02)
    with run.live as live:
        until(lambda: run.inside("door") == 1 and run.inside("yard") == 1)
        assert [count for _, count in run.rows("door")] == [1]
        assert run.camera("door").tracks == 1
        assert 'trackline_zone_inside{area="all",camera="door"} 1.0' in run.figures()

        door.plugged = False
        until(lambda: live.status("door").state == "lost")
        assert run.inside("door") is None
        assert run.rows("door") == [("", None)]
        assert run.camera("door").tracks is None
        figures = run.figures()
        for name in ("trackline_zone_inside", "trackline_tracks"):
            lines = [line for line in figures.splitlines() if line.startswith(f"{name}{{")]
            assert len(lines) == 1
            assert 'camera="yard"' in lines[0]
        assert run.inside("yard") == 1

        door.plugged = True
        until(lambda: run.inside("door") == 1)
        assert run.camera("door").tracks == 1


def test_a_camera_that_was_never_there_has_unknown_zones(tmp_path: Path) -> None:
    """Nobody inside is a statement, too."""
    door = Camera("door")
    door.plugged = False
    run = Watched(tmp_path, door, Camera("yard"), retry_first_s=0.01)
    with run.live as live:
        until(lambda: live.status("door").state == "lost")
        assert run.inside("door") is None
        assert run.rows("door") == [("", None)]


def test_a_lost_camera_says_when_it_is_tried_again(tmp_path: Path) -> None:
    """Whoever mends a cable wants to know whether to wait."""
    door = Camera("door")
    run = Watched(tmp_path, door, Camera("yard"), retry_first_s=20, retry_longest_s=20)
    with run.live as live:
        until(lambda: run.inside("door") == 1)
        assert (run.camera("door").next_try, run.camera("door").next_try_in_s) == (None, None)
        door.plugged = False
        until(lambda: live.status("door").state == "lost")
        told = run.camera("door")
        assert 1 < told.next_try_in_s <= 24  # 20 s, more or less a fifth
        assert told.next_try == pytest.approx(time.time() + told.next_try_in_s, abs=1)
        until(lambda: run.camera("door").next_try_in_s < told.next_try_in_s, "it does not run down")
