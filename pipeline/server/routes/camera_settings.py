"""Routes that add, change, try and remove cameras, in the configuration file of a live run."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, HTTPException, Response

from pipeline.core.errors import PipelineError
from pipeline.server.cameras.editor import CameraEditor, UnknownCameraError
from pipeline.server.cameras.file_change import ConflictError
from pipeline.server.cameras.forms import (
    CameraForm,
    CameraPicture,
    CameraSettings,
    CameraTry,
)
from pipeline.server.cameras.trial import CameraTrial, TrialBusyError
from pipeline.server.context import Responses
from pipeline.server.routes.cameras import UNKNOWN, CameraName
from pipeline.server.schemas import Problem

MAX_FORM_BYTES = 64 * 1024
_REFUSED: Responses = {422: {"model": Problem}}
_CONFLICT: Responses = {
    409: {"model": Problem, "description": "The name is taken, or the file was changed meanwhile."}
}
_BUSY: Responses = {503: {"model": Problem, "description": "Another camera is being tried."}}

T = TypeVar("T")


def camera_setting_routes(editor: CameraEditor, trial: CameraTrial) -> APIRouter:
    """Return the routes that change the cameras in the configuration."""
    router = APIRouter(tags=["cameras"])

    @router.post(
        "/api/cameras", status_code=201, responses={**_REFUSED, **_CONFLICT},
        max_body_size=MAX_FORM_BYTES,
    )  # fmt: skip
    def add(form: CameraForm) -> CameraSettings:
        """Add a camera to the configuration; it is running within two seconds."""
        return _answered(lambda: editor.add(form))

    @router.post(
        "/api/cameras/test", responses={**UNKNOWN, **_CONFLICT, **_BUSY},
        max_body_size=MAX_FORM_BYTES,
    )  # fmt: skip
    def test(form: CameraTry) -> CameraPicture:
        """Open a camera once, without adding it, and return its picture.

        One at a time, for at most a dozen seconds; 422 gives the reason in one line if there is no
        picture.
        """
        shown = _answered(lambda: trial.run(editor.options(form, form.camera)))
        return CameraPicture(
            jpeg=base64.b64encode(shown.jpeg).decode(),
            width=shown.width,
            height=shown.height,
            fps=shown.fps,
        )

    @router.get("/api/cameras/{name:path}/settings", responses={**UNKNOWN, **_CONFLICT})
    def settings(name: CameraName) -> CameraSettings:
        """Return a camera as the configuration has it, without its password."""
        return _answered(lambda: editor.settings(name))

    @router.put(
        "/api/cameras/{name:path}/settings", responses={**UNKNOWN, **_CONFLICT},
        max_body_size=MAX_FORM_BYTES,
    )  # fmt: skip
    def change(name: CameraName, form: CameraForm) -> CameraSettings:
        """Change a camera in the configuration; values not given stay."""
        return _answered(lambda: editor.change(name, form))

    @router.delete("/api/cameras/{name:path}", status_code=204, responses={**UNKNOWN, **_CONFLICT})
    def remove(name: CameraName) -> Response:
        """Remove a camera from the configuration; its events and zones stay."""
        _answered(lambda: editor.remove(name))
        return Response(status_code=204)

    return router


def _answered(act: Callable[[], T]) -> T:
    """Return what `act` returns; raises HTTPException for what cannot be done."""
    try:
        return act()
    except UnknownCameraError:
        raise HTTPException(404, "there is no camera of that name") from None
    except ConflictError as error:
        raise HTTPException(409, str(error)) from None
    except TrialBusyError:
        raise HTTPException(503, "another camera is being tried; try again in a moment") from None
    except PipelineError as error:
        raise HTTPException(422, " ".join(str(error).split())) from None
