"""Routes of positions over days: a heat map as figures and as a picture, and paths."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Query, Response

from pipeline.core.data import Image
from pipeline.core.heatmap import paint_grid
from pipeline.core.scaling import averaged
from pipeline.events.positions import COLUMNS, ROWS
from pipeline.events.store.records import EventQuery
from pipeline.server.context import AppContext, Responses
from pipeline.server.query_values import Time
from pipeline.server.routes.cameras import JPEG, CameraName
from pipeline.server.schemas import ApiModel, Problem

MAX_PATHS = 300
_DEFAULT_S = 24 * 3600.0
_MAX_WIDTH = 1280
_QUALITY = 82
_NO_PICTURE = 96
_INVALID: Responses = {422: {"model": Problem}, 503: {"model": Problem}}


class HeatGrid(ApiModel):
    """Seconds that objects spent in each cell of a camera's picture, row by row from the top."""

    columns: int
    rows: int
    seconds: list[float]


class Path(ApiModel):
    """Path of a visit's object in its clip."""

    visit: int
    class_name: str
    points: list[tuple[float, float]]
    """x and y as shares of the picture's width and height, in order of time."""


class Paths(ApiModel):
    """Paths of visits with a clip, spread over the requested time."""

    paths: list[Path]


def _wanted(
    name: CameraName,
    since: Time = None,
    until: Time = None,
    class_name: Annotated[str | None, Query(max_length=200, alias="class")] = None,
) -> EventQuery:
    """Return what is asked: the last 24 hours without `since`."""
    end = time.time() if until is None else until
    begin = end - _DEFAULT_S if since is None else since
    return EventQuery(camera=name, class_name=class_name, since=begin, until=end)


_Wanted = Annotated[EventQuery, Depends(_wanted)]


def position_routes(context: AppContext) -> APIRouter:
    """Return the routes of heat maps and paths."""
    router = APIRouter(tags=["cameras"])
    backend = context.backend

    @router.get("/api/cameras/{name:path}/heatmap", responses=_INVALID)
    def heatmap(wanted: _Wanted) -> HeatGrid:
        """Return how long objects were at each place, in whole hours.

        The last 24 without `since`.
        """
        seconds = backend.visits.positions(wanted)
        return HeatGrid(
            columns=COLUMNS, rows=ROWS, seconds=[round(one, 3) for one in seconds.ravel().tolist()]
        )

    @router.get(
        "/api/cameras/{name:path}/heatmap.jpg",
        response_class=Response,
        responses={**JPEG, **_INVALID},
    )
    def heatmap_picture(name: CameraName, wanted: _Wanted) -> Response:
        """Return the same over the camera's newest picture, or over grey if there is none."""
        shown = context.hub.latest(name)
        image = None if shown is None else shown.result.frame.image
        return Response(
            _jpeg(paint_grid(_background(image), backend.visits.positions(wanted))),
            media_type="image/jpeg",
        )

    @router.get("/api/cameras/{name:path}/paths", responses=_INVALID)
    def paths(wanted: _Wanted, limit: Annotated[int, Query(ge=1, le=MAX_PATHS)] = 100) -> Paths:
        """Return paths of visits that have a clip, each as long as the clip of its first event."""
        found = backend.visits.paths(replace(wanted, limit=limit))
        return Paths(
            paths=[
                Path(visit=one.visit, class_name=one.class_name, points=one.points) for one in found
            ]
        )

    return router


def _background(image: Image | None) -> Image:
    """Return a picture to paint on, at most 1280 pixels wide."""
    if image is None:
        return np.full((540, 960, 3), _NO_PICTURE, np.uint8)
    height, width = image.shape[:2]
    if width <= _MAX_WIDTH:
        return image
    return averaged(image, (max(round(height * _MAX_WIDTH / width), 1), _MAX_WIDTH))


def _jpeg(image: Image) -> bytes:
    import cv2

    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
