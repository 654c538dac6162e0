"""Routes of video: the page's WebSocket, and MJPEG and MPEG-TS for other clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response, WebSocket
from fastapi.responses import StreamingResponse

from pipeline.server.context import AppContext, Responses
from pipeline.server.routes.cameras import UNKNOWN, CameraName, find_camera
from pipeline.server.schemas import Problem
from pipeline.server.security import GRANT
from pipeline.server.viewers.jpeg_encoder import lower_thread_priority
from pipeline.server.viewers.ts_encoder import TsEncoder, TsOptions
from pipeline.server.viewers.websocket import Viewer, refuse_viewer

BOUNDARY = "trackline-picture"
MPEG_TS = "video/mp2t"
_MAX_WAIT_S = 1.0
_MJPEG: Responses = {
    200: {"content": {f"multipart/x-mixed-replace; boundary={BOUNDARY}": {}}},
    503: {"model": Problem},
}
_MPEG_TS: Responses = {200: {"content": {MPEG_TS: {}}}, 503: {"model": Problem}}


def stream_routes(context: AppContext) -> APIRouter:
    """Return the routes of video streams."""
    router = APIRouter(tags=["cameras"])

    @router.websocket("/api/ws")
    async def page(socket: WebSocket) -> None:
        with context.viewers.slot() as has_slot:
            if has_slot:
                await Viewer(socket, context.viewers, socket.scope[GRANT]).run()
            else:
                await refuse_viewer(socket)

    @router.get(
        "/api/cameras/{name:path}/stream.mjpg",
        response_class=StreamingResponse,
        responses={**_MJPEG, **UNKNOWN},
    )
    async def stream(
        request: Request,
        name: CameraName,
        width: Annotated[int, Query(ge=16, le=16384)] = 1280,
        fps: Annotated[float, Query(gt=0, le=60, allow_inf_nan=False)] = 10,
    ) -> StreamingResponse:
        """Return an MJPEG stream at the rate at which the client reads; without boxes."""
        _check_has_room(context, name)
        pause_s = 1 / min(fps, context.options.picture_fps)
        pictures = _pictures(context, request, name, width, pause_s)
        return StreamingResponse(
            pictures, media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        )

    @router.head("/api/cameras/{name:path}/stream.mjpg", include_in_schema=False)
    async def stream_head(name: CameraName) -> Response:
        """Return the stream's content type, which players request first. Takes no viewer slot."""
        find_camera(context, name)
        return Response(media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    @router.get(
        "/api/cameras/{name:path}/stream.ts",
        response_class=StreamingResponse,
        responses={**_MPEG_TS, **UNKNOWN},
    )
    async def ts_stream(
        request: Request,
        name: CameraName,
        width: Annotated[int, Query(ge=64, le=3840)] = 1280,
        fps: Annotated[float, Query(gt=0, le=30, allow_inf_nan=False)] = 15,
        kilobits: Annotated[int, Query(ge=50, le=50_000)] = 2500,
        boxes: Annotated[bool, Query()] = True,
    ) -> StreamingResponse:
        """Return H.264 in MPEG-TS, with boxes, for a restreamer; encoded for each client anew."""
        _check_has_room(context, name)
        options = TsOptions(width, kilobits, boxes)
        return StreamingResponse(
            _video(context, request, name, options, 1 / fps), media_type=MPEG_TS
        )

    @router.head("/api/cameras/{name:path}/stream.ts", include_in_schema=False)
    async def ts_head(name: CameraName) -> Response:
        """Return the stream's content type, as for MJPEG."""
        find_camera(context, name)
        return Response(media_type=MPEG_TS)

    return router


async def _turns(context: AppContext, request: Request, pause_s: float) -> AsyncGenerator[None]:
    """Take a viewer's slot; yield after each result, but for those in the pause after the last."""
    loop = asyncio.get_running_loop()
    viewers = context.viewers
    wake = asyncio.Event()
    with viewers.slot():
        viewers.broadcaster.subscribe(wake, wake.set, lambda _: None)
        try:
            while not viewers.hub.closed and viewers.auth.is_valid(request.scope[GRANT]):
                began = loop.time()
                wake.clear()
                yield
                await asyncio.sleep(max(0.0, began + pause_s - loop.time()))
                await _wait_for_result(wake)
        finally:
            viewers.broadcaster.unsubscribe(wake)


def _check_has_room(context: AppContext, name: str) -> None:
    """Raise HTTPException unless the camera is there and one more viewer is allowed."""
    find_camera(context, name)
    if context.viewers.is_full:
        raise HTTPException(503, "too many viewers")


async def _pictures(
    context: AppContext, request: Request, name: str, width: int, pause_s: float
) -> AsyncIterator[bytes]:
    """Yield the newest picture whenever it changes; a slow viewer skips pictures."""
    sent = None
    async with aclosing(_turns(context, request, pause_s)) as turns:
        async for _ in turns:
            picture = await context.viewers.encoder.picture(name, width)
            if picture is not None and picture.frame_key != sent:
                sent = picture.frame_key
                head = (
                    f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                    f"Content-Length: {len(picture.jpeg)}\r\n\r\n"
                )
                yield head.encode() + picture.jpeg + b"\r\n"


async def _video(
    context: AppContext, request: Request, name: str, options: TsOptions, pause_s: float
) -> AsyncIterator[bytes]:
    """Yield the newest results as video; it ends where the picture's size changes."""
    loop = asyncio.get_running_loop()
    sent = None
    encoder: TsEncoder | None = None
    threads = ThreadPoolExecutor(1, "stream", initializer=lower_thread_priority)
    try:
        async with aclosing(_turns(context, request, pause_s)) as turns:
            async for _ in turns:
                shown = context.hub.latest(name)
                if shown is None or shown.key == sent:
                    continue
                sent = shown.key
                if encoder is None:
                    encoder = await loop.run_in_executor(threads, TsEncoder, shown.result, options)
                elif shown.result.frame.shape[:2] != encoder.shape:
                    return
                yield await loop.run_in_executor(threads, encoder.encode, shown.result)
                del shown  # the frame's memory is pooled
    finally:
        if encoder is not None:
            threads.submit(encoder.close)
        threads.shutdown(wait=False)


async def _wait_for_result(wake: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_MAX_WAIT_S):
            await wake.wait()
    except TimeoutError:
        return
