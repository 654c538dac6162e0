"""The player of clips: where it begins, what is drawn over it, links, and what it says."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect
from support.page_browser import Open, accessibility_problems, plays_on, shows_pictures, until
from support.page_server import CROSSED, FakeServer, at

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]


def boxes(track: int, seconds: float = 10) -> dict[str, Any]:
    """The boxes of a clip in which a track goes to the right, ten pixels a second."""
    frames = [
        [k / 10, [[track, k, 100, k + 80, 200], [99, 0, 0, 5, 5]]] for k in range(int(seconds * 10))
    ]
    return {"size": [640, 360], "classes": {str(track): "bus", "99": "car"}, "frames": frames}


def test_the_clip_shows_track_zones_and_marks(open_page: Open, fake: FakeServer) -> None:
    """The track of the visit is drawn over the clip where it is, its events are marked below."""
    zone = {"name": "Yard", "points": [[10, 10], [300, 10], [300, 170]], "classes": None}
    fake.zones["yard"] = {"size": [320, 180], "zones": [zone], "lines": []}
    visit = fake.visit_silently(track_id=7, class_name="bus", touched=CROSSED, boxes=boxes(7))
    began = visit["started"] - 1.0
    later = fake.happen_silently(
        visit=visit["id"], kind="leave", area="Yard", time=began + 3, clip_offset_s=3.0
    )
    last = fake.happen_silently(
        visit=visit["id"], kind="enter", area="Yard", time=began + 300, clip_offset_s=4.0
    )
    page = open_page()
    plays_on(page)
    page.locator(".event .card").click()
    marks = page.get_by_role("list", name="Events in the clip").get_by_role("button")
    expect(marks).to_have_count(2)
    expect(marks.last).to_have_attribute("aria-label", "car 2 left Yard, at 3.0 s")
    assert later["id"] == 2
    expect(page.locator("dialog.clip")).to_contain_text("Space plays and pauses")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('video').paused")
    marks.last.click()
    expect(page.locator(".clip canvas")).to_have_attribute("data-box", "30 100 110 200")
    drawn = page.evaluate(COLOURS)
    assert drawn["box"][3] == 255
    assert max(drawn["box"][:3]) > 120, "the colour of its class, not the dark rim"
    assert drawn["zone"], "the zone's outline"
    assert accessibility_problems(page) == []

    # A visit of minutes has further clips: they play on behind one another.
    parts = page.get_by_role("group", name="Clips of this visit").get_by_role("button")
    expect(parts).to_have_count(2)
    expect(parts.first).to_have_attribute("aria-pressed", "true")
    page.locator("video").evaluate("v => { v.loop = false; v.currentTime = v.duration; v.play(); }")
    expect(parts.last).to_have_attribute("aria-pressed", "true")
    expect(marks).to_have_count(1)
    assert page.get_by_role("link", name="Download").get_attribute("href") == (
        f"{fake.url}api/events/{last['id']}/clip.mp4"
    )
    parts.first.click()
    expect(marks).to_have_count(2)


# The colour of the box's left edge, and whether something is drawn at the zone's upper edge.
COLOURS = """() => {
  const canvas = document.querySelector('.clip canvas');
  const video = document.querySelector('video');
  const context = canvas.getContext('2d');
  const scale = Math.min(canvas.width / 640, canvas.height / 360);
  const [x, y] = [(canvas.width - 640 * scale) / 2, (canvas.height - 360 * scale) / 2];
  const pixel = (px, py) =>
    [...context.getImageData(Math.round(x + px * scale), Math.round(y + py * scale), 1, 1).data];
  return { box: pixel(30, 150), zone: pixel(310, 20)[3] > 0 };
}"""


def test_a_clip_that_is_still_being_recorded(open_page: Open, fake: FakeServer) -> None:
    """What follows an event belongs to its clip: the player waits for it."""
    page = open_page(allowed=("status of 404",))
    shows_pictures(page)
    visit = fake.visit(clip=False, clip_offset_s=None)
    page.locator(".event .card").click()
    expect(page.locator("dialog.clip")).to_contain_text("still being recorded")
    fake.events[0]["clip"] = visit["clip"] = True
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.1")


def test_a_clip_that_the_browser_cannot_play_can_be_downloaded(
    open_page: Open, fake: FakeServer
) -> None:
    """A copied clip may be H.265: it was "still being recorded" for ever, without a download."""
    page = open_page()
    page.route("**/clip.mp4", lambda route: route.fulfill(body=b"other", content_type="video/mp4"))
    fake.visit()
    page.locator(".event .card").click()
    expect(page.locator("dialog.clip")).to_contain_text("This browser cannot play the clip")
    expect(page.get_by_role("link", name="Download")).to_be_visible()


def test_a_late_answer_does_not_undo_a_jump(page: Page, fake: FakeServer) -> None:
    """Where the event is in its clip came after people had gone elsewhere, and took them back."""
    fake.visit(clip_offset_s=None)
    fake.events[0]["clip_offset_s"] = 5.0
    plays_on(page)
    held: list[Route] = []
    page.route("**/api/events?*", lambda route: held.append(route))
    page.locator(".event .card").click()
    until(page, lambda: bool(held))
    video = page.locator("video")
    video.evaluate("video => { video.pause(); video.currentTime = 7; }")
    held.pop().continue_()
    expect(page.get_by_role("list", name="Events in the clip").get_by_role("button")).to_have_count(
        1
    )
    assert video.evaluate("video => video.currentTime") >= 7


@pytest.mark.parametrize(
    "is_known", [True, False], ids=["with its visit", "once the clip is there"]
)
def test_a_shared_clip_begins_shortly_before_the_event(
    open_page: Open, fake: FakeServer, is_known: bool
) -> None:
    """It began with another event, up to 55 s earlier, and people waited for theirs."""
    page = open_page(allowed=("status of 404",))
    fake.visit(clip_offset_s=5.0 if is_known else None)
    fake.events[0]["clip_offset_s"] = 5.0
    page.locator(".event .card").click()
    page.wait_for_function("() => document.querySelector('video').currentTime >= 3")


def test_a_link_opens_its_visit_and_can_be_copied(open_page: Open, fake: FakeServer) -> None:
    fake.visit_silently(class_name="bus", camera="street")
    fake.visit_silently()
    page = open_page("#visit/1", allowed=("status of 404",))
    expect(page.locator("#clip-title")).to_contain_text("bus, Gate · street")
    href = page.get_by_role("link", name="Download").get_attribute("href")
    assert urlsplit(href or "").path == "/api/events/1/clip.mp4"
    field = page.get_by_label("Link to this visit")
    page.evaluate(
        "() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }"
    )
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("The link is copied")).to_be_visible()
    expect(field).to_be_hidden()
    assert page.evaluate("window.copied") == f"{fake.url}#visit/1"
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(Error()); }")
    page.get_by_role("button", name="Copy link").click()
    expect(field).to_have_value(f"{fake.url}#visit/1")
    expect(field).to_be_visible()
    page.keyboard.press("Escape")
    until(page, lambda: "visit" not in page.url)
    page.evaluate("location.hash = '#visit/77'")
    expect(page.locator("#clip-title")).to_have_text("There is no such visit")


def test_through_the_clips_by_key(open_page: Open, fake: FakeServer) -> None:
    """N and P go to the newer and the older visit that has a clip."""
    for number, clip in enumerate((True, False, True), 1):
        started = time.time() - 600 + number
        fake.visit_silently(touched=[at(f"Area {number}")], clip=clip, started=started)
    page = open_page(allowed=("status of 404",))
    page.locator(".event button").first.click()
    expect(page.locator("#clip-title")).to_contain_text("Area 3")
    page.keyboard.press("p")
    expect(page.locator("#clip-title")).to_contain_text("Area 1")
    page.keyboard.press("n")
    expect(page.locator("#clip-title")).to_contain_text("Area 3")
