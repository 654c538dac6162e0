"""A program without a pipeline for tests of the live server: two cameras, some events, a clip."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from support.fakes import FakeDetector

from pipeline.classifiers._loaded import LoadedClassifier
from pipeline.config.schema import Config
from pipeline.config.web import WebOptions
from pipeline.core.data import ClassNames, Detections, Float32, Frame, Image, Result, Tracks
from pipeline.core.errors import ConfigError
from pipeline.core.options import PluginChoice
from pipeline.core.packet_tap import PacketTap
from pipeline.core.run_info import RunInfo
from pipeline.detectors.common.loaded_model import LoadedModel
from pipeline.events.alerts.counts import AlertCount
from pipeline.events.alerts.options import AlertOptions
from pipeline.events.alerts.service import AlertService
from pipeline.events.store.records import (
    EventLabel,
    EventQuery,
    EventRecord,
    SlotCount,
    StoredEvent,
)
from pipeline.events.store.store import EventStore
from pipeline.events.zones.schema import CameraZones
from pipeline.server.alert_desk import AlertDesk
from pipeline.server.app import create_app
from pipeline.server.auth import Auth
from pipeline.server.cameras.editor import CameraEditor
from pipeline.server.cameras.trial import CameraTrial, Trial
from pipeline.server.event_totals import EventTotals
from pipeline.server.http_server import HttpServer
from pipeline.server.live.config_file import ConfigFile
from pipeline.server.picture_analyser import PictureAnalyser
from pipeline.server.routes.alerts import alert_routes
from pipeline.server.routes.camera_settings import camera_setting_routes
from pipeline.server.routes.pictures import picture_routes
from pipeline.server.routes.videos import video_routes
from pipeline.server.schemas import (
    Ages,
    Camera,
    ConfigState,
    Count,
    Counts,
    Deliveries,
    Delivery,
    State,
    Status,
    StoreStatus,
    ZonePreview,
)
from pipeline.server.security import SecurityMiddleware
from pipeline.server.upload_networks import UploadNetworks
from pipeline.server.video_jobs import VideoJobs
from pipeline.server.viewers.hub import Hub
from pipeline.server.visit_log import RecentVisits

if TYPE_CHECKING:
    from starlette.testclient import TestClient

TOKEN = "a-token-for-tests-only"
CAMERAS = ("front <b>door</b>", "yard")
ALERTS = AlertOptions.model_validate(
    {
        "webhooks": [{"url": "http://127.0.0.1:9/hook", "name": "house"}],
        "web_push": {"contact": "mailto:me@example.org"},
        "rules": [
            {
                "name": "Yard at night", "cameras": ["yard"], "classes": ["person"],
                "channels": ["webhook", "web_push"],
                "schedule": [{"days": ["mon"], "hours": "22:00-06:00"}],
            }
        ],
    }
)  # fmt: skip
TRIANGLE = {"name": "lawn", "points": [[0, 0], [10, 0], [0, 10]]}


def tracks_of(count: int) -> Tracks:
    """`count` boxes in a row, ids from 1."""
    left = np.arange(count, dtype=np.float32)
    xyxy = np.stack([left, left, left + 8, left + 6], 1)
    ones = np.ones(count, np.float32)
    ids = np.arange(1, count + 1)
    return Tracks(xyxy, ones * 0.9, np.zeros(count, np.int32), ids, ids.astype(np.int32) - 1, ones)


def result_of(camera: str, index: int, tracks: int = 2, size: tuple[int, int] = (48, 64)) -> Result:
    """A result just now, whose picture's brightness encodes the index."""
    image = np.full((*size, 3), index % 200, np.uint8)
    frame = Frame(image, camera, index, index / 10, time.monotonic())
    found = tracks_of(tracks)
    return Result(frame, Detections.empty(), found, {0: "<person>"}, {"infer": 4.0}, age_ms=12.0)


