"""Cameras added, tried, changed and removed in a form of the page."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.page_browser import Open, accessibility_problems, shows_pictures, until
from support.page_server import FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

REFUSED = ("Failed to load resource",)


@pytest.fixture
def empty(fake: FakeServer, open_page: Open) -> Page:
    """The page of a server without a camera."""
    fake.offered = [fake.cameras.pop() for _ in range(2)]
    return open_page(allowed=REFUSED)


def field(page: Page, label: str) -> Any:
    return page.get_by_role("dialog").get_by_label(label, exact=True)


def test_a_first_run_opens_the_form_and_a_camera_is_tried_and_added(
    empty: Page, fake: FakeServer
) -> None:
    """By keyboard alone: the form has the focus at once."""
    form = empty.get_by_role("dialog", name="Add a camera")
    expect(form).to_be_visible()
    expect(field(empty, "Address")).to_be_focused()
    empty.keyboard.type("rtsp://10.0.0.5/stream1")
    for text in ("viewer", "p@ss/word", "yard"):
        empty.keyboard.press("Tab")
        empty.keyboard.type(text)
    assert accessibility_problems(empty) == []
    for _ in range(2):  # past the main stream, to "Test"
        empty.keyboard.press("Tab")
    empty.keyboard.press("Enter")
    expect(form.get_by_text("It works: 320 × 180, 12.5 pictures a second.")).to_be_visible()
    expect(form.get_by_role("img", name="Picture of this camera")).to_be_visible()
    assert accessibility_problems(empty) == []
    form.get_by_role("button", name="Add", exact=True).click()
    expect(form).to_have_count(0)
    login = {"user": "viewer", "password": "p@ss/word"}
    assert fake.tried == [{"address": "rtsp://10.0.0.5/stream1", **login, "camera": None}]
    assert fake.added == [{"address": "rtsp://10.0.0.5/stream1", **login, "name": "yard"}]
    expect(empty.locator(".tile .open")).to_be_focused()
    shows_pictures(empty, 1)


def test_why_there_is_no_picture_is_said_and_what_was_typed_stays(
    empty: Page, fake: FakeServer
) -> None:
    fake.refuse_camera = "10.0.0.5: refuses the name or password (401) <img src=x>"
    field(empty, "Address").fill("rtsp://10.0.0.5/1")
    for button in ("Test", "Add"):
        empty.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()
        expect(empty.get_by_role("alert").filter(has_text="401")).to_have_text(fake.refuse_camera)
        expect(field(empty, "Address")).to_have_value("rtsp://10.0.0.5/1")
    assert empty.locator("dialog img[src='x']").count() == 0


def test_the_form_opens_by_itself_once_only(empty: Page, fake: FakeServer) -> None:
    expect(empty.get_by_role("dialog")).to_be_visible()
    empty.keyboard.press("Escape")
    expect(empty.get_by_role("dialog")).to_have_count(0)
    empty.wait_for_timeout(3500)
    expect(empty.get_by_role("dialog")).to_have_count(0)
    empty.get_by_role("button", name="Add a camera").click()
    expect(empty.get_by_role("dialog")).to_be_visible()


def test_no_form_is_offered_where_cameras_cannot_be_changed(
    fake: FakeServer, open_page: Open
) -> None:
    fake.fixed = "the cameras stand on the command line"
    fake.cameras.clear()
    page = open_page()
    expect(page.get_by_text("No cameras yet")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Add")).to_have_count(0)


def test_a_camera_is_changed_and_only_what_was_changed_is_sent(
    page: Page, fake: FakeServer
) -> None:
    page.locator('[data-camera="yard"] .open').click()
    page.keyboard.press("s")
    form = page.get_by_role("dialog", name="Settings of yard")
    expect(field(page, "Password")).to_have_value("")
    expect(field(page, "Password")).to_have_attribute("placeholder", "unchanged")
    assert accessibility_problems(page) == []
    field(page, "Main stream for clips").fill(main := "rtsp://10.0.0.5/main")
    field(page, "Classes").fill("person, car")
    field(page, "Lowest score").fill("0.4")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    detect = {"classes": ["person", "car"], "conf": 0.4, "fps": None, "imgsz": None}
    changed = {"camera": "yard", "version": "v1", "record": main, "detect": detect}
    assert fake.changed == [changed]
    # A detector of one size: there is nothing to choose.
    fake.takes_sizes = False
    page.keyboard.press("s")
    expect(field(page, "Lowest score")).to_be_visible()
    expect(page.get_by_label("Size of the network's input")).to_have_count(0)
    page.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    assert fake.changed[-1]["detect"]["imgsz"] is None


def test_a_camera_is_removed_after_a_question(page: Page, fake: FakeServer) -> None:
    page.locator('[data-camera="yard"] .open').click()
    page.get_by_role("button", name="Settings of this camera").click()
    page.get_by_role("button", name="Remove …").click()
    page.get_by_role("button", name="Keep").click()
    assert len(fake.cameras) == 2
    page.get_by_role("button", name="Remove …").click()
    page.get_by_role("dialog", name="Remove yard?").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    until(page, lambda: [one.name for one in fake.cameras] == ["street"])
    expect(page.locator(".tile")).to_have_count(1)


def test_the_form_fits_a_phone(fake: FakeServer, open_page: Open) -> None:
    size = {"width": 390, "height": 800}
    phone = {"viewport": size, "has_touch": True, "is_mobile": True, "color_scheme": "light"}
    page = open_page(**phone)
    shows_pictures(page, 1)
    page.locator('[data-camera="yard"] .open').tap()
    page.get_by_role("button", name="More", exact=True).tap()
    page.get_by_role("button", name="Settings of this camera").tap()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.querySelector('dialog[open]').scrollWidth") <= 390
    assert accessibility_problems(page) == []
    low = """() => [...document.querySelectorAll("dialog[open] :is(button, input)")]
      .filter((one) => one.getBoundingClientRect().height < 43).map((one) => one.outerHTML)"""
    assert page.evaluate(low) == []
