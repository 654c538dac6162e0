"""Zones and lines drawn over a picture with mouse, touch and keyboard, and saved."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.page_browser import Open, accessibility_problems, shows_pictures
from support.page_scenes import synthetic
from support.page_server import FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

AREAS: dict[str, Any] = {
    "size": [320, 180],
    "settle_s": 0.5,
    "zones": [
        {
            "name": "Gate",
            "points": [[40, 40], [200, 40], [200, 140], [40, 140]],
            "classes": None,
            "dwell_s": None,
        }
    ],
    "lines": [{"name": "Kerb", "points": [[20, 160], [300, 160]], "classes": ["car"]}],
}


@pytest.fixture
def editing(open_page: Open, fake: FakeServer) -> Page:
    """The page with camera `yard` large and its zones being edited."""
    page = open_page("#camera/yard")
    page.wait_for_selector("[data-camera=yard][data-shown]")
    page.get_by_role("button", name="Edit zones and lines").click()
    page.wait_for_selector(".draft")
    return page


@pytest.fixture
def existing(fake: FakeServer) -> dict[str, Any]:
    """Asked for before `editing`: there is a zone and a line already."""
    fake.zones["yard"] = AREAS
    return AREAS


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Return where a point of the 320 x 180 picture lies in the window."""
    box = page.locator("[data-camera=yard] .stage").bounding_box()
    assert box
    scale = min(box["width"] / 320, box["height"] / 180)
    left = box["x"] + (box["width"] - 320 * scale) / 2
    top = box["y"] + (box["height"] - 180 * scale) / 2
    return left + x * scale, top + y * scale


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, *end), steps=4)
    page.mouse.up()


def save(page: Page, fake: FakeServer) -> dict[str, Any]:
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    return fake.saved[-1]


def test_draw_a_zone_with_the_mouse(editing: Page, fake: FakeServer) -> None:
    """What was clicked is what the server gets, in the picture's pixels; a reload shows it."""
    corners = [(30, 30), (180, 40), (160, 150), (40, 120)]
    editing.get_by_role("button", name="New zone").click()
    for corner in corners:
        editing.mouse.click(*at(editing, *corner))
    editing.mouse.click(*at(editing, *corners[0]))
    editing.keyboard.type("Gate")
    editing.get_by_label("Event after so many seconds inside").fill("12.5")
    editing.get_by_role("button", name="car", exact=True).click()
    saved = save(editing, fake)
    (zone,) = saved["zones"]
    assert saved["camera"] == "yard"
    assert saved["size"] == [320, 180]
    assert zone["name"] == "Gate"
    assert zone["dwell_s"] == 12.5
    assert zone["classes"] == ["car"]
    for point, corner in zip(zone["points"], corners, strict=True):
        assert point == pytest.approx(corner, abs=0.6)
    editing.reload()
    editing.get_by_role("button", name="Edit zones and lines").click()
    expect(editing.locator(".editor .list")).to_contain_text("Gate")
    expect(editing.locator(".draft polygon.shape")).to_have_count(1)


def test_draw_a_line_with_the_keyboard_alone(editing: Page, fake: FakeServer) -> None:
    """No mouse: Space sets the ends at the cross, S of Save by Tab and Enter."""
    editing.get_by_role("button", name="New line").press("Enter")
    for _ in range(5):
        editing.keyboard.press("Shift+ArrowLeft")
    editing.keyboard.press("Space")
    for _ in range(10):
        editing.keyboard.press("Shift+ArrowRight")
    editing.keyboard.press("Space")
    editing.keyboard.type("Kerb")
    editing.get_by_role("button", name="Save", exact=True).press("Enter")
    expect(editing.get_by_text("Saved.")).to_be_visible()
    (line,) = fake.saved[-1]["lines"]
    (x1, y1), (x2, y2) = line["points"]
    assert line["name"] == "Kerb"
    assert x2 - x1 > 50
    assert y1 == pytest.approx(90, abs=1)
    assert y2 == pytest.approx(90, abs=1)
    assert "dwell_s" not in line