class FakeBackend:
    """What a test wants the server to find."""

    version = "1.2.3"

    def __init__(self, hub: Hub, clips: Path | None = None) -> None:
        self.hub = hub
        self.visits = RecentVisits()
        self.visits.add(
            EventRecord(
                time=1e9, kind="enter", camera=CAMERAS[0], area="lawn", track_id=1,
                class_name="person", visit="1" * 32,
            ),
            1,
        )  # fmt: skip
        self.saved: dict[str, CameraZones] = {}
        self.totals = EventTotals()
        self.slot_counts = [SlotCount(0, EventLabel(CAMERAS[0], "lawn", "enter", "", "person"), 3)]
        self.ok = True
        self.lost: set[str] = set()
        self.taps: dict[str, PacketTap] = {}
        self.refuses: str | None = None
        self.retried: list[str] = []
        self.stored = [self._event(n) for n in range(1, 6)]
        self.clips = clips
        self.kept: StoreStatus | None = StoreStatus(
            waiting=2, since=1e9, problem="events database db: database or disk is full", lost=4,
            lost_at=1e9, clips_lost=5, clip_lost_at=1e9, clip_problem="No space left on device",
        )  # fmt: skip
        self.delivered = [
            Delivery(
                target="webhook:door", address="https://h/***", delivered=7, waiting=12,
                waiting_since=1e9, problem="HTTP 503", failed=3, failed_at=1e9, failure="HTTP 404",
            )
        ]  # fmt: skip
        self.configuration: dict[str, Any] = {
            "sources": [{"kind": "stream", "url": "rtsp://admin:geheim@cam/1?token=geheim"}],
            "web": {"token": "geheim", "token_file": "/etc/token"},
        }

    def cameras(self) -> Sequence[Camera]:
        return [self._camera(name) for name in CAMERAS]

    def queues(self) -> Mapping[str, int]:
        return dict.fromkeys(CAMERAS, 1)

    def packets(self, camera: str) -> PacketTap | None:
        return self.taps.get(camera)

    def inside(self, camera: str) -> Mapping[str, int | None]:
        return {"lawn": None if camera in self.lost else 1}

    def zones(self, camera: str) -> CameraZones:
        return self.saved.get(camera, CameraZones(gone_s=5))

    def save_zones(self, camera: str, areas: CameraZones) -> CameraZones:
        if self.refuses:
            raise ConfigError(self.refuses)
        self.saved[camera] = areas
        return areas

    def preview_zones(self, camera: str, zones: CameraZones) -> ZonePreview:
        about = {"camera": camera, "kind": "enter", "direction": "", "class_name": "person"}
        counts = [Count(**about, area=zone.name, count=4) for zone in zones.zones]
        return ZonePreview(seconds=60, counts=counts)

    def retry_now(self, camera: str) -> None:
        self.retried.append(camera)

    def counts(self, camera: str | None, hours: float) -> Counts:
        about = {"camera": CAMERAS[0], "area": "lawn", "kind": "enter", "direction": ""}
        return Counts(counts=[Count(**about, class_name="person", count=int(hours))], inside=[])

    def counts_by_slot(self, query: EventQuery, slot_s: int) -> Sequence[SlotCount]:
        self.asked_counts = query, slot_s
        return list(self.slot_counts)

    def event_totals(self) -> Mapping[Any, int]:
        return self.totals.now()

    def events(self, query: EventQuery) -> Sequence[StoredEvent]:
        fitting = [e for e in self.stored if query.before_id is None or e.id < query.before_id]
        return list(reversed(fitting))[: query.limit]

    def events_after(self, event_id: int | None, limit: int) -> tuple[Sequence[StoredEvent], int]:
        newest = self.stored[-1].id
        if event_id is None:
            return [], newest
        return [event for event in self.stored if event.id > event_id][:limit], newest

    def clip(self, event_id: int) -> Path | None:
        path = self.clips / f"{event_id}.mp4" if self.clips else None
        return path if path and path.exists() else None

    def deliveries(self) -> Deliveries:
        return Deliveries(keeping=self.kept, deliveries=self.delivered)

    def alert_counts(self) -> Mapping[AlertCount, int]:
        return {AlertCount("Yard at night", "email", "delivered"): 3}

    def config(self) -> Mapping[str, Any]:
        return self.configuration

    def status(self) -> Status:
        state = ConfigState(path="cameras.yaml", loaded_at=1.0, error=None)
        stages = {"infer": {"median_ms": 4.0}}
        return Status(uptime_s=1, fps=10, limited_by="camera", stages=stages, config=state)

    def healthy(self) -> bool:
        return self.ok

    def happen(self) -> None:
        """Store one more event."""
        self.stored.append(self._event(self.stored[-1].id + 1))

    def _event(self, number: int) -> StoredEvent:
        return StoredEvent(
            id=number, uid=f"{number:032x}", time=1e9 + number, kind="enter", camera=CAMERAS[0],
            area="lawn", direction="", track_id=1, class_name="person", dwell_s=0.0, index=number,
            pts_s=0.1, xyxy=(0, 0, 4, 4), clip=number == 1,
        )  # fmt: skip

    def _state(self, name: str, seen: bool) -> State:
        return "lost" if name in self.lost else "live" if seen else "connecting"

    def _camera(self, name: str) -> Camera:
        shown = self.hub.latest(name)
        age = shown.age_ms() if shown else None
        return Camera(
            name=name, state=self._state(name, shown is not None), since=1e9, fps=10.0,
            width=shown.width if shown else None, height=shown.height if shown else None,
            age_ms=Ages(now=age, p50=age, p95=age, p99=age), grabbed=10, delivered=9,
            dropped={"stale": 1}, reconnects=0, error=None, warning=None,
            next_try=None, next_try_in_s=None,
            tracks=len(shown.tracks) if shown and name not in self.lost else None,
        )  # fmt: skip


