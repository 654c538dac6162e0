"""Route for uploaded pictures: returns tags and objects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from pipeline.config.uploads import UploadOptions
from pipeline.core.errors import SourceError
from pipeline.server.context import Responses
from pipeline.server.picture_analyser import BusyError, PictureAnalyser, shown_name
from pipeline.server.schemas import PictureAnswer, Pictures, Problem, UploadLimits
from pipeline.server.upload_networks import MIN_CONF

Analyse = Callable[[bytes, str], PictureAnswer]
"""Analyses one picture: the bytes of its file, and its name."""
_MAX_NAMED = 3
"""Pictures that a refusal names."""
_BINARY = {"type": "string", "format": "binary"}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "image/*": {"schema": _BINARY},
        "application/octet-stream": {"schema": _BINARY},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"file": {"type": "array", "items": _BINARY}},
                "required": ["file"],
            }
        },
    },
}
_REFUSALS: Responses = {
    415: {"model": Problem, "description": "Neither a picture nor a form with pictures."},
    422: {"model": Problem, "description": "No picture in it can be read."},
    503: {"model": Problem, "description": "Too many uploads at once, or no weights."},
}


def picture_routes(analyser: PictureAnalyser, limits: UploadOptions) -> APIRouter:
    """Return the route that detects objects in uploaded pictures."""
    router = APIRouter(tags=["pictures"])

    @router.get("/api/uploads")
    async def uploads() -> UploadLimits:
        """Return the limits of uploads."""
        return UploadLimits.model_validate(
            limits.model_dump(include=set(UploadLimits.model_fields))
        )

    @router.post(
        "/api/images",
        responses=_REFUSALS,
        max_body_size=limits.picture_mb * 2**20,
        openapi_extra={"requestBody": _REQUEST_BODY},
    )
    async def images(
        request: Request,
        conf: Annotated[float, Query(ge=MIN_CONF, lt=1)] = 0.25,
        tags: Annotated[bool, Query()] = True,
    ) -> Pictures:
        """Return objects and tags of one picture (the body) or of those in a form.

        Nothing is stored. In a form, an unreadable picture has `error`; the others are answered.
        """
        try:
            with analyser.slot():
                analyse = partial(analyser.analyse, conf=conf, tags=tags)
                return await _answers(request, analyse, limits.pictures)
        except BusyError:
            detail = "too many pictures are being uploaded; try again in a moment"
            raise HTTPException(503, detail, {"Retry-After": "2"}) from None

    return router


async def _answers(request: Request, analyse: Analyse, most: int) -> Pictures:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        answers = await _form_answers(request, analyse, most)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        answers = [await _answer(await request.body(), "", analyse)]
    else:
        raise HTTPException(
            415, "want a picture (image/*, application/octet-stream) or a form with pictures"
        )
    if all(answer.error for answer in answers):
        raise HTTPException(422, "; ".join(map(_refused, answers[:_MAX_NAMED])))
    return Pictures(pictures=answers)


def _refused(answer: PictureAnswer) -> str:
    """Return why a picture cannot be read, with its name if it has one."""
    name = shown_name(answer.name)
    return f"{name}: {answer.error}" if name else f"{answer.error}"


async def _form_answers(request: Request, analyse: Analyse, most: int) -> list[PictureAnswer]:
    """Return an answer for each of at most `most` files of a form, one after the other."""
    async with request.form(max_files=most, max_fields=most) as form:
        files = [each for _, each in form.multi_items() if isinstance(each, UploadFile)]
        if not files:
            raise HTTPException(422, "the form holds no file")
        return [await _answer(await file.read(), file.filename or "", analyse) for file in files]


async def _answer(data: bytes, name: str, analyse: Analyse) -> PictureAnswer:
    try:
        return await run_in_threadpool(analyse, data, name[:200])
    except SourceError as error:
        reason = " ".join(str(error).split()).removeprefix("picture: ")
        return PictureAnswer(name=name[:200], width=0, height=0, objects=[], error=reason)
