"""Routes of events: the list, counts, clips and deliveries."""

from __future__ import annotations

from pathlib import Path as File
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import FileResponse

from pipeline.events.store.records import EventQuery
from pipeline.server.context import AppContext, Responses
from pipeline.server.schemas import Counts, Deliveries, Events, Problem

MAX_EVENTS = 1000
_MAX_ID = 2**63 - 1
_Text = Annotated[str | None, Query(max_length=200)]
_INVALID: Responses = {422: {"model": Problem}, 503: {"model": Problem}}


def event_routes(context: AppContext) -> APIRouter:
    """Return the routes of events, counts, clips and deliveries."""
    router = APIRouter(tags=["program"])
    backend = context.backend

    @router.get("/api/counts", responses=_INVALID)
    def counts(
        camera: _Text = None,
        hours: Annotated[float, Query(gt=0, le=24 * 366, allow_inf_nan=False)] = 24,
    ) -> Counts:
        """Return counts of events in the last hours, by camera, zone or line, kind and class."""
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
        """Return events, the newest first; `before_id` goes on from an earlier answer."""
        query = EventQuery(
            camera=camera,
            kind=kind,
            class_name=class_name,
            area=area,
            before_id=before_id,
            limit=limit,
        )
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
        """Return the video of an event; parts of it by Range."""
        path: File | None = backend.clip(event_id)
        if path is None or not path.is_file():
            raise HTTPException(404, "there is no clip of this event (yet)")
        return FileResponse(path, media_type="video/mp4")

    @router.get("/api/deliveries")
    async def deliveries() -> Deliveries:
        """Return the status of the event store and of each delivery target."""
        return backend.deliveries()

    return router
