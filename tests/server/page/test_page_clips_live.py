"""The page with the real server: pictures, zones, events and clips."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect
from support.live_process import served
from support.page_browser import PATIENCE_S, goes_on, until, visit_with_clip
from support.tiny_networks import one_box_network

pytest.importorskip("sqlalchemy")
pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]
NAME = "Tor <1> / süd"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a live run with one camera listens; its network sees one box in every frame.

    On a busy machine frames are seconds apart: the box is neither lost nor gone for that, or it
    enters again and again, and no clip ends.
    """
    one_box_network(tmp_path / "one.onnx")
    zones = tmp_path / "zones.yaml"
    zones.write_text(json.dumps({"cameras": {NAME: {"gone_s": 600}}}))
    camera = {"kind": "synthetic", "name": NAME, "live": True, "frames": None, "fps": 10}
    tree = {
        "sources": [{**camera, "width": 320, "height": 240}],
        "detector": {"kind": "yolo", "model": str(tmp_path / "one.onnx")},
        "tracker": {"kind": "sort", "confirm_s": 0.0, "max_age_s": 300},
        "zones": str(zones),
        "web": {"port": 0},
        "run": {"output": str(tmp_path / "out")},
    }
    path = tmp_path / "cameras.yaml"
    path.write_text(json.dumps(tree))
    with served(tmp_path, "live", "-c", str(path)) as run:
        yield run.address


@pytest.fixture
def real(browser: Browser, address: str) -> Iterator[Page]:
    complaints = []
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE_S * 1000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.goto(f"{address}/#camera/{quote(NAME, safe='')}")
    yield page
    page.close()
    assert complaints == []


def test_pictures_zones_events_and_clips(real: Page) -> None:
    """Pictures go on, a zone drawn here counts there, its event comes back with its clip."""
    real.wait_for_selector("[data-shown]")
    goes_on(real, NAME)
    expect(real.locator(".tile.large .state")).to_have_text("Live")
    real.get_by_role("button", name="Edit zones and lines").click()
    real.get_by_role("button", name="New zone").click()
    stage = real.locator(".draft").bounding_box()
    assert stage
    scale = min(stage["width"] / 320, stage["height"] / 240)
    left = stage["x"] + (stage["width"] - 320 * scale) / 2
    top = stage["y"] + (stage["height"] - 240 * scale) / 2
    for x, y in ((1, 1), (319, 1), (319, 239), (1, 239)):
        real.mouse.click(left + x * scale, top + y * scale)
    real.keyboard.press("Enter")
    real.keyboard.type("Everything")
    real.get_by_label("Event after so many seconds inside").fill("1")
    real.get_by_role("button", name="Save", exact=True).click()
    expect(real.get_by_text("Saved.")).to_be_visible()
    real.get_by_role("button", name="Close", exact=True).click()
    expect(real.locator(".event").first).to_contain_text("Everything")
    expect(real.get_by_role("row", name="Everything")).to_be_visible()
    until(real, lambda: visit_with_clip(real) is not None)
    real.locator(f'.event[data-id="{visit_with_clip(real)}"] button').click()
    real.wait_for_function("() => document.querySelector('video').currentTime > 0.2")
