"""The page with the real server, from signing in to a lost camera."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support.live_process import live, write
from support.page_browser import PATIENCE_S, goes_on, shows_pictures
from support.tiny_networks import one_box_network

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

TOKEN = "a-token-for-tests-only"
WHOLE = {"name": "all", "points": [[0, 0], [64, 0], [64, 48], [0, 48]]}


@pytest.mark.timeout(240)
def test_from_signing_in_to_losing_a_camera(browser: Browser, tmp_path: Path) -> None:
    """Sign in, see pictures move, a zone's event come, a camera go and another one come.

    The page must not break the server's Content-Security-Policy, nor complain of anything.
    """
    one_box_network(tmp_path / "one.onnx")
    web = {"port": 0, "token": TOKEN}
    write(tmp_path, {"name": "a"}, {"name": "b", "seed": 2}, web=web)
    complaints: list[str] = []
    with live(tmp_path) as run:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(PATIENCE_S * 1000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(run.address)
        page.wait_for_selector("#token:focus")
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        shows_pictures(page, 2)
        goes_on(page, "a")
        goes_on(page, "b")

        run.client.headers["authorization"] = f"Bearer {TOKEN}"
        assert run.client.put("/api/cameras/a/zones", json={"zones": [WHOLE]}).status_code == 200
        expect(page.get_by_text("all", exact=True).first).to_be_visible()

        write(tmp_path, {"name": "a"}, {"name": "c", "seed": 3}, web=web)
        page.wait_for_selector("[data-camera='c']")
        expect(page.locator("[data-camera='b']")).to_have_count(0)
        goes_on(page, "c")
        goes_on(page, "a")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_selector("#token:focus")
        context.close()
        assert run.end() == 143
    assert complaints == []
    assert TOKEN not in json.dumps(complaints) + run.log()
