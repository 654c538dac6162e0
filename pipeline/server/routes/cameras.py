"""Routes of cameras: state, current tracks, snapshot, zones and lines."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response

from pipeline.core.errors import PipelineError
from pipeline.events.zones.schema import CameraZones
from pipeline.server.context import AppContext, Responses
from pipeline.server.schemas import Camera, Cameras, Problem, Track, TracksNow, ZonePreview
from pipeline.server.viewers.hub import LatestResult

CameraName = Annotated[str, Path(min_length=1, max_length=200)]
UNKNOWN: Responses = {404: {"model": Problem}, 422: {"model": Problem}}
JPEG: Responses = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}


def find_camera(context: AppContext, name: str) -> Camera:
    """Return the camera of that name; raises HTTPException 404."""
    for camera in context.backend.cameras():
        if camera.name == name:
            return camera
    raise HTTPException(404, "there is no camera of that name")


def latest_result(context: AppContext, name: str) -> LatestResult:
    """Return a camera's newest result; raises HTTPException 404."""
    find_camera(context, name)
    shown = context.hub.latest(name)
    if shown is None:
        raise HTTPException(404, "there is no picture yet")
    return shown


def completed(context: AppContext, name: str, zones: CameraZones) -> CameraZones:
    """Return zones with missing values completed by those in force."""
    kept = {"settle_s", "gone_s", "appeared"} - zones.model_fields_set
    current = context.backend.zones(name).scaled_masks(zones.size)
    return zones.model_copy(update={key: value for key, value in current if key in kept})


def camera_routes(context: AppContext) -> APIRouter:
    """Return the routes of cameras."""
    router = APIRouter(tags=["cameras"])

    @router.get("/api/cameras")
    async def cameras() -> Cameras:
        """Return all cameras in the order of the configuration."""
        return Cameras(cameras=list(context.backend.cameras()))

    @router.get("/api/cameras/{name:path}/tracks", responses=UNKNOWN)
    async def tracks(name: CameraName) -> TracksNow:
        """Return the tracks in the newest frame."""
        shown = latest_result(context, name)
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
        latest_result(context, name)
        jpeg = await context.viewers.encoder.snapshot(name, boxes=boxes)
        if jpeg is None:
            raise HTTPException(404, "there is no picture yet")
        return Response(jpeg, media_type="image/jpeg")

    @router.head("/api/cameras/{name:path}/snapshot.jpg", include_in_schema=False)
    async def snapshot_head(name: CameraName) -> Response:
        """Return whether there is a picture, without encoding one."""
        latest_result(context, name)
        return Response(media_type="image/jpeg")

    @router.get("/api/cameras/{name:path}/zones", responses=UNKNOWN)
    def zones(name: CameraName) -> CameraZones:
        """Return the camera's zones and lines."""
        find_camera(context, name)
        return context.backend.zones(name)

    @router.put("/api/cameras/{name:path}/zones", responses=UNKNOWN)
    def save_zones(name: CameraName, zones: CameraZones) -> CameraZones:
        """Save the camera's zones and lines and use them from the next frame on.

        `settle_s`, `gone_s` and `appeared` stay if they are not given.
        """
        find_camera(context, name)
        try:
            return context.backend.save_zones(name, completed(context, name, zones))
        except PipelineError as error:
            raise HTTPException(422, str(error)) from None

    @router.post("/api/cameras/{name:path}/zones/preview", responses=UNKNOWN)
    def preview_zones(name: CameraName, zones: CameraZones) -> ZonePreview:
        """Return what these zones and lines would have counted in the last minute."""
        find_camera(context, name)
        return context.backend.preview_zones(name, completed(context, name, zones))

    @router.post("/api/cameras/{name:path}/retry", status_code=204, responses=UNKNOWN)
    async def retry(name: CameraName) -> Response:
        """Retry a lost camera at once; no effect on one that is not lost."""
        find_camera(context, name)
        context.backend.retry_now(name)
        return Response(status_code=204)

    # The last route, as a camera's name may contain slashes.
    @router.get("/api/cameras/{name:path}", responses=UNKNOWN)
    async def camera(name: CameraName) -> Camera:
        """Return one camera's state and counters."""
        return find_camera(context, name)

    return router
