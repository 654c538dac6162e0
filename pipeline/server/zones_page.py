"""Editor for zones on one picture: the page's editor on a frame, served until the user is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Response
from pydantic import Field
from starlette.background import BackgroundTask

from pipeline.config.web import WebOptions
from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.errors import PipelineError, StageError
from pipeline.core.packet_tap import PacketTap
from pipeline.events.alerts.counts import AlertCount
from pipeline.events.store.records import EventLabel, EventQuery, SlotCount, StoredEvent
from pipeline.events.zones.schema import CameraZones, outside
from pipeline.server.app import create_app
from pipeline.server.auth import Auth
from pipeline.server.http_server import HttpServer
from pipeline.server.live.zone_editor import ZoneEditor
from pipeline.server.schemas import (
    Ages,
    ApiModel,
    Camera,
    ConfigState,
    Counts,
    Deliveries,
    Status,
    ZonePreview,
)
from pipeline.server.viewers.hub import Hub
from pipeline.server.visit_log import RecentVisits, VisitLog

JPEG_QUALITY = 92
"""JPEG quality of the picture: only one is sent, not fifteen a second."""
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Still:
    """The picture to draw on, and the name of the camera whose zones are drawn."""

    frame: Frame
    camera: str

    @property
    def size(self) -> tuple[int, int]:
        """Return the picture's width and height."""
        height, width = self.frame.shape[:2]
        return width, height


class StillBackend:
    """RunBackend of one camera that shows one picture: only its zones can be changed.

    `on_save` is called on a server thread with the zones just written; `recount` returns what zones
    count over recorded tracks, if there are any.
    """

    def __init__(
        self,
        still: Still,
        editor: ZoneEditor,
        on_save: Callable[[CameraZones], None],
        recount: Callable[[CameraZones], ZonePreview] | None = None,
    ) -> None:
        from pipeline import __version__

        self.version = __version__
        self.visits: VisitLog = RecentVisits()
        self._still = still
        self._editor = editor
        self._on_save = on_save
        self._recount = recount
        self._began = time.time()

    def cameras(self) -> Sequence[Camera]:
        """Return the one camera; its picture has no age."""
        width, height = self._still.size
        return [
            Camera(
                name=self._still.camera, state="live", since=self._began, fps=0.0,
                width=width, height=height, age_ms=Ages(now=None, p50=None, p95=None, p99=None),
                grabbed=1, delivered=1, dropped={}, reconnects=0, error=None, warning=None,
                next_try=None, next_try_in_s=None, tracks=0,
            )
        ]  # fmt: skip

    def queues(self) -> Mapping[str, int]:
        """Return that no frame is waiting."""
        return {self._still.camera: 0}

    def packets(self, camera: str) -> PacketTap | None:
        """Return None: the picture is a still one."""
        del camera
        return None

    def inside(self, camera: str) -> Mapping[str, int | None]:
        """Return no zone: nothing is counted."""
        del camera
        return {}

    def zones(self, camera: str) -> CameraZones:
        """Return the camera's zones and lines as the file has them."""
        return self._editor.zones(camera)

    def save_zones(self, camera: str, zones: CameraZones) -> CameraZones:
        """Write the file, other cameras in it kept; raises OutputError and ConfigError."""
        saved = self._editor.save(camera, zones, lambda *_: None)
        self._on_save(saved)
        return saved

    def preview_zones(self, camera: str, zones: CameraZones) -> ZonePreview:
        """Return what zones and lines count over the recorded tracks, nothing without tracks."""
        del camera
        with suppress(PipelineError):  # zones outside the picture: said when they are saved
            if self._recount is not None:
                return self._recount(zones)
        return ZonePreview(seconds=0, counts=[])

    def retry_now(self, camera: str) -> None:
        """Do nothing: a picture is never lost."""
        del camera

    def counts(self, camera: str | None, hours: float) -> Counts:
        """Return no counts."""
        del camera, hours
        return Counts(counts=[], inside=[])

    def counts_by_slot(self, query: EventQuery, slot_s: int) -> Sequence[SlotCount]:
        """Return no counts."""
        del query, slot_s
        return []

    def alert_counts(self) -> Mapping[AlertCount, int]:
        """Return none: nothing happens."""
        return {}

    def event_totals(self) -> Mapping[EventLabel, int]:
        """Return no totals."""
        return {}

    def events(self, query: EventQuery) -> Sequence[StoredEvent]:
        """Return no events."""
        del query
        return []

    def events_after(self, event_id: int | None, limit: int) -> tuple[Sequence[StoredEvent], int]:
        """Return no events."""
        del limit
        return [], event_id or 0

    def clip(self, event_id: int) -> Path | None:
        """Return None: there are no clips."""
        del event_id
        return None

    def deliveries(self) -> Deliveries:
        """Return no targets."""
        return Deliveries(keeping=None, deliveries=[])

    def config(self) -> Mapping[str, Any]:
        """Return the file that is written; there is no configuration."""
        return {"zones": str(self._editor.path)}

    def status(self) -> Status:
        """Return how long the page has been there."""
        return Status(
            uptime_s=round(time.time() - self._began, 1), fps=0.0, limited_by="", stages={},
            config=ConfigState(path=None, loaded_at=self._began, error=None),
        )  # fmt: skip

    def healthy(self) -> bool:
        """Return True: a picture cannot fail."""
        return True


