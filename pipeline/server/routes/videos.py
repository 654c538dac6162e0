"""Routes of uploaded videos: upload, poll, fetch, delete."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from pipeline.config.uploads import UploadOptions
from pipeline.core.errors import SourceError, system_reason
from pipeline.server.context import Responses
from pipeline.server.picture_analyser import BusyError
from pipeline.server.schemas import Problem, VideoAnswer, VideoJob
from pipeline.server.video_jobs import Job, VideoJobs

_CHUNK_BYTES = 2**20
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_REFUSALS: Responses = {
    415: {"model": Problem, "description": "Not sent as a video."},
    422: {"model": Problem, "description": "No video, or one beyond the limits."},
    503: {"model": Problem, "description": "Too many videos at once."},
    507: {"model": Problem, "description": "No room on the disk."},
}
_UNKNOWN: Responses = {
    404: {"model": Problem, "description": "No such video, or it has been removed."},
    422: {"model": Problem, "description": "No id of a video."},
}
_NOT_DONE: Responses = {
    **_UNKNOWN,
    409: {"model": Problem, "description": "Not done yet, or failed."},
}
JobId = Annotated[str, Path(min_length=1, max_length=64)]


def video_routes(jobs: VideoJobs, limits: UploadOptions) -> APIRouter:
    """Return the routes that analyse uploaded videos."""
    router = APIRouter(tags=["pictures"])

    @router.post(
        "/api/videos",
        status_code=202,
        responses=_REFUSALS,
        max_body_size=limits.video_mb * 2**20,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"video/*": _BINARY, "application/octet-stream": _BINARY},
            }
        },
    )
    async def upload(
        request: Request,
        name: Annotated[str, Query(max_length=200)] = "",
        tags: Annotated[bool, Query()] = True,
        annotated: Annotated[bool, Query()] = False,
    ) -> VideoJob:
        """Take a short video, the body, and start detecting and tracking.

        The answer contains the id to poll. A video that is not polled for a minute is cancelled; an
        answer is kept for ten minutes.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not (kind.startswith("video/") or kind == "application/octet-stream"):
            raise HTTPException(415, "want a video (video/*, application/octet-stream)")
        try:
            with jobs.upload(name, tags=tags, annotated=annotated) as job:
                await _save(request, job.upload)
                return await run_in_threadpool(jobs.begin, job)
        except BusyError:
            detail = "too many videos are uploaded or kept; try again in a moment"
            raise HTTPException(503, detail, {"Retry-After": "10"}) from None
        except SourceError as error:
            raise HTTPException(422, " ".join(str(error).split())) from None
        except ClientDisconnect:
            raise HTTPException(400, "the upload broke off") from None
        except OSError as error:
            reason = system_reason(error) or "it cannot be written"
            raise HTTPException(507, f"no room for the video: {reason}") from None

    @router.get("/api/videos/{job_id}", responses=_UNKNOWN)
    async def state(job_id: JobId) -> VideoJob:
        """Return the progress of a video."""
        return _known(jobs, job_id).as_json()

    @router.get("/api/videos/{job_id}/answer", response_model=VideoAnswer, responses=_NOT_DONE)
    async def answer(job_id: JobId) -> Response:
        """Return tags, tracks and the boxes of each frame."""
        return Response(_done(jobs, job_id).answer, media_type="application/json")

    @router.get(
        "/api/videos/{job_id}/annotated.mp4",
        response_class=FileResponse,
        responses={**_NOT_DONE, 200: {"content": {"video/mp4": _BINARY}}},
    )
    async def annotated_video(job_id: JobId) -> FileResponse:
        """Return the video with boxes drawn on it, if `annotated` was requested."""
        path: FilePath = _done(jobs, job_id).annotated_video
        if not path.is_file():
            raise HTTPException(404, "it was not requested with annotated=true")
        return FileResponse(path, media_type="video/mp4")

    @router.delete("/api/videos/{job_id}", status_code=204, responses=_UNKNOWN)
    async def remove(job_id: JobId) -> None:
        """Cancel a video, or delete its answer."""
        _known(jobs, job_id)
        await run_in_threadpool(jobs.remove, job_id)

    return router


async def _save(request: Request, path: FilePath) -> None:
    """Write the body to a file; raises OSError."""
    waiting = bytearray()
    with path.open("wb") as file:
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= _CHUNK_BYTES:
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(file.write, bytes(waiting))


def _known(jobs: VideoJobs, job_id: str) -> Job:
    job = jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "no such video, or it has been removed")
    return job


def _done(jobs: VideoJobs, job_id: str) -> Job:
    job = _known(jobs, job_id)
    if job.state != "done":
        raise HTTPException(409, job.problem or f"not done yet: {job.state}")
    return job
