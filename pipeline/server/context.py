"""Everything the routes need, in one place."""

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
"""What a route may answer, as OpenAPI describes it."""


@dataclass(frozen=True, slots=True)
class AppContext:
    """The running program and what its viewers share."""

    backend: RunBackend
    hub: Hub
    auth: Auth
    options: WebOptions
    viewers: ViewerPool
    metrics: Metrics
