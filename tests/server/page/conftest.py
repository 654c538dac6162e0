"""A browser, a fake server for it, and the rule that no page of any test may complain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.page_browser import CHROMIUM, FLAGS, PATIENCE_S, Open, shows_pictures
from support.page_scenes import Scene, street, synthetic
from support.page_server import Camera, FakeServer

# What tests themselves cause, by reading canvases.
OWN = "willReadFrequently"

# Five seconds, the default, were too few on a busy machine.
expect.set_options(timeout=PATIENCE_S * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("needs_browser") and CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="chromium-headless-shell is not installed"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Per module: while Playwright is open, no other test in this thread could use asyncio.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def moving() -> Scene:
    """One bright rectangle that moves, with its exact box."""
    return synthetic(frames=30, objects=1, width=320, height=180, seed=3)


@pytest.fixture(scope="session")
def walkers() -> Scene:
    return street((0, 90, 480, 270))


@pytest.fixture
def fake(moving: Scene, walkers: Scene) -> Iterator[FakeServer]:
    """A server with two cameras that are live, already listening."""
    server = FakeServer([Camera("yard", moving), Camera("street", walkers)])
    server.start()
    yield server
    server.close()


@pytest.fixture
def open_page(browser: Browser, fake: FakeServer) -> Iterator[Open]:
    """Opens the page in a new window; its console must stay silent but for what `allowed` says."""
    contexts = []
    complaints: list[str] = []

    def open_(path: str = "", *, allowed: tuple[str, ...] = (), **options: Any) -> Page:
        shown = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark", **options}
        context = browser.new_context(**shown)
        context.set_default_timeout(PATIENCE_S * 1000)
        contexts.append(context)
        page = context.new_page()

        def complain(text: str) -> None:
            if not any(each in text for each in (*allowed, OWN)):
                complaints.append(text)

        page.on("pageerror", lambda error: complain(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                complain(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.goto(fake.url + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def functions(browser: Browser, moving: Scene) -> Iterator[Page]:
    """A page whose functions are called by tests that change nothing on it."""
    server = FakeServer([Camera("yard", moving)])
    server.start()
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(server.url)
    yield page
    page.close()
    server.close()


@pytest.fixture
def page(open_page: Open) -> Page:
    """The page, once both cameras show a picture."""
    page = open_page()
    shows_pictures(page)
    return page