class FrameChoice(Protocol):
    """Frames of a video by their time."""

    duration_s: float

    def at(self, seconds: float) -> Frame:
        """Return the frame shown at a time; raises SourceError."""


class ShownFrame(ApiModel):
    """Which frame of a video is shown."""

    duration_s: float
    """The video's length; 0 for a picture or camera: there is nothing to choose."""
    at_s: float


class WantedFrame(ApiModel):
    """The time of a frame that is to be shown."""

    at_s: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]


class StillPage:
    """The page with the editor of one picture's zones, on this machine only.

    With `frames` it offers other frames of the same video.
    """

    def __init__(
        self, still: Still, backend: StillBackend, port: int, frames: FrameChoice | None = None
    ) -> None:
        """Listen on `port`, 0 for a free one; raises ConfigError."""
        self._frames = frames
        self._still = still
        self._at_s = still.frame.pts_s
        options = WebOptions(port=port, jpeg_quality=JPEG_QUALITY)
        self._done = threading.Event()
        self._failure: BaseException | None = None
        self._hub = Hub()
        self._show(still.frame)
        own = APIRouter()
        own.add_api_route("/api/done", self._on_done, methods=["POST"], status_code=204)
        own.add_api_route("/api/frame", self._shown, methods=["GET"], response_model=ShownFrame)
        own.add_api_route("/api/frame", self._choose, methods=["PUT"], response_model=ShownFrame)
        app = create_app(backend, self._hub, options, Auth(options, None), more=(own,))
        self._server = HttpServer(app, options)
        self.address = f"{self._server.address}/?zones#camera/{quote(still.camera, safe='')}"

    def serve(self, is_stopped: Callable[[], bool], on_start: Callable[[], None]) -> bool:
        """Serve until the user is done, True, or `is_stopped`, False; raises StageError.

        `on_start` is called once the page can be opened.
        """
        self._server.start(self._fail)
        try:
            on_start()
            while not (is_stopped() or self._done.wait(_LOOK_S)):
                pass
        finally:
            self._hub.close()
            self._server.stop()
        if self._failure is not None:
            shown = f"{type(self._failure).__name__}: {self._failure}"
            raise StageError(f"page: {shown}") from self._failure
        return self._done.is_set()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._done.set()

    def _show(self, frame: Frame) -> None:
        self._hub.write(Result(frame, Detections.empty(), Tracks.empty(), {}))
        self._at_s = frame.pts_s

    def _shown(self) -> ShownFrame:
        """Return which frame is shown, and the video's length."""
        duration_s = 0.0 if self._frames is None else self._frames.duration_s
        return ShownFrame(duration_s=duration_s, at_s=self._at_s)

    def _choose(self, wanted: WantedFrame) -> ShownFrame:
        """Show the video's frame at a time."""
        if self._frames is None:
            raise HTTPException(404, "this is one picture: there is no other")
        try:
            frame = self._frames.at(wanted.at_s)
        except PipelineError as error:
            raise HTTPException(422, str(error)) from None
        self._show(frame.moved(source=self._still.camera))
        return self._shown()

    async def _on_done(self) -> Response:
        """End the program, once this answer has been sent."""
        return Response(status_code=204, background=BackgroundTask(self._done.set))


def misfit(zones: CameraZones, size: tuple[int, int]) -> str | None:
    """Return in one line how existing zones do not fit a picture of `size`, None if they do."""
    if not zones.zones_and_lines:
        return None
    if zones.size is None or zones.size == size:
        return outside(zones, size)
    drawn, now = (f"{width}x{height}" for width, height in (zones.size, size))
    return f"drawn on {drawn}, this picture is {now}: shown scaled, and saved so"
