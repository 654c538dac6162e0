"""The program as a whole: events, counts, configuration, health and figures."""

from __future__ import annotations

from pathlib import Path as File
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response
from fastapi.responses import FileResponse, JSONResponse

from pipeline.server import metrics
from pipeline.server.context import AppContext, Responses
from pipeline.server.redact import without_secrets
from pipeline.server.run_backend import EventQuery
from pipeline.server.schemas import Counts, Deliveries, Events, Health, Problem, Status, Tree

MAX_EVENTS = 1000
_MAX_ID = 2**63 - 1
_Text = Annotated[str | None, Query(max_length=200)]
_INVALID: Responses = {422: {"model": Problem}, 503: {"model": Problem}}


def program_routes(site: AppContext) -> APIRouter:
    """Return the routes that belong to no camera."""
    router = APIRouter(tags=["program"])
    backend = site.backend

    @router.get("/api/counts", responses=_INVALID)
    def counts(
        camera: _Text = None,
        hours: Annotated[float, Query(gt=0, le=24 * 366, allow_inf_nan=False)] = 24,
    ) -> Counts:
        """Tell what happened in the last hours, by camera, area, kind and class."""
        return backend.counts(camera, hours)

    @router.get("/api/events", responses=_INVALID)
    def events(
        camera: _Text = None,
        kind: _Text = None,
        class_name: _Text = None,
        area: _Text = None,
        before_id: Annotated[int | None, Query(ge=1, le=_MAX_ID)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 100,
    ) -> Events:
        """Tell events, the newest first; `before_id` goes on from an earlier answer."""
        query = EventQuery(camera, kind, class_name, area, before_id, limit)
        return Events(events=list(backend.events(query)))

    clip: Responses = {
        200: {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}},
        206: {
            "description": "The part that was asked for.",
            "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}},
        },
        400: {"model": Problem},
        404: {"model": Problem},
        416: {"model": Problem},
        **_INVALID,
    }

    @router.head("/api/events/{event_id}/clip.mp4", include_in_schema=False)
    @router.get("/api/events/{event_id}/clip.mp4", response_class=FileResponse, responses=clip)
    def event_clip(event_id: Annotated[int, Path(ge=1, le=_MAX_ID)]) -> FileResponse:
        """Give the video of an event; parts of it by Range."""
        path: File | None = backend.clip(event_id)
        if path is None or not path.is_file():
            raise HTTPException(404, "there is no clip of this event (yet)")
        return FileResponse(path, media_type="video/mp4")

    @router.get("/api/deliveries")
    async def deliveries() -> Deliveries:
        """Tell whether events are kept, what waits for MQTT and webhooks, what they never got."""
        return backend.deliveries()

    @router.get("/api/config")
    def config() -> Tree:
        """Tell the configuration in force, without passwords, tokens and keys."""
        return without_secrets(backend.config())

    @router.get("/api/status")
    async def status() -> Status:
        """Tell how fast the pipeline is, what limits it, and what the configuration file says."""
        return backend.status()

    @router.get("/healthz", response_model=Health, responses={503: {"model": Health}})
    async def healthz() -> Response:
        """Say 200 while the pipeline does its work, else 503. A full disk is told, not a reason."""
        fine, keeping = backend.healthy(), backend.deliveries().keeping
        kept = keeping is None or keeping.problem is None
        return JSONResponse({"ok": fine, "keeping": kept}, 200 if fine else 503)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def figures() -> Response:
        """Give the figures in Prometheus' text format."""
        return Response(site.metrics.text(), media_type=metrics.CONTENT_TYPE)

    return router
