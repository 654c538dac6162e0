"""Routes of the program as a whole: configuration, status, health and metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from pipeline.core.secret_masking import MASK, masked
from pipeline.server import metrics
from pipeline.server.context import AppContext
from pipeline.server.schemas import Health, Status

_SECRET_KEY = re.compile(r"(^|_)(password|passwd|token|secret|secrets|key|auth|credentials)($|_)")
_FILE_KEY = re.compile(r"_(file|path)$")


def system_routes(context: AppContext) -> APIRouter:
    """Return the routes of the configuration, the status, the health and the metrics."""
    router = APIRouter(tags=["program"])
    backend = context.backend

    @router.get("/api/config")
    def config() -> dict[str, Any]:
        """Return the configuration in force, without passwords, tokens and keys."""
        return without_secrets(backend.config())

    @router.get("/api/status")
    async def status() -> Status:
        """Return how fast the pipeline is, what limits it, and what the configuration file says."""
        return backend.status()

    @router.get("/healthz", response_model=Health, responses={503: {"model": Health}})
    async def healthz() -> Response:
        """Return 200 while the pipeline works, else 503; a full disk is reported with 200."""
        fine, keeping = backend.healthy(), backend.deliveries().keeping
        kept = keeping is None or keeping.problem is None
        return JSONResponse({"ok": fine, "keeping": kept}, 200 if fine else 503)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def figures() -> Response:
        """Return the figures in Prometheus' text format."""
        return Response(context.metrics.text(), media_type=metrics.CONTENT_TYPE)

    return router


def without_secrets(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's plain values with passwords, tokens and keys as `***`.

    A second check, by the names of the keys, after the models have masked their own secrets.
    """
    return {name: _redacted(each, name) for name, each in tree.items()}


def _redacted(value: Any, key: str) -> Any:
    """Return the value of `key` with secrets as `***`, those within addresses too."""
    if isinstance(value, dict):
        return {name: _redacted(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each, key) for each in value]
    if not isinstance(value, str):
        return value
    if value and _SECRET_KEY.search(key.lower()) and not _FILE_KEY.search(key.lower()):
        return MASK
    return masked(value, users=True)
