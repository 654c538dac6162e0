"""The page of `trackline zones`: a zone drawn over a file's frame, saved, and counted with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support.live_process import served
from support.page_browser import PATIENCE_S
from support.tiny_videos import noise_picture, write_video
from support.track_tables import walk, write_csv

from pipeline.cli.main import main
from pipeline.events.zones.zones_file import load_zones

pytest.importorskip("fastapi")

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

CORNERS = [(150, 20), (300, 20), (300, 340), (150, 340)]


@pytest.mark.timeout(240)
def test_a_zone_drawn_on_a_frame_is_counted_with(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The editor opens by itself; "Done" ends the program; `trackline count` counts
    what the editor said."""
    video = write_video(tmp_path / "gate.mp4", [noise_picture(n, 360, 640) for n in range(3)])
    path = tmp_path / "zones.yaml"
    rows = [{**one, "width": 640, "height": 360} for one in walk(range(40))]
    tracks = write_csv(tmp_path / "tracks.csv", rows)
    complaints: list[str] = []
    words = ("zones", str(video), "-o", str(path), "--tracks", str(tracks), "--no-browser")
    with served(tmp_path, *words) as run:
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(run.address)
        page.wait_for_selector("[data-shown]")
        slider = page.get_by_label("Time of the frame")
        shown = page.locator("[data-shown]")
        first = shown.get_attribute("data-shown")
        slider.press("End")
        expect(page.get_by_text("0:00.1 of 0:00.1")).to_be_visible()
        expect(shown).not_to_have_attribute("data-shown", first or "")
        page.get_by_role("button", name="New zone").click()
        box = page.locator(".stage").bounding_box()
        assert box
        scale = min(box["width"] / 640, box["height"] / 360)
        left = box["x"] + (box["width"] - 640 * scale) / 2
        top = box["y"] + (box["height"] - 360 * scale) / 2
        for x, y in (*CORNERS, CORNERS[0]):
            page.mouse.click(left + x * scale, top + y * scale)
        page.keyboard.type("doorstep")
        expect(page.locator(".editor .list")).to_contain_text("1 entered")
        expect(page.get_by_text("That is what they count in the recording of 4 s.")).to_be_visible()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        for useless in ("Boxes", "All cameras", "Next camera"):
            expect(page.get_by_role("button", name=useless)).to_have_count(0)
        expect(page.get_by_role("link", name="Pictures")).to_have_count(0)
        page.get_by_role("button", name="Done", exact=True).click()
        expect(page.get_by_text("This window can be closed.")).to_be_visible()
        assert run.process.wait(PATIENCE_S) == 0
        page.wait_for_timeout(3500)  # the page asks for the status every three seconds
        page.context.close()
    assert complaints == []
    camera = load_zones(path).cameras["gate"]
    assert camera.size == (640, 360)
    for point, corner in zip(camera.zones[0].points, CORNERS, strict=True):
        assert point == pytest.approx(corner, abs=1)
    capsys.readouterr()
    assert main(["count", str(tracks), "--zones", str(path), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["sources"]["gate"]["counts"]
    entered = [each for each in counts if each["area"] == "doorstep" and each["kind"] == "enter"]
    assert [each["count"] for each in entered] == [1]
