"""Routes of visits and events: lists, pictures, clips, counts and deliveries."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from fastapi.responses import FileResponse

from pipeline.events.store.records import EventQuery, StoredVisit
from pipeline.server.context import AppContext, Responses
from pipeline.server.count_history import MAX_ROWS, Bucket, Clock, CountSlots
from pipeline.server.query_values import Cursor, Seconds, Time, cursor_of, place_of
from pipeline.server.schemas import (
    ClipBoxes,
    CountHistory,
    Counts,
    Deliveries,
    Events,
    HistoryCount,
    Problem,
    Visits,
)

MAX_EVENTS = 1000
_MAX_ID = 2**63 - 1
_Text = Annotated[str | None, Query(max_length=200)]
_Number = Annotated[int, Path(ge=1, le=_MAX_ID)]
_INVALID: Responses = {422: {"model": Problem}, 503: {"model": Problem}}


def _content(media_type: str) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}


_CLIP: Responses = {
    200: _content("video/mp4"),
    206: {"description": "The requested part.", **_content("video/mp4")},
    400: {"model": Problem},
    404: {"model": Problem},
    416: {"model": Problem},
    **_INVALID,
}


def _happened(
    camera: _Text = None,
    kind: _Text = None,
    class_name: Annotated[str | None, Query(max_length=200, alias="class")] = None,
    zone: _Text = None,
    line: _Text = None,
    area: Annotated[
        str | None, Query(max_length=200, description="A zone or a line; empty: whole picture.")
    ] = None,
) -> EventQuery:
    """Return what is asked of what happened where."""
    return EventQuery(
        camera=camera, kind=kind, class_name=class_name, zone=zone, line=line, area=area
    )


def _query(
    happened: Annotated[EventQuery, Depends(_happened)],
    since: Time = None,
    until: Time = None,
    min_s: Seconds = None,
    max_s: Seconds = None,
    cursor: Cursor = None,
) -> EventQuery:
    """Return what is asked, without a limit."""
    place = place_of(cursor)
    return replace(happened, since=since, until=until, min_s=min_s, max_s=max_s, before=place)


_Query = Annotated[EventQuery, Depends(_query)]


def _history(
    happened: Annotated[EventQuery, Depends(_happened)],
    since: Time = None,
    until: Time = None,
    bucket: Bucket = "hour",
    clock: Annotated[Clock, Query(description="Time zone in which hours and days begin.")] = "utc",
    time_zone: Annotated[
        str,
        Query(max_length=100, description="Asia/Kolkata; takes precedence over `clock` if known."),
    ] = "",
) -> tuple[CountSlots, EventQuery]:
    """Return what to count, and the hours or days to sum by."""
    slots = CountSlots(bucket, clock, time_zone)
    return slots, slots.bounded(replace(happened, since=since, until=until), time.time())


_History = Annotated[tuple[CountSlots, EventQuery], Depends(_history)]


def visit_routes(context: AppContext) -> APIRouter:
    """Return the routes of visits and their pictures."""
    router = APIRouter(tags=["program"])
    backend = context.backend

    @router.get("/api/visits", responses=_INVALID)
    def visits(query: _Query, limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 100) -> Visits:
        """Return visits, those that began last first: all events of a track are one.

        `since` and `until` refer to its start, `min_s` and `max_s` to its length. One of its events
        must match camera, class, kind and zone; with `zone` and `line` another one must be at the
        line.
        """
        found = list(backend.visits.query(replace(query, limit=limit)))
        more = len(found) == limit
        return Visits(
            visits=found, next=cursor_of(found[-1].started, found[-1].id) if more else None
        )

    @router.get("/api/visits/{visit_id}", responses={404: {"model": Problem}, **_INVALID})
    def visit(visit_id: _Number) -> StoredVisit:
        """Return one visit."""
        found = backend.visits.get(visit_id)
        if found is None:
            raise HTTPException(404, "there is no such visit")
        return found

    @router.head("/api/visits/{visit_id}/thumbnail.jpg", include_in_schema=False)
    @router.get(
        "/api/visits/{visit_id}/thumbnail.jpg",
        response_class=Response,
        responses={200: _content("image/jpeg"), 404: {"model": Problem}, **_INVALID},
    )
    def thumbnail(visit_id: _Number) -> Response:
        """Return the picture of a visit's best moment."""
        path: File | None = backend.visits.thumbnail(visit_id)
        # Read at once: a better picture may replace the file at any time, and a FileResponse sends
        # the length of one with the bytes of the other.
        try:
            jpeg = b"" if path is None else path.read_bytes()
        except OSError:
            jpeg = b""
        if not jpeg:
            raise HTTPException(404, "there is no picture of this visit (yet)")
        return Response(jpeg, media_type="image/jpeg")

    return router


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

    def history_rows(slots: CountSlots, wanted: EventQuery) -> list[HistoryCount]:
        found = backend.counts_by_slot(wanted, slots.slot_s)
        if len(found) > MAX_ROWS:
            raise HTTPException(
                422, f"more than {MAX_ROWS} rows: ask for less time, one camera, or days"
            )
        return slots.rows(found)

    @router.get("/api/counts/history", responses=_INVALID)
    def count_history(history: _History) -> CountHistory:
        """Return counts of events by hour or day, of the last day or 30 days without `since`.

        Hours and days begin in UTC, in the server's time zone (`clock=local`), or in `time_zone`.
        """
        return CountHistory(counts=history_rows(*history))

    @router.get(
        "/api/counts.csv",
        response_class=Response,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **_INVALID},
    )
    def counts_csv(history: _History) -> Response:
        """Return the same as a table: time (ISO 8601), camera, area, kind, ..., count."""
        headers = {"content-disposition": 'attachment; filename="counts.csv"'}
        return Response(
            history[0].csv_of(history_rows(*history)), media_type="text/csv", headers=headers
        )

    @router.get("/api/events", responses=_INVALID)
    def events(
        query: _Query,
        visit: Annotated[int | None, Query(ge=1, le=_MAX_ID)] = None,
        before_id: Annotated[int | None, Query(ge=1, le=_MAX_ID)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 100,
    ) -> Events:
        """Return events, the newest first; `min_s` and `max_s` are about stays in zones.

        `cursor` goes on behind an earlier answer by time, `before_id` in the order of storing.
        With filters use `cursor`: `before_id` then reads every event that matches.
        """
        found = list(backend.events(replace(query, visit=visit, before_id=before_id, limit=limit)))
        more = len(found) == limit
        return Events(events=found, next=cursor_of(found[-1].time, found[-1].id) if more else None)

    @router.head("/api/events/{event_id}/clip.mp4", include_in_schema=False)
    @router.get(
        "/api/events/{event_id}/clip.mp4",
        response_class=FileResponse,
        responses=_CLIP,
    )
    def event_clip(event_id: _Number) -> FileResponse:
        """Return the video of an event; parts of it by Range."""
        path: File | None = backend.clip(event_id)
        if path is None or not path.is_file():
            raise HTTPException(404, "there is no clip of this event (yet)")
        return FileResponse(path, media_type="video/mp4")

    @router.get("/api/events/{event_id}/boxes.json", responses=_INVALID)
    def event_boxes(event_id: _Number) -> ClipBoxes | None:
        """Return the boxes of the tracks in an event's clip, null where none are kept."""
        found = backend.visits.boxes(event_id)
        return None if found is None else ClipBoxes.model_validate(found)

    @router.get("/api/deliveries")
    async def deliveries() -> Deliveries:
        """Return the status of the event store and of each delivery target."""
        return backend.deliveries()

    return router
