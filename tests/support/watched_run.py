"""A run of cameras with a zone each, as the live server sees it, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.fakes import FakeDetector, boxes
from support.live_fakes import Camera, Live

from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.data import Detections, Frame
from pipeline.events.zones.schema import CameraZones, ZonesFile
from pipeline.events.zones.zones_file import save_zones
from pipeline.server.live.config_changes import running_config
from pipeline.server.live.event_log import RecentEvents
from pipeline.server.live.pipeline_backend import PipelineBackend
from pipeline.server.live.zone_editor import ZoneEditor
from pipeline.server.metrics import Metrics
from pipeline.server.viewers.hub import Hub
from pipeline.trackers import sort

ALL = {"name": "all", "points": [[0, 0], [12, 0], [12, 8], [0, 8]]}


class OneObjectDetector(FakeDetector):
    """Detects one object in every picture."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        super().detect(frames)
        return [boxes([3, 1, 9, 6]) for _ in frames]


class WatchedRun:
    """A run of cameras with a zone each, with the backend and the metrics of the live server."""

    def __init__(self, folder: Path, *cameras: Camera, **options: Any) -> None:
        path = folder / "zones.yaml"
        zones = CameraZones.model_validate({"zones": [ALL], "settle_s": 0, "gone_s": 1})
        save_zones(path, ZonesFile(cameras={camera.name: zones for camera in cameras}))
        hub, zone_editor, events = Hub(), ZoneEditor(path), RecentEvents()
        self.hub, self.events = hub, events
        tracker = sort.Options(confirm_s=0)
        options = {"detector": OneObjectDetector(batch_size=8), **options}
        self.live = Live(
            *cameras, new_tracker=lambda: sort.build(tracker), new_watcher=zone_editor.new_watcher,
            sinks={"page": hub, "recent": events, "totals": events.totals}, **options,
        )  # fmt: skip
        state = running_config(resolve_config(Config()), None)
        self.backend = PipelineBackend(self.live.pipeline, hub, zone_editor, events, state)
        self._metrics = Metrics(self.backend, hub, lambda: 0)

    def camera(self, name: str) -> Any:
        return next(each for each in self.backend.cameras() if each.name == name)

    def inside(self, name: str) -> int | None:
        return self.backend.inside(name).get("all", -1)

    def rows(self, name: str) -> list[tuple[str, int | None]]:
        return [(each.class_name, each.count) for each in self.backend.counts(name, 1).inside]

    def figures(self) -> str:
        return self._metrics.text().decode()