@pytest.mark.parametrize("by", ["drag", "clicks", "keys"])
def test_a_line_is_complete_with_its_second_end(editing: Page, fake: FakeServer, by: str) -> None:
    """Pressed at one end and let go at the other: the second point was lost. Then people clicked
    both ends and wondered why the line went on."""
    corners = [(160, 90), (200, 100)] if by == "keys" else [(40, 90), (200, 100)]
    editing.get_by_role("button", name="New line").click()
    if by == "drag":
        drag(editing, *corners)
    elif by == "clicks":
        for corner in corners:
            editing.mouse.click(*at(editing, *corner))
    else:
        editing.keyboard.press("Space")
        editing.mouse.move(*at(editing, *corners[1]))
        editing.keyboard.press("Space")
    expect(editing.get_by_label("Name")).to_be_focused()
    (line,) = save(editing, fake)["lines"]
    assert len(line["points"]) == len(corners)
    for point, corner in zip(line["points"], corners, strict=True):
        assert point == pytest.approx(corner, abs=0.6)


def test_what_would_have_been_counted_is_shown_before_saving(
    existing: dict[str, Any], editing: Page, fake: FakeServer
) -> None:
    rows = editing.locator(".editor .list")
    first = rows.get_by_role("button").first.element_handle()
    expect(rows).to_contain_text("3 entered")
    expect(rows).to_contain_text("4 in, 1 out")
    assert first.evaluate("row => row.isConnected"), "a click on it meanwhile is not lost"
    expect(editing.get_by_text("would have counted in the last 60 s")).to_be_visible()
    editing.get_by_role("button", name="New line").click()
    drag(editing, (40, 90), (200, 100))
    expect(editing.locator(".editor .list li").nth(2)).to_contain_text("4 in, 1 out")
    assert [line["name"] for line in fake.previews[-1]["lines"]] == ["Kerb", "Line 2"]
    assert fake.saved == []
    assert accessibility_problems(editing) == []


def test_masks_and_the_lowest_height_of_the_whole_picture(
    existing: dict[str, Any], editing: Page, fake: FakeServer
) -> None:
    """What is left out, and what is too small, is said beside the zones and undone like them."""
    assert "appeared" not in save_after(editing, fake, lambda: drag_gate(editing)), "left alone"
    field = editing.get_by_label("Smallest height that counts, in % of the picture's")
    expect(field).to_be_disabled()
    editing.get_by_role("button", name="New mask").click()
    corners = [(10, 10), (60, 10), (60, 60)]
    for corner in corners:
        editing.mouse.click(*at(editing, *corner))
    editing.keyboard.press("Enter")
    expect(editing.get_by_role("button", name="Delete this mask")).to_be_focused()
    editing.mouse.click(*at(editing, 310, 10))  # chooses nothing
    expect(editing.get_by_label("An event for each object that appears")).to_be_checked()
    expect(editing.get_by_text("7 appeared")).to_be_visible()
    field.fill("12")
    assert accessibility_problems(editing) == []
    rules = save(editing, fake)["appeared"]
    [mask] = rules["masks"]
    for point, corner in zip(mask, corners, strict=True):
        assert point == pytest.approx(corner, abs=0.6)
    assert (rules["enabled"], rules["min_height"], rules["seen_s"]) == (True, 0.12, 1)
    for _ in range(2):
        editing.get_by_role("button", name="Undo").click()
    expect(editing.locator(".draft polygon.mask")).to_have_count(0)
    expect(editing.get_by_label("An event for each object that appears")).not_to_be_checked()


def drag_gate(page: Page) -> None:
    """Move the first corner of the existing zone."""
    page.mouse.click(*at(page, 120, 60))
    drag(page, (40, 40), (30, 30))
    page.mouse.click(*at(page, 310, 10))


def save_after(page: Page, fake: FakeServer, act: Callable[[], None]) -> dict[str, Any]:
    act()
    return save(page, fake)


