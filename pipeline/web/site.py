"""Everything the routes need, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.web.backend import Backend
from pipeline.web.gate import Gate
from pipeline.web.hub import Hub
from pipeline.web.metrics import Metrics
from pipeline.web.options import WebOptions
from pipeline.web.viewing import Studio

Answers = dict[int | str, dict[str, Any]]
"""What a route may answer, as OpenAPI describes it."""


@dataclass(frozen=True, slots=True)
class Site:
    """The running program and what its viewers share."""

    backend: Backend
    hub: Hub
    gate: Gate
    options: WebOptions
    studio: Studio
    metrics: Metrics
