"""The events of the last hours, their clips, and what was counted."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect
from support.page_browser import Open, shows_pictures, until
from support.page_server import FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]


def test_an_event_appears_and_its_clip_plays(page: Page, fake: FakeServer) -> None:
    """An event is in the list while it is news; its clip plays, by keyboard too."""
    expect(page.get_by_text("No events yet")).to_be_visible()
    fake.happen(kind="cross", area="Kerb", direction="in", class_name="bus", track_id=7)
    first = page.locator(".event").first
    expect(first).to_contain_text("bus 7 crossed Kerb in")
    expect(page.get_by_text("No events yet")).to_be_hidden()
    first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.3")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('video').paused")
    before = page.evaluate("document.querySelector('video').currentTime")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("t => document.querySelector('video').currentTime > t + 1", arg=before)
    page.keyboard.press("Escape")
    expect(page.locator("dialog.clip")).to_be_hidden()
    assert page.evaluate("document.querySelector('video').hasAttribute('src')") is False


def test_a_clip_that_is_still_being_recorded(open_page: Open, fake: FakeServer) -> None:
    """What follows an event belongs to its clip: the player waits for it."""
    page = open_page(allowed=("status of 404",))
    shows_pictures(page)
    event = fake.happen(clip=False)
    page.locator(".event button").first.click()
    expect(page.locator("dialog.clip")).to_contain_text("still being recorded")
    event["clip"] = True
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.1")


@pytest.mark.parametrize(
    "is_known", [True, False], ids=["with its event", "once the clip is there"]
)
def test_a_shared_clip_begins_shortly_before_the_event(
    page: Page, fake: FakeServer, is_known: bool
) -> None:
    """It began with another event, up to 55 s earlier, and people waited for theirs."""
    event = fake.happen(clip_offset_s=5.0 if is_known else None)
    event["clip_offset_s"] = 5.0
    page.locator(".event button").first.click()
    page.wait_for_function("() => document.querySelector('video').currentTime >= 3")


def test_events_lie_in_the_order_of_their_times(open_page: Open, fake: FakeServer) -> None:
    """A "leave" is sent seconds later, and stood above events that happened after it."""
    now = time.time()
    fake.happen_silently(area="First", time=now - 60)
    page = open_page()
    expect(page.locator(".event")).to_have_count(1)
    fake.happen(area="Third", time=now - 1)
    fake.happen(area="Second", time=now - 4)
    fake.happen(kind="lost", area="", class_name="", time=now - 2)
    expect(page.locator(".event")).to_have_count(4)
    texts = page.locator(".event .what").all_inner_texts()
    wanted = ["Third", "camera lost", "Second", "First"]
    assert [want in text for want, text in zip(wanted, texts, strict=True)] == [True] * 4
    expect(page.locator(".event", has_text="camera lost").get_by_role("button")).to_have_count(0)


def test_an_event_without_a_clip_has_no_button(open_page: Open, fake: FakeServer) -> None:
    fake.happen_silently(clip=False, time=time.time() - 3600)
    page = open_page()
    expect(page.locator(".event")).to_contain_text("no clip")
    expect(page.locator(".event button")).to_have_count(0)


def test_through_the_clips_by_key(open_page: Open, fake: FakeServer) -> None:
    """N and P go to the newer and the older event that has a clip."""
    for number, clip in enumerate((True, False, True), 1):
        fake.happen_silently(area=f"Area {number}", clip=clip, time=time.time() - 600)
    page = open_page()
    page.locator(".event button").first.click()
    expect(page.locator("#clip-title")).to_contain_text("Area 3")
    page.keyboard.press("p")
    expect(page.locator("#clip-title")).to_contain_text("Area 1")
    page.keyboard.press("n")
    expect(page.locator("#clip-title")).to_contain_text("Area 3")


def test_filters(page: Page, fake: FakeServer) -> None:
    """Filters hold for what was stored and for what comes while they are set."""
    fake.happen(kind="cross", area="Kerb", direction="out", class_name="bus")
    fake.happen(kind="enter", area="Gate", class_name="person", camera="street")
    events = page.locator(".event")
    expect(events).to_have_count(2)
    page.get_by_label("Class", exact=True).select_option("bus")
    expect(events).to_have_count(1)
    fake.happen(kind="enter", area="Gate", class_name="person")
    fake.happen(kind="enter", area="Gate", class_name="bus")
    expect(events).to_have_count(2)
    page.get_by_label("Kind").select_option("cross")
    expect(events).to_have_count(1)
    page.get_by_label("Camera", exact=True).select_option("street")
    expect(page.get_by_text("No such events")).to_be_visible()


def test_the_large_camera_has_its_own_events(page: Page, fake: FakeServer) -> None:
    fake.happen(camera="yard", area="Gate")
    fake.happen(camera="street", area="Kerb")
    page.locator('[data-camera="street"] .open').click()
    expect(page.locator(".event")).to_have_count(1)
    expect(page.locator(".event")).to_contain_text("Kerb")
    expect(page.locator(".facts")).to_contain_text("2 overrun, 1 stale")
    page.keyboard.press("Escape")
    expect(page.locator(".event")).to_have_count(2)


def test_a_large_camera_without_zones_says_to_draw_some(page: Page, fake: FakeServer) -> None:
    """It said "choose All", as if a filter were set."""
    fake.happen(camera="street", area="Kerb")
    page.locator('[data-camera="yard"] .open').click()
    empty = page.locator(".events .empty")
    expect(empty).to_contain_text("Edit zones")
    expect(empty).not_to_contain_text("All")
    page.get_by_label("Kind").select_option("cross")
    expect(empty).to_contain_text("choose “All”")


def test_older_events_and_no_end_of_new_ones(open_page: Open, fake: FakeServer) -> None:
    """Older ones come when asked for; the list of a busy night stays bounded."""
    for number in range(150):
        fake.happen_silently(area=f"Area {number}")
    page = open_page()
    events = page.locator(".event")
    expect(events).to_have_count(100)
    expect(events.first).to_contain_text("Area 149")
    page.get_by_role("button", name="Older events").click()
    expect(events).to_have_count(150)
    expect(events.last).to_contain_text("Area 0")
    for number in range(300):
        fake.happen(area=f"New {number}")
    expect(events.first).to_contain_text("New 299")
    expect(events).to_have_count(400)


def test_counts(open_page: Open, fake: FakeServer) -> None:
    """In and out of lines, coming and going of zones, who is inside now."""
    for kind, direction, name, count in (
        ("cross", "in", "car", 12),
        ("cross", "in", "bus", 3),
        ("cross", "out", "car", 9),
    ):
        row = {"camera": "yard", "area": "Kerb", "kind": kind, "direction": direction}
        fake.counts.append({**row, "class_name": name, "count": count})
    fake.cameras[1].inside = {"Pavement": 2}
    page = open_page()
    line = page.get_by_role("row", name="Kerb")
    expect(line.get_by_role("cell")).to_have_text(["15", "9"])
    cars = page.get_by_role("row", name="car")
    expect(cars.get_by_role("cell")).to_have_text(["12", "9"])
    inside = page.get_by_role("row", name="Pavement")
    expect(inside.get_by_role("cell").first).to_have_text("2")
    fake.cameras[1].inside = {"Pavement": 5}
    expect(inside.get_by_role("cell").first).to_have_text("5")


def test_an_event_that_comes_while_the_list_is_loading(page: Page, fake: FakeServer) -> None:
    """The answer was made before the event: it must not take away what has come since."""
    answers = []
    page.route("**/api/events?*", lambda route: answers.append((route, route.fetch())))
    page.get_by_label("Kind").select_option("enter")
    until(page, lambda: len(answers) == 1)
    fake.happen(kind="enter", area="Just now")
    fake.happen(kind="leave", area="Not asked for")
    expect(page.locator(".event")).to_have_count(1)
    route, answer = answers[0]
    route.fulfill(response=answer)
    page.wait_for_timeout(300)
    expect(page.locator(".event")).to_have_count(1)
    expect(page.locator(".event")).to_contain_text("Just now")