def test_masks_that_are_there_are_shown_on_another_picture_size(
    editing: Page, fake: FakeServer
) -> None:
    editing.get_by_role("button", name="Close", exact=True).click()
    rules = {"enabled": True, "classes": None, "min_height": 0.1, "seen_s": 2.0, "min_move": 0.5}
    masks = [[[20, 20], [120, 20], [120, 120]]]
    fake.zones["yard"] = {
        "size": [640, 360], "settle_s": 0.3, "zones": [], "lines": [],
        "appeared": {**rules, "masks": masks},
    }  # fmt: skip
    editing.get_by_role("button", name="Edit zones and lines").click()
    expect(editing.locator(".draft polygon.mask")).to_have_count(1)
    editing.get_by_label("Seconds seen until it counts").fill("3")
    saved = save(editing, fake)
    assert saved["size"] == [320, 180]
    assert saved["appeared"] == {**rules, "seen_s": 3, "masks": [[[10, 10], [60, 10], [60, 60]]]}


def test_draw_with_a_finger(open_page: Open, fake: FakeServer) -> None:
    """On a phone: taps set the corners, a button finishes."""
    page = open_page(
        "#camera/yard", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page.wait_for_selector("[data-camera=yard][data-shown]")
    page.get_by_role("button", name="More", exact=True).tap()
    page.get_by_role("button", name="Edit zones and lines").tap()
    page.get_by_role("button", name="New zone").tap()
    corners = [(40, 40), (200, 40), (120, 140)]
    for corner in corners:
        page.touchscreen.tap(*at(page, *corner))
    page.get_by_role("button", name="Finish").tap()
    (zone,) = save(page, fake)["zones"]
    for point, corner in zip(zone["points"], corners, strict=True):
        assert point == pytest.approx(corner, abs=1.5)


def test_drag_add_and_delete_points(
    existing: dict[str, Any], editing: Page, fake: FakeServer
) -> None:
    """Points are moved and added by dragging, deleted by key; what was not touched stays."""
    editing.mouse.click(*at(editing, 120, 60))
    drag(editing, (40, 40), (20, 20))
    drag(editing, (200, 90), (240, 90))  # the middle of an edge becomes a corner
    editing.get_by_role("button", name="Point 4 of 5 of Gate").focus()
    editing.keyboard.press("Delete")
    editing.get_by_role("button", name="Point 1 of 4 of Gate").focus()
    editing.keyboard.press("Shift+ArrowRight")
    saved = save(editing, fake)
    points = saved["zones"][0]["points"]
    assert points[0][0] > 22
    assert points[0][1] == pytest.approx(20, abs=1)
    assert points[1:] == [
        [200, 40],
        [pytest.approx(240, abs=1), pytest.approx(90, abs=1)],
        [40, 140],
    ]
    assert saved["lines"] == existing["lines"]
    assert saved["settle_s"] == 0.5


def test_move_a_whole_zone_but_not_out_of_the_picture(
    existing: dict[str, Any], editing: Page, fake: FakeServer
) -> None:
    editing.mouse.click(*at(editing, 120, 60))
    drag(editing, (120, 60), (310, 60))
    points = save(editing, fake)["zones"][0]["points"]
    assert points == [[160, 40], [320, 40], [320, 140], [160, 140]]


def test_swap_and_undo(existing: dict[str, Any], editing: Page, fake: FakeServer) -> None:
    """A line's "in" turns round with its points; every step can be taken back."""
    editing.get_by_role("button", name="Kerb line").click()
    arrow = editing.locator(".draft .arrow")
    before = arrow.get_attribute("points")
    editing.get_by_role("button", name="Swap direction").click()
    assert arrow.get_attribute("points") != before
    editing.get_by_role("button", name="Delete this line").click()
    expect(arrow).to_have_count(0)
    editing.keyboard.press("Control+z")
    saved = save(editing, fake)
    assert saved["lines"][0]["points"] == [[300, 160], [20, 160]]
    assert saved["zones"] == existing["zones"]


def test_what_the_server_refuses_is_said_and_kept(
    existing: dict[str, Any], open_page: Open, fake: FakeServer
) -> None:
    """The drawing stays when saving fails, with the server's own words beside it."""
    fake.refuse_zones = "zones.0.points: edges 1 and 3 cross each other"
    page = open_page("#camera/yard", allowed=("status of 422",))
    page.wait_for_selector("[data-camera=yard][data-shown]")
    page.get_by_role("button", name="Edit zones and lines").click()
    page.locator(".editor .list button").first.click()
    page.get_by_label("Name").fill("Door")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".editor .problem")).to_contain_text("edges 1 and 3 cross each other")
    fake.refuse_zones = None
    assert save(page, fake)["zones"][0]["name"] == "Door"


