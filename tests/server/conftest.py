"""A server without a pipeline behind it, and a client that may do everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """The parts of a server, not listening."""
    from support.fake_backend import ServerParts

    return ServerParts(tmp_path)


@pytest.fixture
def client(made: Any) -> Iterator[Any]:
    from starlette.testclient import TestClient
    from support.fake_backend import TOKEN

    bearer = {"authorization": f"Bearer {TOKEN}"}
    with TestClient(made.app, base_url="http://127.0.0.1:8642", headers=bearer) as client:
        yield client
