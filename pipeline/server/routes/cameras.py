"""One camera or all: state, tracks now, a picture, zones and lines."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response

from pipeline.core.errors import PipelineError
from pipeline.events.zones.schema import CameraZones
from pipeline.server.context import AppContext, Responses
from pipeline.server.schemas import Camera, Cameras, Problem, Track, TracksNow
from pipeline.server.viewers.hub import LatestResult

CameraName = Annotated[str, Path(min_length=1, max_length=200)]
UNKNOWN: Responses = {404: {"model": Problem}, 422: {"model": Problem}}
JPEG: Responses = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}


def known(context: AppContext, name: str) -> Camera:
    """Return the camera of that name; raises HTTPException 404."""
    for camera in context.backend.cameras():
        if camera.name == name:
            return camera
    raise HTTPException(404, "there is no camera of that name")


def newest(context: AppContext, name: str) -> LatestResult:
    """Return a camera's newest result; raises HTTPException 404."""
    known(context, name)
    shown = context.hub.latest(name)
    if shown is None:
        raise HTTPException(404, "there is no picture yet")
    return shown


def camera_routes(context: AppContext) -> APIRouter:
    """Return the routes of cameras."""
    router = APIRouter(tags=["cameras"])

    @router.get("/api/cameras")
    async def cameras() -> Cameras:
        """Return all cameras in the order of the configuration."""
        return Cameras(cameras=list(context.backend.cameras()))

    @router.get("/api/cameras/{name:path}/tracks", responses=UNKNOWN)
    async def tracks(name: CameraName) -> TracksNow:
        """Return what is tracked in the newest frame."""
        shown = newest(context, name)
        frame = shown.result.frame
        return TracksNow(
            index=frame.index,
            pts_s=frame.pts_s,
            time=shown.time,
            age_ms=shown.age_ms(),
            width=shown.width,
            height=shown.height,
            tracks=[Track.model_validate(each) for each in shown.tracks],
        )

    @router.get(
        "/api/cameras/{name:path}/snapshot.jpg",
        response_class=Response,
        responses={**JPEG, **UNKNOWN},
    )
    async def snapshot(name: CameraName, boxes: Annotated[bool, Query()] = False) -> Response:
        """Return the newest frame in full, with its boxes drawn if asked for."""
        newest(context, name)
        jpeg = await context.viewers.encoder.snapshot(name, boxes=boxes)
        if jpeg is None:
            raise HTTPException(404, "there is no picture yet")
        return Response(jpeg, media_type="image/jpeg")

    @router.head("/api/cameras/{name:path}/snapshot.jpg", include_in_schema=False)
    async def snapshot_head(name: CameraName) -> Response:
        """Return whether there is a picture, without making one."""
        newest(context, name)
        return Response(media_type="image/jpeg")

    @router.get("/api/cameras/{name:path}/zones", responses=UNKNOWN)
    def areas(name: CameraName) -> CameraZones:
        """Return the camera's zones and lines."""
        known(context, name)
        return context.backend.zones(name)

    @router.put("/api/cameras/{name:path}/zones", responses=UNKNOWN)
    def save_areas(name: CameraName, areas: CameraZones) -> CameraZones:
        """Save the camera's zones and lines and use them from the next frame on.

        `settle_s` and `gone_s` stay as they are where they are not given.
        """
        known(context, name)
        current = context.backend.zones(name)
        kept = {"settle_s", "gone_s"} - areas.model_fields_set
        areas = areas.model_copy(update={key: getattr(current, key) for key in kept})
        try:
            return context.backend.save_zones(name, areas)
        except PipelineError as error:
            raise HTTPException(422, str(error)) from None

    # The last of all: a name may hold slashes.
    @router.get("/api/cameras/{name:path}", responses=UNKNOWN)
    async def camera(name: CameraName) -> Camera:
        """Return one camera's state and books."""
        return known(context, name)

    return router