def _one_and_a_doubtful_one(batch: int, frames: Sequence[Frame]) -> list[Detections]:
    """Two boxes in every picture, of scores 0.9 and 0.2."""
    del batch
    xyxy = np.array([[1, 2, 3, 4], [0, 0, 2, 2]], np.float32)
    score, class_id = np.array([0.9, 0.2], np.float32), np.array([0, 7], np.int32)
    return [Detections(xyxy, score, class_id) for _ in frames]


class FakeClassifier:
    """Sees a minibus in every picture."""

    def open(self) -> ClassNames:
        return {0: "minibus", 1: "teapot"}

    def classify(self, pictures: Sequence[Image]) -> Float32:
        return np.array([[0.8, 0.05]] * len(pictures), np.float32)

    def close(self) -> None:
        """Nothing to close."""


CONFIGURATION = """\
# The yard.
sources:
  - source: rtsp://viewer:geheim@10.0.0.5/1
    name: yard
"""


class FakeTrial(CameraTrial):
    """Connects to nothing: shows a JPEG, or fails as `problem` says."""

    problem: Exception | None = None

    def run(self, options: Mapping[str, Any]) -> Trial:
        self.tried = dict(options)
        if self.problem is not None:
            raise self.problem
        return Trial(b"\xff\xd8jpeg", 640, 360, 12.5)


class ServerParts:
    """A server's parts, not listening."""

    def __init__(
        self, tmp_path: Path, token: str | None = TOKEN, page: Path | None = None, **options: Any
    ) -> None:
        self.options = WebOptions(port=0, **options)
        self.hub = Hub()
        self.hub.open(RunInfo(tmp_path, {}, {}, time.time() - time.monotonic()))
        self.backend = FakeBackend(self.hub, tmp_path)
        self.clock = time.monotonic
        self.server: HttpServer
        self.auth = Auth(self.options, token, lambda: self.clock())
        folder = page or tmp_path / "page"
        if page is None:
            folder.mkdir()
            (folder / "index.html").write_text("<!doctype html><title>Trackline</title>")
            (folder / "app.js").write_text("'use strict';\n" * 200)
        self.detector = FakeDetector(_one_and_a_doubtful_one)
        self.networks = UploadNetworks(
            lambda: LoadedModel(self.detector, {}), lambda: LoadedClassifier(FakeClassifier())
        )
        limits = self.options.uploads
        self.pictures = PictureAnalyser(self.networks, limits)
        config = Config(web=self.options, tracker=PluginChoice(kind="sort", confirm_s=0.0))
        self.videos = VideoJobs(self.networks, config, clock=lambda: self.clock())
        self.config_file = tmp_path / "config" / "cams.yaml"
        self.config_file.parent.mkdir()
        self.config_file.write_text(CONFIGURATION)
        self.cameras = CameraEditor(
            ConfigFile(self.config_file, [], {}),
            lambda old, new: nullcontext(),
            lambda: {0: "person"},
        )
        self.trial = FakeTrial()
        store = EventStore(str(tmp_path / "alerts.db"), tmp_path / "clips")
        self.alerts = AlertService(store, "", lambda names: None, has_pictures=False)
        self.alerts.use(ALERTS)
        self.app: SecurityMiddleware = create_app(
            self.backend, self.hub, self.options, self.auth, folder,
            more=(
                picture_routes(self.pictures, limits), video_routes(self.videos, limits),
                camera_setting_routes(self.cameras, self.trial),
                alert_routes(AlertDesk(lambda: self.alerts)),
            ),
        )  # fmt: skip

    def show(self, index: int, camera: str = CAMERAS[0], **about: Any) -> None:
        """Have the pipeline put out a result."""
        self.hub.write(result_of(camera, index, **about))


def trusted_client(made: ServerParts) -> TestClient:
    """A client of the application that may do everything."""
    from starlette.testclient import TestClient

    bearer = {"authorization": f"Bearer {TOKEN}"}
    return TestClient(made.app, base_url="http://127.0.0.1:8642", headers=bearer)


@contextmanager
def serving(made: ServerParts, **patience: float) -> Iterator[str]:
    """Yield the address of a real server on a port the system chose."""
    server = made.server = HttpServer(made.app, made.options, **patience)
    server.start()
    try:
        yield server.address
    finally:
        made.hub.close()
        server.stop()


@contextmanager
def showing(
    made: ServerParts, per_second: float, cameras: Sequence[str] = CAMERAS[:1]
) -> Iterator[Any]:
    """Put out results from another thread, as a pipeline does; yields the list of its times."""
    end = threading.Event()
    took: list[float] = []

    def work() -> None:
        index = 0
        while not end.wait(1 / per_second):
            began = time.perf_counter()
            for camera in cameras:
                made.show(index, camera)
            took.append(time.perf_counter() - began)
            index += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield took
    finally:
        end.set()
        thread.join()
