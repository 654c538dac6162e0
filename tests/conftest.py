"""Fixtures every test room shares: where the real data lies, when it is there."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    return Path(os.environ.get("TRACKLINE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real weights, videos and ground truth."""
    return shared_folder()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, which it does not where a shell started us with `&`."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def site() -> Iterator[Any]:
    """A web server on loopback that has weights and can be told to misbehave."""
    from http_server import CONTENT, Site, running

    with running(Site(CONTENT)) as started:
        yield started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    present = shared_folder().is_dir()
    for item in items:
        if item.get_closest_marker("needs_shared") and not present:
            item.add_marker(pytest.mark.skip(reason="no ../shared folder with real data"))
