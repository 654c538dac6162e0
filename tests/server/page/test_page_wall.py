"""The wall of cameras in a real browser: pictures, boxes, what is watched, one camera large."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect
from support.page_browser import Open, bounds, goes_on, shown_index, shows_pictures, until
from support.page_scenes import Scene, synthetic
from support.page_server import Camera, FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

ONLY_BOXES = "localStorage.setItem('trackline.off', 'labels trails zones')"


def only_boxes(page: Page) -> None:
    page.evaluate(ONLY_BOXES)
    page.reload()
    shows_pictures(page)


def test_boxes_move_with_their_picture(page: Page) -> None:
    """A box a frame early or late is seen at once: picture and box are one moment's, always."""
    only_boxes(page)
    seen = set()
    for _ in range(8):
        now = bounds(page, "yard")
        assert now["drawn"] == pytest.approx(now["object"], abs=3 / now["scale"] + 1)
        seen.add(tuple(now["object"]))
        goes_on(page, "yard")
    assert len(seen) >= 6


def test_boxes_are_crisp_where_pixels_are_small(open_page: Open) -> None:
    """The canvas over the picture has the screen's own pixels, not the page's."""
    page = open_page(device_scale_factor=2)
    shows_pictures(page)
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector(".overlay");
          const ratios = [canvas.width / canvas.clientWidth, canvas.height / canvas.clientHeight];
          return ratios.every((ratio) => Math.abs(ratio - 2) < 0.02);
        }"""
    )
    only_boxes(page)
    now = bounds(page, "yard")
    assert now["drawn"] == pytest.approx(now["object"], abs=3 / now["scale"] + 1)


def test_layers_switch_off_and_stay_off(page: Page) -> None:
    """What is switched off stays off after a reload, by button and by key."""
    only_boxes(page)
    assert bounds(page, "yard")["drawn"]
    page.get_by_role("button", name="Boxes").click()
    assert bounds(page, "yard")["drawn"] is None
    page.reload()
    shows_pictures(page)
    assert bounds(page, "yard")["drawn"] is None
    expect(page.get_by_role("button", name="Boxes")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("b")
    assert bounds(page, "yard")["drawn"]


def test_one_camera_large_and_back(page: Page, fake: FakeServer) -> None:
    """Only the large camera is asked for, wider than before; Escape brings all back."""
    until(page, lambda: fake.watches[-1]["cameras"] == ["yard", "street"])
    before = fake.watches[-1]
    page.get_by_role("button", name=re.compile("Show yard large")).click()
    expect(page.locator(".tile.large")).to_have_attribute("data-camera", "yard")
    expect(page.locator('[data-camera="street"]')).to_be_hidden()
    goes_on(page, "yard")
    until(page, lambda: fake.watches[-1]["cameras"] == ["yard"])
    until(page, lambda: fake.watches[-1]["width"] > before["width"])
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile.large")).to_have_attribute("data-camera", "street")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile.large")).to_have_attribute("data-camera", "yard")
    page.keyboard.press("Escape")
    expect(page.locator(".tile.large")).to_have_count(0)
    goes_on(page, "street")
    until(page, lambda: fake.watches[-1]["cameras"] == ["yard", "street"])
    expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile("Show yard large"))


# A click and keys in one go, faster than any event of the browser.
IN_ONE_GO = """async (keys) => {
  document.querySelector("[data-camera='yard'] .open").click();
  for (let i = 0; i < 20; i += 1) await null;
  const press = (key) => new KeyboardEvent("keydown", { key, bubbles: true });
  for (const key of keys) document.body.dispatchEvent(press(key));
}"""


def test_keys_right_after_a_click_are_for_the_large_camera(page: Page) -> None:
    """They were for the wall until the browser had told that its address was another one."""
    page.evaluate(IN_ONE_GO, ["e", "e"])
    expect(page.locator(".draft")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".draft")).to_have_count(0)
    expect(page.locator("dialog[open]")).to_have_count(0)  # there is nothing to save
    held: list[Route] = []
    page.route(re.compile("/zones$"), lambda route: held.append(route))
    page.keyboard.press("e")
    until(page, lambda: bool(held))
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile.large")).to_have_attribute("data-camera", "street")
    with page.expect_response(re.compile("/zones$")):
        held.pop().continue_()
    page.wait_for_timeout(100)
    expect(page.locator(".draft")).to_have_count(0)  # of a camera that is not there any more


def test_a_link_to_one_camera_opens_it(open_page: Open, fake: FakeServer) -> None:
    """An address is worth keeping: also with a name that needs escaping."""
    fake.cameras[0].name = "Tor #1 / süd"
    page = open_page("#camera/Tor%20%231%20%2F%20s%C3%BCd")
    expect(page.locator(".tile.large h2")).to_have_text("Tor #1 / süd")
    goes_on(page, "Tor #1 / süd")


def test_only_what_is_on_the_screen_is_watched(open_page: Open, fake: FakeServer) -> None:
    """A phone that shows two of ten cameras does not pay for ten."""
    scene = fake.cameras[0].scene
    fake.cameras.extend(Camera(f"more {n}", scene) for n in range(8))
    page = open_page(viewport={"width": 390, "height": 700})
    shows_pictures(page)
    until(page, lambda: "yard" in fake.watches[-1]["cameras"])
    until(page, lambda: len(fake.watches[-1]["cameras"]) <= 4)
    page.locator('[data-camera="more 7"]').scroll_into_view_if_needed()
    goes_on(page, "more 7")
    until(page, lambda: "yard" not in fake.watches[-1]["cameras"])


def test_a_hidden_tab_asks_for_nothing(page: Page, fake: FakeServer) -> None:
    """No pictures are encoded or sent for a hidden tab; when it is shown, they go on."""
    hide = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    until(page, lambda: fake.watches[-1]["pictures"] is False)
    until(page, lambda: fake.acks == fake.sent)  # what was on its way
    sent = fake.sent
    page.wait_for_timeout(600)
    assert fake.sent == sent
    page.evaluate(hide, False)
    goes_on(page, "yard")


def test_each_picture_is_acknowledged_and_let_go(open_page: Open, fake: FakeServer) -> None:
    """Decoded pictures are released at once: a page that is open for a week stays small."""
    page = open_page("login.html")
    page.add_init_script(
        """
        globalThis.bitmaps = { made: 0, closed: 0 };
        const make = createImageBitmap;
        globalThis.createImageBitmap = async (...all) => {
          const bitmap = await make(...all);
          bitmaps.made += 1;
          return bitmap;
        };
        const close = ImageBitmap.prototype.close;
        ImageBitmap.prototype.close = function () {
          bitmaps.closed += 1;
          close.call(this);
        };
        """
    )
    page.goto(fake.url)
    page.wait_for_function("() => bitmaps.made >= 40")
    made, closed = page.evaluate("[bitmaps.made, bitmaps.closed]")
    assert made - closed <= 2
    until(page, lambda: fake.acks >= closed)


def test_a_damaged_picture_is_skipped(page: Page, fake: FakeServer, moving: Scene) -> None:
    """The one before stays, the next one comes; a waiting acknowledgement would stop them all."""
    # Of each two that are 15 apart one is broken: no viewer, however slow, gets broken ones only.
    bad = {i if i % 4 < 2 else i + 15 for i in range(15)}
    broken = [jpeg[:30] if i in bad else jpeg for i, jpeg in enumerate(moving.jpegs)]
    fake.cameras[0].scene = Scene(moving.width, moving.height, broken, moving.tracks)
    for _ in range(4):
        goes_on(page, "yard")


def test_a_camera_that_changes_its_size(page: Page, fake: FakeServer) -> None:
    """After a change of resolution boxes fit the new pictures."""
    only_boxes(page)
    fake.cameras[0].scene = synthetic(frames=30, objects=1, width=240, height=240, seed=3)
    page.wait_for_function(
        "() => document.querySelector('[data-camera=yard] .picture').height === 240"
    )
    now = bounds(page, "yard")
    assert now["drawn"] == pytest.approx(now["object"], abs=3 / now["scale"] + 1)


def test_cameras_come_and_go_with_the_configuration(page: Page, fake: FakeServer) -> None:
    """A reload of the configuration needs no reload of the page; the others go on."""
    before = shown_index(page, "street")
    fake.cameras.insert(1, Camera("gate", fake.cameras[0].scene))
    goes_on(page, "gate")
    assert page.locator(".tile").evaluate_all("all => all.map(one => one.dataset.camera)") == [
        "yard",
        "gate",
        "street",
    ]
    del fake.cameras[0]
    expect(page.locator('[data-camera="yard"]')).to_have_count(0)
    goes_on(page, "street")
    assert shown_index(page, "street") > before


def test_no_cameras_says_what_to_do(open_page: Open, fake: FakeServer) -> None:
    """An empty wall explains itself, and fills as soon as there is a camera."""
    cameras = list(fake.cameras)
    fake.cameras.clear()
    page = open_page()
    expect(page.get_by_text("No cameras yet")).to_be_visible()
    expect(page.locator(".wall pre")).to_contain_text("kind: stream")
    link = page.get_by_role("link", name="photos and short videos")
    expect(link).to_have_attribute("href", "pictures.html")
    fake.cameras.extend(cameras)
    shows_pictures(page)
    expect(page.get_by_text("No cameras yet")).to_have_count(0)


def test_names_can_be_read_on_a_full_wall(open_page: Open, fake: FakeServer) -> None:
    """Of twenty cameras each still has its whole name."""
    scene = fake.cameras[0].scene
    fake.cameras.extend(Camera(f"Camera {n:02}", scene) for n in range(18))
    page = open_page(viewport={"width": 1280, "height": 800})
    shows_pictures(page, 6)
    cut = """() => [...document.querySelectorAll(".caption .name")]
      .filter((one) => one.scrollWidth > one.clientWidth + 1 || !one.clientWidth)
      .map((one) => one.textContent)"""
    assert page.evaluate(cut) == []
