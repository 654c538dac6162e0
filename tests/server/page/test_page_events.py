"""The visits of the last hours, their clips, and what was counted."""

from __future__ import annotations

import re
import time

import cv2
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from support.page_browser import Open, accessibility_problems, plays_on, shows_pictures, until
from support.page_server import CROSSED, FakeServer, at

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]


def jpeg(colour: tuple[int, int, int]) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((210, 280, 3), colour, np.uint8))[1])


def has_picture(page: Page, place: int) -> None:
    """Wait until the card at this place shows its picture."""
    shown = "n => document.querySelector(`.event:nth-child(${n}) img`).naturalWidth === 280"
    page.wait_for_function(shown, arg=place)


def test_a_visit_is_one_card_and_its_clip_plays(page: Page, fake: FakeServer) -> None:
    """Enter, cross and leave of one track were three lines; the clip plays by keyboard too."""
    expect(page.get_by_text("No events yet")).to_be_visible()
    fake.visit(class_name="bus", track_id=7, touched=CROSSED, seconds=12.0)
    card = page.locator(".event")
    expect(card).to_have_count(1)
    for text in ("bus", "Kerb in", "Yard", "yard", "12 s"):
        expect(card).to_contain_text(text)
    expect(page.get_by_text("No events yet")).to_be_hidden()
    plays_on(page)
    page.get_by_role("button", name="Play clip: bus").focus()
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


def seconds_of(card: Locator) -> str:
    (seconds,) = re.findall(r"(\d+) s, still there", card.inner_text())
    return str(seconds)


def test_an_open_visit_changes_in_place(page: Page, fake: FakeServer) -> None:
    """Its card stays where it is, with the focus on it, while the track is there and after."""
    visit = fake.visit(ended=None, seconds=0.0, started=time.time() - 10, camera="street")
    fake.visit(class_name="dog")
    card = page.locator(".event", has_text="street")
    expect(card).to_contain_text(re.compile(r"\d\d s, still there"))
    expect(card).not_to_contain_text(f"{seconds_of(card)} s, still there")
    card.get_by_role("button").focus()
    moved = [at("Gate"), at("Kerb", "cross", "out")]
    fake.change(visit, touched=moved, jpeg=jpeg((0, 0, 255)), thumbnail=3)
    expect(card).to_contain_text("Kerb out")
    has_picture(page, 2)
    fake.change(visit, ended=time.time(), seconds=130.0)
    expect(card).to_contain_text("2 min")
    expect(card).not_to_contain_text("still there")
    expect(card.get_by_role("button")).to_be_focused()
    expect(page.locator(".event")).to_have_count(2)
    expect(page.locator(".event").last).to_contain_text("street")


def test_a_camera_that_was_lost_is_a_card_without_a_clip(page: Page, fake: FakeServer) -> None:
    lost = fake.visit(track_id=0, class_name="", touched=[at("", "lost")], ended=None, clip=False)
    card = page.locator(".event")
    expect(card).to_contain_text("camera lost")
    expect(card).to_contain_text("still lost")
    expect(card.get_by_role("button")).to_have_count(0)
    fake.change(
        lost,
        touched=[at("", "lost"), at("", "live")],
        ended=time.time(),
        seconds=120.0,
    )
    expect(card).to_contain_text("camera was lost")
    expect(card).to_contain_text("2 min")


def test_visits_lie_in_the_order_of_their_starts(open_page: Open, fake: FakeServer) -> None:
    """What is stored seconds later stood above what began after it."""
    now = time.time()
    fake.visit_silently(touched=[at("First")], started=now - 60)
    page = open_page()
    expect(page.locator(".event")).to_have_count(1)
    fake.visit(touched=[at("Third")], started=now - 1)
    fake.visit(touched=[at("Second")], started=now - 4)
    expect(page.locator(".event")).to_have_count(3)
    texts = page.locator(".event .what").all_inner_texts()
    wanted = ["Third", "Second", "First"]
    assert [want in text for want, text in zip(wanted, texts, strict=True)] == [True] * 3


def test_a_visit_without_a_clip_has_no_button(open_page: Open, fake: FakeServer) -> None:
    fake.visit_silently(clip=False, started=time.time() - 3600)
    page = open_page()
    expect(page.locator(".event")).to_contain_text("no clip")
    expect(page.locator(".event button")).to_have_count(0)


