"""The live server's application: routes, page files, error handlers, OpenAPI, middleware."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from pipeline.config.web import WebOptions
from pipeline.core.errors import PipelineError
from pipeline.server.auth import Auth
from pipeline.server.context import AppContext
from pipeline.server.metrics import Metrics
from pipeline.server.routes.cameras import camera_routes
from pipeline.server.routes.events import event_routes, visit_routes
from pipeline.server.routes.positions import position_routes
from pipeline.server.routes.session import session_routes
from pipeline.server.routes.streams import stream_routes
from pipeline.server.routes.system import system_routes
from pipeline.server.run_backend import RunBackend
from pipeline.server.schemas import Problem
from pipeline.server.security import INTERNAL, SecurityMiddleware
from pipeline.server.viewers.broadcaster import Broadcaster
from pipeline.server.viewers.hub import Hub
from pipeline.server.viewers.jpeg_encoder import JpegEncoder
from pipeline.server.viewers.websocket import ViewerPool

PAGE = Path(__file__).resolve().parent / "page"
MAX_BODY_BYTES = 512 * 1024
_MIN_GZIP_BYTES = 1024
OPEN_PATHS = ("/healthz", "/api/login", "/api/session")

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
"""Media types that Python 3.11 or some systems' tables lack or name differently."""


def create_app(
    backend: RunBackend,
    hub: Hub,
    options: WebOptions,
    auth: Auth,
    page: Path = PAGE,
    more: Sequence[APIRouter] = (),
) -> SecurityMiddleware:
    """Return the application behind its middleware; its `app` is the FastAPI application.

    `more` are routes that only one program has.
    """
    encoder = JpegEncoder(hub, options)
    broadcaster = Broadcaster(backend, hub)
    viewers = ViewerPool(hub, encoder, broadcaster, auth, options, backend.packets)
    metrics = Metrics(backend, hub, lambda: viewers.open)
    context = AppContext(backend, hub, auth, options, viewers, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        encoder.close()

    app = FastAPI(
        title="Trackline",
        summary="Live cameras: current tracks, events, and the state of each camera.",
        version=backend.version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        max_body_size=MAX_BODY_BYTES,
        exception_handlers=_HANDLERS,
    )
    for router in (
        session_routes(context),
        event_routes(context),
        visit_routes(context),
        system_routes(context),
        stream_routes(context),
        position_routes(context),
        *more,
        camera_routes(context),  # the last: its last path takes whatever is below /api/cameras
    ):
        app.include_router(router)
    pages = _page_routes(page)
    app.router.routes.extend(pages)
    _extend_openapi(app)
    return SecurityMiddleware(app, context, {*OPEN_PATHS, *(route.path for route in pages)})


def _page_routes(folder: Path) -> list[Route]:
    """Return a route for each file of the page in `folder`, and `/` for index.html.

    The folder is listed once: no other path reaches the disk, and the routes' paths are exactly
    those that are open without signing in. A mount at `/` would also match unknown paths.
    """
    paths = [
        f"/{path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    if "/index.html" in paths:
        paths.append("/")
    files = _PageFiles(directory=folder, html=True)
    gzip = Middleware(GZipMiddleware, minimum_size=_MIN_GZIP_BYTES)
    return [
        Route(path, files, methods=["GET", "HEAD"], include_in_schema=False, middleware=[gzip])
        for path in paths
    ]


class _PageFiles(StaticFiles):
    """The page's files, each with the type that browsers want."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return the response for a file."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        kind = _TYPES.get(Path(full_path).suffix)
        if kind and "content-type" in response.headers:
            response.headers["content-type"] = kind
        return response


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """Return an HTTP error as JSON with one line."""
    del request
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    """Return 422 with the invalid fields in one line."""
    del request
    assert isinstance(error, RequestValidationError)
    lines = []
    for problem in error.errors()[:5]:
        place = ".".join(str(part) for part in problem["loc"][1:])
        reason = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {reason}" if place else reason)
    return JSONResponse({"detail": " ".join("; ".join(lines).split())[:1000]}, 422)


async def _pipeline_error(request: Request, error: Exception) -> JSONResponse:
    """Return 503 for a PipelineError, such as a database that does not answer."""
    del request
    return JSONResponse({"detail": " ".join(str(error).split())}, 503)


async def _internal_error(request: Request, error: Exception) -> JSONResponse:
    """Return 500; SecurityMiddleware logs the error, which is raised again."""
    del request, error
    return JSONResponse({"detail": INTERNAL}, 500)


_HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Any]] = {
    HTTPException: _http_error,
    RequestValidationError: _validation_error,
    PipelineError: _pipeline_error,
    Exception: _internal_error,
}


def _extend_openapi(app: FastAPI) -> None:
    """Add the middleware's answers and the sign-in to the OpenAPI description."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_refusals(generate())
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def _add_refusals(tree: dict[str, Any]) -> None:
    schemas = tree.setdefault("components", {}).setdefault("schemas", {})
    schemas.setdefault("Problem", Problem.model_json_schema())
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    tree["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
    }
    for path, methods in tree["paths"].items():
        for method, operation in methods.items():
            refusals = {"400": "Malformed request.", "421": "Unknown host name."}
            refusals["429"] = "Too many wrong tokens; Retry-After says for how long."
            if "{" in path:
                refusals["404"] = "There is none with that name or number."
            if path not in OPEN_PATHS:
                operation["security"] = [{"token": []}]
                refusals["401"] = "Not signed in."
            if method not in ("get", "head"):
                refusals["403"] = "From another server's page, or without the header X-Trackline."
                refusals["413"] = "Request body too large."
            for status, description in refusals.items():
                answer = {"description": description, "content": problem}
                operation["responses"].setdefault(status, answer)
