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
    from support.fake_backend import trusted_client

    with trusted_client(made) as client:
        yield client


@pytest.fixture(scope="module")
def module_made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One server's parts for all tests of a file that change nothing which another one sees.

    To build the application takes ten times as long as what most of them do with it.
    """
    from support.fake_backend import ServerParts

    return ServerParts(tmp_path_factory.mktemp("server"))


@pytest.fixture
def module_client(module_made: Any) -> Any:
    """A client of its own that may do everything on the server of the file."""
    from support.fake_backend import trusted_client

    return trusted_client(module_made)