@pytest.mark.parametrize(
    ("name", "words"), [("Kerb", "Two zones or lines are called"), ("", "has no name")]
)
def test_mistakes_are_shown_before_they_are_sent(
    existing: dict[str, Any], editing: Page, fake: FakeServer, name: str, words: str
) -> None:
    editing.locator(".editor .list button").first.click()
    editing.get_by_label("Name").fill(name)
    editing.get_by_role("button", name="Save", exact=True).click()
    expect(editing.locator(".editor .problem")).to_contain_text(words)
    assert fake.saved == []


@pytest.mark.parametrize("way", ["key", "back", "next"])
def test_unsaved_changes_are_not_lost_silently(
    existing: dict[str, Any], editing: Page, fake: FakeServer, way: str
) -> None:
    """Whatever leads away from a changed drawing asks first; "keep editing" keeps everything."""
    editing.locator(".editor .list button").first.click()
    editing.get_by_label("Name").fill("Door")
    editing.locator(".draft").focus()

    def leave() -> None:
        if way == "key":
            editing.keyboard.press("Escape")
        elif way == "back":
            editing.evaluate("location.hash = ''")
        else:
            editing.get_by_role("button", name="Next camera").click()

    leave()
    editing.get_by_role("button", name="Keep editing").click()
    expect(editing.get_by_label("Name")).to_have_value("Door")
    expect(editing).to_have_url(re.compile(r"#camera/yard$"))
    leave()
    editing.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(editing.locator(".draft")).to_have_count(0)
    assert fake.saved[-1]["zones"][0]["name"] == "Door"


def test_closing_the_window_with_unsaved_changes_asks(
    existing: dict[str, Any], editing: Page
) -> None:
    asked = []
    editing.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    editing.locator(".editor .list button").first.click()
    editing.get_by_label("Name").fill("Door")
    editing.reload()
    shows_pictures(editing, 1)
    assert asked == ["beforeunload"]


def test_zones_drawn_on_another_size_lie_where_they_belong(
    existing: dict[str, Any], editing: Page, fake: FakeServer
) -> None:
    """Zones drawn at 640 x 360 are scaled to a camera that sends 320 x 180 today."""
    fake.zones["yard"] = {**AREAS, "size": [640, 360]}
    editing.keyboard.press("Escape")
    editing.get_by_role("button", name="Edit zones and lines").click()
    editing.locator(".editor .list button").first.click()
    point = editing.get_by_role("button", name="Point 1 of 4 of Gate").bounding_box()
    assert point
    middle = (point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    assert middle == pytest.approx(at(editing, 20, 20), abs=1.5)


def test_a_camera_that_changes_its_size_while_zones_are_drawn(
    existing: dict[str, Any], editing: Page, fake: FakeServer
) -> None:
    """What is drawn goes with the picture; nothing is saved in pixels of another size."""
    editing.locator(".editor .list button").first.click()
    editing.get_by_label("Name").fill("Door")
    fake.cameras[0].scene = synthetic(frames=30, objects=1, width=640, height=360)
    wider = "() => document.querySelector('[data-camera=yard] .picture').width === 640"
    editing.wait_for_function(wider)
    saved = save(editing, fake)
    assert saved["size"] == [640, 360]
    assert saved["zones"][0]["points"] == [[80, 80], [400, 80], [400, 280], [80, 280]]
    assert saved["zones"][0]["name"] == "Door"
