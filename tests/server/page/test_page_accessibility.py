"""Signing in, themes, small screens, use by keyboard alone, contrast, screen readers."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect
from support.page_browser import Open, accessibility_problems, goes_on, shows_pictures
from support.page_server import FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

REFUSED = ("Failed to load resource", "WebSocket connection to")
CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const text = style.getPropertyValue(name).trim();
    const parts = [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255);
    const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const inks = ["--ink", "--ink-2", "--ink-3", "--live", "--warn", "--bad", "--accent"];
  const all = inks.map((ink) => [`${ink} on --panel`, ratio(ink, "--panel")]);
  all.push(["--on-accent on --accent", ratio("--on-accent", "--accent")]);
  all.push(["--ink-2 on --ground", ratio("--ink-2", "--ground")]);
  all.push(["--ink-2 on --raised", ratio("--ink-2", "--raised")]);
  return all;
}"""


def test_sign_in_and_out(open_page: Open, fake: FakeServer) -> None:
    """Without a session one lands at the form; a wrong token is said in words."""
    fake.token = "correct horse battery"
    page = open_page("#camera/street", allowed=REFUSED)
    page.wait_for_selector("#token:focus")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    page.keyboard.type(fake.token)
    page.keyboard.press("Enter")
    expect(page.locator(".tile.large")).to_have_attribute("data-camera", "street")
    shows_pictures(page, 1)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#token:focus")


def test_nothing_is_asked_after_signing_out(open_page: Open, fake: FakeServer) -> None:
    """Counts asked for after an event came without a session, and the console filled with 401s."""
    fake.token = "correct horse battery"
    page = open_page("login.html")
    page.wait_for_selector("#token:focus")
    page.keyboard.type(fake.token)
    page.keyboard.press("Enter")
    shows_pictures(page, 1)

    def answer_late(route: Route) -> None:
        response = route.fetch()
        page.wait_for_timeout(1500)  # longer than counts wait after an event
        route.fulfill(response=response)

    page.route("**/api/logout", answer_late)
    fake.visit()
    expect(page.locator(".event").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#token:focus")


def test_a_session_that_ends_leads_to_the_form(open_page: Open, fake: FakeServer) -> None:
    """A page that was open over night does not try for ever with a session that is gone."""
    page = open_page(allowed=REFUSED)
    shows_pictures(page)
    fake.token = "set meanwhile 0123"
    fake.stop()
    fake.start()
    page.wait_for_url("**/login.html")


def test_the_theme_follows_the_system_until_it_is_chosen(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert dark != light
    page.get_by_role("button", name=re.compile("^Theme")).click()  # dark, whatever the system has
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark
    page.reload()
    assert page.evaluate(ground) == dark
    page.get_by_role("button", name=re.compile("^Theme")).click()
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_can_be_read_in_both_themes(open_page: Open, scheme: str) -> None:
    """Contrast of at least 4.5 (WCAG 2.2, 1.4.3) for every ink on the grounds it stands on."""
    page = open_page("login.html", color_scheme=scheme)
    faint = [(pair, ratio) for pair, ratio in page.evaluate(CONTRAST) if ratio < 4.5]
    assert faint == []


def test_by_keyboard_alone(page: Page) -> None:
    """From the top of the page into a camera, its zones and back, without a mouse."""
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("To the cameras")
    page.keyboard.press("Enter")
    expect(page.locator("#wall")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile("Show yard large"))
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("ArrowDown")
    expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile("Show street large"))
    page.keyboard.press("Enter")
    expect(page.locator(".tile.large")).to_have_attribute("data-camera", "street")
    page.keyboard.press("e")
    expect(page.locator(":focus")).to_have_text("New zone")
    page.keyboard.press("Escape")
    expect(page.locator(".draft")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".tile.large")).to_have_count(0)
    expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile("Show street large"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("back to all cameras")
    page.keyboard.press("Escape")


def test_a_phone(open_page: Open, fake: FakeServer) -> None:
    """One column, nothing wider than the screen, targets a thumb can hit."""
    long = "A zone with a rather long name that has to go somewhere"
    fake.visit_silently(touched=[{"kind": "enter", "area": long, "direction": ""}])
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    shows_pictures(page)
    wide = "document.documentElement.scrollWidth"
    small = """() => [...document.querySelectorAll("button")]
      .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 43)
      .map((one) => one.textContent)"""
    assert page.evaluate(wide) <= 360
    assert page.evaluate(small) == []
    left = page.locator(".tile").evaluate_all("all => all.map(one => one.offsetLeft)")
    assert len(set(left)) == 1
    page.get_by_role("button", name="Events").tap()
    expect(page.locator(".event").first).to_be_visible()
    assert page.evaluate(wide) <= 360
    assert page.evaluate(small) == []
    page.get_by_role("button", name="Counts").tap()
    expect(page.get_by_text("Nothing counted yet")).to_be_visible()
    page.locator(".tabs").get_by_role("button", name="Cameras").tap()
    page.locator(".tile .open").first.tap()
    expect(page.locator(".tile.large")).to_be_visible()
    goes_on(page, "yard")
    assert page.evaluate(wide) <= 360
    assert page.evaluate(small) == []


def test_axe_finds_nothing(open_page: Open, fake: FakeServer) -> None:
    """The theme button's name was not its text; on a phone the heading was empty, and events were
    in no main part of the page."""
    fake.visit_silently()
    fake.cameras[1].set("lost", "Connection refused")
    page = open_page()
    shows_pictures(page, 1)
    assert accessibility_problems(page) == []
    page.locator('[data-camera="yard"] .open').click()
    page.keyboard.press("e")
    page.wait_for_selector(".draft")
    assert accessibility_problems(page) == []
    page = open_page(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    shows_pictures(page, 1)
    assert accessibility_problems(page) == []
    for view in ("Events", "Counts"):
        page.locator(".tabs").get_by_role("button", name=view).tap()
        assert accessibility_problems(page) == []
    assert accessibility_problems(open_page("pictures.html", allowed=REFUSED)) == []


def test_nothing_moves_where_motion_is_unwanted(open_page: Open, fake: FakeServer) -> None:
    page = open_page(reduced_motion="reduce")
    shows_pictures(page)
    expect(page.get_by_text("No events yet")).to_be_visible()  # a visit in the list is not fresh
    fake.visit()
    page.wait_for_selector(".event.fresh")
    assert page.evaluate("document.getAnimations().length") == 0


def test_every_control_has_a_name(page: Page, fake: FakeServer) -> None:
    """A screen reader says what each button, field and region is."""
    fake.visit()
    page.locator('[data-camera="yard"] .open').click()
    page.keyboard.press("e")
    page.wait_for_selector(".draft")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, [role=application]")]
          .filter((one) => one.checkVisibility())
          .filter((one) => !one.getAttribute("aria-label") && !one.labels?.length)
          .filter((one) => one.matches("input, select") || !one.textContent.trim())
          .map((one) => one.outerHTML)"""
    )
    assert nameless == []
