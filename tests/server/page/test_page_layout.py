"""How the page uses the window: columns of the wall, filled tiles, a folded rail, phones."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from support.page_browser import Open, accessibility_problems, bounds, goes_on, shows_pictures
from support.page_server import Camera, FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

LAYOUT = """async ([aspects, width, height, cover]) => (await import('./layout.js'))
  .layoutOf(aspects, width, height, { caption: 30, gap: 2, cover })"""
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize(
    ("aspects", "width", "height", "cover", "columns"),
    [
        ([16 / 9], 900, 700, False, 1),
        ([16 / 9] * 2, 900, 700, False, 1),
        ([16 / 9] * 2, 900, 400, False, 2),
        ([9 / 16] * 2, 900, 700, False, 2),
        ([16 / 9] * 4, 900, 700, False, 2),
        ([16 / 9] * 7, 900, 700, False, 3),
        ([16 / 9] * 16, 900, 700, False, 4),
        ([9 / 16] * 3, 900, 700, False, 3),
        ([16 / 9] * 2, 900, 700, True, 1),
        ([9 / 16] * 2, 900, 700, True, 2),
        ([16 / 9] * 5, 1900, 300, True, 5),
        ([16 / 9] * 60, 900, 700, False, None),
        ([16 / 9], 900, 20, False, None),
    ],
)  # fmt: skip
def test_columns_that_make_pictures_largest(
    functions: Page, aspects: list[float], width: int, height: int, cover: bool, columns: int | None
) -> None:
    found = functions.evaluate(LAYOUT, [aspects, width, height, cover])
    assert (found and found["columns"]) == columns
    if found:
        rows = -(-len(aspects) // found["columns"])
        assert rows * (found["row"] + 2) <= height


def test_sixteen_cameras_on_one_screen(open_page: Open, fake: FakeServer) -> None:
    """Sixteen made a wall of two columns that had to be scrolled."""
    scene = fake.cameras[0].scene
    fake.cameras[:] = [Camera(f"Camera {n:02}", scene) for n in range(16)]
    page = open_page()
    shows_pictures(page, 16)
    wall = page.locator("#wall")
    assert wall.evaluate("one => one.scrollHeight <= one.clientHeight")
    assert min(one["width"] for one in boxes(page)) > 200


def boxes(page: Page) -> list[dict[str, float]]:
    script = """all => all.map((one) => {
      const { x, y, width, height } = one.getBoundingClientRect();
      return { x, y, width, height };
    })"""
    found: list[dict[str, float]] = page.locator(".tile .stage").evaluate_all(script)
    return found


def test_filled_tiles_have_their_boxes_in_place(open_page: Open, fake: FakeServer) -> None:
    """What is cut off a picture is cut off its boxes too; a large camera shows all of it."""
    del fake.cameras[1]
    page = open_page(viewport={"width": 1280, "height": 550})
    page.evaluate("localStorage.setItem('trackline.off', 'labels trails zones')")
    page.reload()
    shows_pictures(page, 1)
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Fill")).to_have_attribute("aria-pressed", "true")
    stage = boxes(page)[0]
    assert 320 * stage["height"] / stage["width"] < 170  # of 180 rows: some are cut off
    compared = 0
    for _ in range(20):
        goes_on(page, "yard")
        if (now := bounds(page, "yard"))["object"]:
            assert now["drawn"] == pytest.approx(now["object"], abs=3 / now["scale"] + 1)
            compared += 1
    assert compared >= 3
    page.reload()
    expect(page.locator("#wall")).to_have_attribute("data-cover", "")
    page.locator(".tile .open").click()
    expect(page.locator(".tile.large .picture")).to_have_css("object-fit", "contain")


def test_the_rail_folds_and_stays_folded(page: Page) -> None:
    """The wall takes its room; who draws zones gets the editor all the same."""
    before = page.locator("#wall").evaluate("one => one.clientWidth")
    page.get_by_role("button", name="List").click()
    expect(page.locator("#rail")).to_be_hidden()
    assert page.locator("#wall").evaluate("one => one.clientWidth") > before + 300
    page.reload()
    shows_pictures(page)
    expect(page.locator("#rail")).to_be_hidden()
    page.locator('[data-camera="yard"] .open').click()
    page.keyboard.press("e")
    expect(page.get_by_role("button", name="New zone")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#rail")).to_be_hidden()
    page.keyboard.press("r")
    expect(page.locator("#rail")).to_be_visible()


def test_the_whole_screen(page: Page, fake: FakeServer) -> None:
    """The cameras alone; that the server is away is still said."""
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement !== null")
    expect(page.locator(".bar")).to_be_hidden()
    expect(page.locator("#rail")).to_be_hidden()
    fake.config_error = "cameras.yaml, line 14: unknown key 'max_age'"
    expect(page.get_by_role("alert").first).to_contain_text("line 14")
    page.keyboard.press("f")
    expect(page.locator(".bar")).to_be_visible()
    pressed = page.get_by_role("button", name="Full screen")
    expect(pressed).to_have_attribute("aria-pressed", "false")


def test_a_phone_has_a_cameras_events_below_its_picture(open_page: Open, fake: FakeServer) -> None:
    """They were two taps away, without the picture; the layers took a row of every screen."""
    fake.visit_silently(camera="yard")
    page = open_page(**PHONE)
    shows_pictures(page, 1)
    boxes_button = page.get_by_role("button", name="Boxes")
    expect(boxes_button).to_be_hidden()
    page.get_by_role("button", name="View", exact=True).tap()
    boxes_button.tap()
    expect(boxes_button).to_have_attribute("aria-pressed", "false")
    assert accessibility_problems(page) == []
    page.keyboard.press("Escape")
    expect(boxes_button).to_be_hidden()
    page.locator('[data-camera="yard"] .open').tap()
    goes_on(page, "yard")
    picture = page.locator(".tile.large .stage").bounding_box()
    tools, more = page.locator(".tile.large .large-tools"), page.get_by_role("button", name="More")
    assert tools.evaluate("one => one.offsetHeight") < 64, "one row, in which the name is readable"
    assert tools.locator("h2").evaluate("one => one.clientWidth") > 100
    more.tap()
    expect(page.get_by_role("link", name="Snapshot")).to_be_visible()
    assert accessibility_problems(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Snapshot")).to_be_hidden()
    expect(page.locator(".tile.large")).to_be_visible()
    counts, events = page.locator(".counts"), page.locator(".event").first
    assert picture
    assert picture["width"] / picture["height"] == pytest.approx(16 / 9, abs=0.05)
    expect(counts).to_be_visible()
    top = counts.bounding_box()
    assert top
    assert top["y"] >= picture["y"] + picture["height"]
    events.scroll_into_view_if_needed()
    expect(events).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert accessibility_problems(page) == []


def test_a_phone_on_its_side_gives_the_picture_the_screen(open_page: Open) -> None:
    page = open_page("#camera/yard", **{**PHONE, "viewport": {"width": 800, "height": 360}})
    shows_pictures(page, 1)
    expect(page.locator(".tile.large")).to_be_visible()
    picture = page.locator(".tile.large .stage").bounding_box()
    assert picture
    assert picture["height"] >= 350
    assert picture["width"] >= 790
    page.get_by_role("button", name="Back to all cameras").tap()
    expect(page.locator(".tile.large")).to_have_count(0)
