"""Stores of events: on SQLite, and on a throwaway PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.event_servers import Postgres, postgres

from pipeline.events.store.store import EventStore


@pytest.fixture(scope="package")
def cluster() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "events.db")
    running = request.getfixturevalue("cluster")
    running.clear()
    return str(running.url)


@pytest.fixture
def store(address: str, tmp_path: Path) -> Iterator[EventStore]:
    made = EventStore(address, tmp_path / "clips")
    yield made
    made.close()