def test_filters(open_page: Open, fake: FakeServer) -> None:
    """Filters hold for what was stored and for what comes while they are set."""
    line = {"name": "Kerb", "points": [[0, 0], [9, 9]], "classes": None}
    zone = {"name": "Gate", "points": [[0, 0], [9, 9], [0, 9]], "classes": None}
    fake.zones["yard"] = {"size": None, "zones": [zone], "lines": [line]}
    page = open_page()
    shows_pictures(page)
    fake.visit(touched=CROSSED, class_name="bus", seconds=80.0, started=time.time() - 7200)
    fake.visit(class_name="person", camera="street")
    visits = page.locator(".event")
    expect(visits).to_have_count(2)
    page.get_by_label("Class", exact=True).select_option("bus")
    expect(visits).to_have_count(1)
    fake.visit(class_name="person")
    fake.visit(class_name="bus")
    expect(visits).to_have_count(2)
    page.get_by_label("Kind").select_option("cross")
    expect(visits).to_have_count(1)
    page.get_by_label("Kind").select_option("")
    page.get_by_label("Zone or line").select_option("Kerb (line)")
    expect(visits).to_have_count(1)
    wanted = {"class": "bus", "line": "Kerb", "limit": "50"}
    until(page, lambda: fake.asked[-1] == wanted)
    page.get_by_label("Zone or line").select_option("Gate")
    expect(visits).to_have_count(1)
    page.get_by_label("Zone or line").select_option("")
    page.get_by_label("Length").select_option("From 1 min")
    expect(visits).to_have_count(1)
    expect(visits).to_contain_text("80 s")
    page.get_by_label("Time", exact=True).select_option("Last hour")
    expect(page.get_by_text("No such events")).to_be_visible()
    page.get_by_label("Length").select_option("")
    expect(visits).to_have_count(1)
    page.get_by_label("Time", exact=True).select_option("From … to …")
    page.get_by_label("To", exact=True).fill("2020-01-31T10:00")
    expect(page.get_by_text("No such events")).to_be_visible()
    until(page, lambda: set(fake.asked[-1]) == {"class", "until", "limit"})


def test_the_large_camera_has_its_own_visits(page: Page, fake: FakeServer) -> None:
    fake.visit(camera="yard", touched=[at("Gate")])
    fake.visit(camera="street", touched=[at("Kerb")])
    page.locator('[data-camera="street"] .open').click()
    expect(page.locator(".event")).to_have_count(1)
    expect(page.locator(".event")).to_contain_text("Kerb")
    expect(page.locator(".facts")).to_contain_text("2 for newer ones, 1 too old")
    page.keyboard.press("Escape")
    expect(page.locator(".event")).to_have_count(2)


def test_a_large_camera_without_zones_says_to_draw_some(page: Page, fake: FakeServer) -> None:
    """It said "choose All", as if a filter were set."""
    fake.visit(camera="street")
    page.locator('[data-camera="yard"] .open').click()
    empty = page.locator(".events .empty")
    expect(empty).to_contain_text("Edit zones")
    expect(empty).not_to_contain_text("All")
    page.get_by_label("Kind").select_option("cross")
    expect(empty).to_contain_text("choose “All”")


def test_older_visits_and_no_end_of_new_ones(open_page: Open, fake: FakeServer) -> None:
    """Older ones come with scrolling or the button; the list of a busy night stays bounded."""
    now = time.time()
    for number in range(120):
        fake.visit_silently(touched=[at(f"Area {number}")], started=now - 500 + number)
    page = open_page()
    visits = page.locator(".event")
    expect(visits).to_have_count(50)
    expect(visits.first).to_contain_text("Area 119")
    page.locator(".events .scroll").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    until(page, lambda: visits.count() >= 100)
    # The list's end being in view, more may come, and the button be gone, in the next moment.
    more = "document.querySelector('.events .more button').click()"

    def all_there() -> bool:
        page.evaluate(more)
        return visits.count() == 120

    until(page, all_there)
    expect(visits.last).to_contain_text("Area 0")
    for number in range(300):
        fake.visit(touched=[at(f"New {number}")], started=now + number / 10)
    expect(visits.first).to_contain_text("New 299")
    expect(visits).to_have_count(400)


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


def test_a_visit_that_comes_while_the_list_is_loading(page: Page, fake: FakeServer) -> None:
    """The answer was made before the visit: it must not take away what has come since."""
    answers = []
    page.route("**/api/visits?*", lambda route: answers.append((route, route.fetch())))
    page.get_by_label("Kind").select_option("enter")
    until(page, lambda: len(answers) == 1)
    fake.visit(touched=[at("Just now")])
    fake.visit(touched=[at("Not asked for", "leave")])
    expect(page.locator(".event")).to_have_count(1)
    route, answer = answers[0]
    route.fulfill(response=answer)
    page.wait_for_timeout(300)
    expect(page.locator(".event")).to_have_count(1)
    expect(page.locator(".event")).to_contain_text("Just now")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_list_is_accessible_and_fits(
    open_page: Open, fake: FakeServer, theme: str, width: int
) -> None:
    now = time.time()
    harm = "<img src=x onerror=alert(1)>" + "x" * 80
    fake.visit_silently(touched=[at(harm), *CROSSED], class_name=harm, started=now - 4000)
    fake.visit_silently(jpeg=jpeg((30, 90, 30)), thumbnail=1, touched=CROSSED, started=now - 90)
    fake.visit_silently(track_id=0, class_name="", touched=[at("", "lost")], ended=None, clip=False)
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    if width < 700:
        page.get_by_role("button", name="Events", exact=True).click()
    expect(page.locator(".event")).to_have_count(3)
    has_picture(page, 2)
    assert accessibility_problems(page) == []
    assert page.evaluate(TOO_WIDE) == []


# What is wider than its place.
TOO_WIDE = """() => [...document.querySelectorAll(".rail, .event, .filters")]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className)"""
