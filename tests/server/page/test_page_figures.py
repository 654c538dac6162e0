"""Figures over days: cards, bars, what leads to visits, heat map and paths."""

from __future__ import annotations

import datetime
import re

import pytest
from playwright.sync_api import Route, expect
from support.page_browser import Open, accessibility_problems, shows_pictures, until
from support.page_server import FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

DATA = """async (zone) => {
  const data = await import("./figures_data.js");
  const slots = data.slotsOf(data.spanOf("2026-03-29", 1));
  const rows = [[0, 2], [0, 3], [3, 4], [-1, 9], [30, 9]].map(([hour, count]) => ({
    time: slots[0].since + 3600 * hour, count, direction: "", class_name: "car",
  }));
  return {
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    slots: slots.length,
    sums: data.bySlot(rows, slots).map(({ total }) => total),
    busiest: data.busiest(data.byHour(rows.slice(0, 3), 1)),
    rough: [0, 0.44, 9, 12.6].map(data.rough),
  };
}"""
DAY = datetime.date(2026, 3, 10)


def rows(days_ago: int, hour: int, **values: object) -> dict[str, object]:
    """Counts of an hour at noon's day, in the browser's time zone."""
    day = datetime.datetime.combine(DAY - datetime.timedelta(days_ago), datetime.time(hour))
    usual = {"camera": "yard", "area": "Gate", "kind": "cross", "direction": "in"}
    time = int(day.replace(tzinfo=datetime.UTC).timestamp())
    return {**usual, "class_name": "car", "count": 1, "time": time, **values}


def test_figures_over_days(open_page: Open, fake: FakeServer) -> None:
    """From the link to the cards, their table, the visits of an hour, heat map, paths and back."""
    fake.history = [
        rows(0, 8, count=5),
        rows(0, 8, count=2, direction="out", class_name="person"),
        rows(0, 17, count=4),
        rows(1, 9, count=3),
        rows(6, 9, count=11),
        rows(0, 9, area="Lawn", kind="enter", direction="", count=6),
        rows(0, 9, area="Lawn", kind="leave", direction="", count=6),
    ]
    fake.counts = [{**rows(0, 0, area="Door", kind="enter", direction="", count=0)}]
    fake.paths["yard"] = [{"visit": 1, "class_name": "car", "points": [[0.1, 0.9], [0.5, 0.5]]}]
    fake.visit_silently()
    page = open_page(timezone_id="UTC")
    shows_pictures(page)
    page.get_by_role("link", name="Over days").click()
    expect(page.locator("#wall")).to_be_hidden()
    page.get_by_label("Day", exact=True).fill(DAY.isoformat())
    gate = page.get_by_role("article", name="Gate")
    expect(gate.locator(".total")).to_have_text("9 in · 2 out")
    expect(gate.locator(".usual")).to_have_text("Day before: 3 · 7 days before: 2 a day")
    expect(gate.locator(".busy")).to_have_text("Busiest: 8–9 h (7)17–18 h (4)")
    expect(page.get_by_role("article", name="Lawn").locator(".total")).to_have_text("6 entered")
    expect(page.get_by_role("article", name="Door").locator(".total")).to_have_text("0 entered")
    until(page, lambda: f"#counts?day={DAY.isoformat()}" in page.url)
    link = page.get_by_role("link", name="CSV").get_attribute("href") or ""
    assert "bucket=hour" in link
    assert "clock=local" in link
    gate.locator("summary").click()
    row = gate.locator("tr", has_text="08:00–09:00")
    expect(row).to_contain_text("7: 5 in, 2 out; 5 car, 2 person")

    # The visits of that hour, beside it.
    row.get_by_role("button").click()
    since = fake.history[0]["time"]
    wanted = {"since": str(since), "until": str(since + 3600), "line": "Gate", "kind": "cross"}
    until(page, lambda: wanted.items() <= fake.asked[-1].items())
    expect(page.get_by_label("Zone or line")).to_have_value("line Gate")

    # Where they were.
    page.get_by_role("button", name="Heat map of yard").click()
    expect(page.locator(".where img")).to_have_js_property("naturalWidth", 320)
    page.get_by_role("button", name="Paths of yard").click()
    expect(page.locator(".where .path")).to_have_count(1)
    assert accessibility_problems(page) == []

    # Several days, one class; the address holds it all.
    page.get_by_label("Time", exact=True).first.select_option("7")
    expect(gate.locator(".total")).to_have_text("23 in · 2 out")
    page.get_by_label("Class", exact=True).first.select_option("person")
    expect(gate.locator(".total")).to_have_text("0 in · 2 out")
    until(page, lambda: "class=person" in page.url)
    address = page.url.removeprefix(fake.url)
    page.keyboard.press("Escape")
    expect(page.locator("#wall")).to_be_visible()

    phone = open_page(address, timezone_id="Europe/Berlin", viewport={"width": 390, "height": 844})
    expect(phone.get_by_role("article", name="Gate").locator(".total")).to_have_text("0 in · 2 out")
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert accessibility_problems(phone) == []
    assert phone.evaluate(DATA) == {
        "zone": "Europe/Berlin",
        "slots": 23,  # the clocks go forward
        "sums": [5, 0, 0, 4] + [0] * 19,
        "busiest": [[0, 5], [4, 4]],
        "rough": ["0", "0.4", "9", "13"],
    }
    phone.locator(".figure-card .hit").first.click()
    expect(phone.get_by_role("heading", name="Events")).to_be_visible()
    expect(phone.locator(".figures")).to_be_hidden()


def test_nothing_is_shown_before_its_style_sheet_is_there(open_page: Open) -> None:
    """On a slow network the figures stood below the wall as bare lists and fields."""
    page = open_page()
    shows_pictures(page)
    held: list[Route] = []
    page.route(re.compile(r"/(figures|alerts)\.css"), lambda route: held.append(route))
    for button, shown in (
        (page.get_by_role("link", name="Over days"), page.locator("main.figures")),
        (page.get_by_role("button", name="Alerts"), page.get_by_role("dialog", name="Alerts")),
    ):
        button.click()
        until(page, lambda: bool(held))
        page.wait_for_timeout(100)
        assert shown.count() == 0
        held.pop().continue_()
        expect(shown).to_be_visible()


def test_a_style_sheet_that_did_not_come_is_asked_for_again(open_page: Open) -> None:
    """After one failed request a view stayed without its style until the page was loaded anew."""
    page = open_page(allowed=("ERR_FAILED",))
    page.route("**/alerts.css", lambda route: route.abort(), times=1)
    for expected in ([], ["alerts.css"]):
        found = page.evaluate("""async () => {
          await (await import("./dom.js")).loadStyle("alerts.css");
          const links = document.querySelectorAll("link[href='alerts.css']");
          return [...links].map((link) => link.getAttribute("href"));
        }""")
        assert found == expected
