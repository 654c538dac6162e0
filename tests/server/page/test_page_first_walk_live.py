"""A newcomer's first walk: from an empty folder to a camera, a zone, an event with its clip."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect
from support import rtsp_server
from support.live_process import served
from support.live_video import clip_pictures, encoded, looped
from support.page_browser import PATIENCE_S, until, visit_with_clip
from support.page_scenes import SAMPLES

pytest.importorskip("sqlalchemy")
pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.timeout(300)]

FPS = 10
PASSWORD = "p@ss/word ${X}"


@pytest.fixture
def camera() -> Iterator[rtsp_server.Camera]:
    """An RTSP camera with a login that shows a street, over and over."""
    pictures = clip_pictures(SAMPLES / "street.mp4", 120, 480)
    feed = looped(encoded(pictures, FPS), FPS)
    with rtsp_server.running(rtsp_server.Camera(feed, ("Digest", "viewer", PASSWORD))) as camera:
        yield camera


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture
def address(folder: Path, tmp_path: Path) -> Iterator[str]:
    """Where `trackline live`, started in an empty folder without any configuration, listens."""
    with served(tmp_path, "live", "--port", "0", cwd=folder) as run:
        yield run.address


class Newcomer:
    """Somebody at the page, whose clicks and key strokes are counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = self.typed = 0

    def click(self, name: str) -> None:
        self.hit(self.page.get_by_role("button", name=name, exact=True))

    def hit(self, what: Locator) -> None:
        self.clicks += 1
        what.click()

    def at(self, x: float, y: float) -> None:
        """Click on the picture, its width and height being 1."""
        self.clicks += 1
        stage = self.page.locator(".draft").bounding_box()
        assert stage
        width = min(stage["width"], stage["height"] * 16 / 9)
        left = stage["x"] + (stage["width"] - width) / 2
        top = stage["y"] + (stage["height"] - width * 9 / 16) / 2
        self.page.mouse.click(left + x * width, top + y * width * 9 / 16)

    def type(self, text: str) -> None:
        self.typed += len(text)
        self.page.keyboard.type(text)


def test_from_an_empty_folder_to_an_event_with_its_clip(
    browser: Browser, address: str, camera: rtsp_server.Camera, folder: Path
) -> None:
    """No file is edited; the next start has the camera and its zone."""
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE_S * 1000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    newcomer, began = Newcomer(page), time.monotonic()
    page.goto(address)

    expect(page.get_by_role("dialog").get_by_label("Address")).to_be_focused()
    for field, text in enumerate((camera.url, "viewer", PASSWORD, "street")):
        if field:
            newcomer.page.keyboard.press("Tab")
        newcomer.type(text)
    newcomer.click("Test")
    expect(page.get_by_text("It works: 480 × 270")).to_be_visible()
    newcomer.click("Add")

    page.wait_for_selector("[data-shown]")
    newcomer.hit(page.locator("[data-camera=street] .open"))
    newcomer.click("Edit zones and lines")
    newcomer.click("New zone")
    for corner in ((0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)):
        newcomer.at(*corner)
    newcomer.page.keyboard.press("Enter")
    newcomer.type("Street")
    newcomer.click("Save")
    expect(page.get_by_text("Saved.")).to_be_visible()
    newcomer.click("Close")

    event = page.locator(".event").filter(has_text="Street").first
    expect(event).to_be_visible()
    until(page, lambda: visit_with_clip(page) is not None, 120)
    newcomer.hit(page.locator(f'.event[data-id="{visit_with_clip(page)}"] button'))
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.2")
    took_s = time.monotonic() - began
    sys.stdout.write(f"{newcomer.clicks} clicks, {newcomer.typed} letters, {took_s:.0f} s\n")

    assert newcomer.clicks <= 14
    assert complaints == []
    written = yaml.safe_load((folder / "out" / "cameras.yaml").read_text())
    assert [each["name"] for each in written["sources"]] == ["street"]
    assert PASSWORD not in (folder / "out" / "cameras.yaml").read_text()
    assert (folder / "out" / "secrets.yaml").stat().st_mode & 0o777 == 0o600
    assert "Street" in (folder / "out" / "zones.yaml").read_text()
    page.close()
