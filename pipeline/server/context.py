"""AppContext: the objects that all routes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.config.web import WebOptions
from pipeline.server.auth import Auth
from pipeline.server.metrics import Metrics
from pipeline.server.run_backend import RunBackend
from pipeline.server.viewers.hub import Hub
from pipeline.server.viewers.websocket import ViewerPool

Responses = dict[int | str, dict[str, Any]]
"""A route's responses by status, as OpenAPI describes them."""


@dataclass(frozen=True, slots=True)
class AppContext:
    """The run, its viewers, the sign-in and the metrics, as the routes use them."""

    backend: RunBackend
    hub: Hub
    auth: Auth
    options: WebOptions
    viewers: ViewerPool
    metrics: Metrics
