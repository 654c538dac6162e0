"""Lost cameras, a server that goes away, hostile names, invalid messages."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.page_browser import Open, bounds, goes_on, shown_index, shows_pictures, until
from support.page_scenes import Scene, track
from support.page_server import Camera, FakeServer, delivery_like

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

AWAY = ("WebSocket connection to", "Failed to load resource")
HARM = '<img src=x onerror="window.harmed=1"><b>"\'`${1}'


def test_a_lost_camera_shows_its_last_picture_and_comes_back(page: Page, fake: FakeServer) -> None:
    """Never black: the last picture stays, grey, without boxes that claim to be now."""
    tile = page.locator('[data-camera="yard"]')
    fake.cameras[0].set("lost", "Connection refused; next try in 8 s")
    expect(tile).to_have_attribute("data-state", "lost")
    expect(tile).to_contain_text("Lost since")
    expect(tile).to_contain_text("Connection refused; next try in 8 s")
    now = bounds(page, "yard")
    assert now["object"] is not None
    assert now["drawn"] is None
    assert "grayscale" in tile.locator(".picture").evaluate("it => getComputedStyle(it).filter")
    expect(page.locator("#summary")).to_contain_text("1 lost")
    goes_on(page, "street")
    fake.cameras[0].set("live")
    goes_on(page, "yard")
    expect(tile.locator(".veil")).to_be_hidden()
    until(page, lambda: bounds(page, "yard")["drawn"] is not None)


def test_when_a_lost_camera_is_tried_again_is_counted_down(page: Page, fake: FakeServer) -> None:
    """People who repair a cable want to know whether to wait; a viewer's clock may be off."""
    again = page.locator('[data-camera="yard"] .again')
    fake.cameras[0].again_in_s = 90.4
    fake.cameras[0].set("lost", "Connection refused")
    expect(again).to_have_text("Next try in 90 s")
    fake.silent = True  # nothing new is said meanwhile
    expect(again).to_have_text(re.compile(r"Next try in [78]\d s"))
    goes_down = "([one, text]) => one.textContent !== text && one.textContent < text"
    now = [again.element_handle(), again.text_content()]
    page.wait_for_function(goes_down, arg=now)
    fake.silent = False
    fake.cameras[0].again_in_s = 0.0
    expect(again).to_have_text("Trying now")
    fake.cameras[0].set("live")
    goes_on(page, "yard")
    expect(again).to_be_hidden()


def test_a_lost_camera_is_tried_at_once_by_a_button(page: Page, fake: FakeServer) -> None:
    fake.cameras[0].again_in_s = 28.0
    expect(page.locator(".retry")).to_have_count(2)
    expect(page.locator(".retry:visible")).to_have_count(0)
    fake.cameras[0].set("lost", "Connection refused")
    page.get_by_role("button", name="Try now: yard").click()
    until(page, lambda: fake.retried == ["yard"])
    expect(page.locator(".tile.large")).to_have_count(0)


def test_occupancy_of_a_lost_camera_is_unknown(page: Page, fake: FakeServer) -> None:
    """The last number stood there for days: the yard may be empty by now, or hold ten."""
    fake.cameras[0].inside = {"Lawn": 3}
    fake.cameras[1].inside = {"Gate": 1}
    now = page.locator(".counts tr", has_text="Lawn").locator(".now")
    other = page.locator(".counts tr", has_text="Gate").locator(".now")
    tile = page.locator('[data-camera="yard"]')
    expect(now).to_have_text("3")
    fake.cameras[0].set("lost", "Connection refused")
    expect(now).to_have_text("–")
    expect(tile.locator(".caption .now")).to_have_text("–")
    expect(other).to_have_text("1")
    page.get_by_label("Counted in").select_option("1")  # asked for anew, it stays unknown
    expect(now).to_have_text("–")
    fake.cameras[0].inside = {"Lawn": 2}
    fake.cameras[0].set("live")
    expect(now).to_have_text("2")
    expect(tile.locator(".caption .now")).to_have_text("1 car · Lawn 2 inside")


@pytest.mark.parametrize(
    ("state", "words"), [("stale", "No new picture since"), ("ended", "Ended at")]
)
def test_states_are_said_in_words(page: Page, fake: FakeServer, state: str, words: str) -> None:
    """Not by colour alone."""
    fake.cameras[0].set(state)
    tile = page.locator('[data-camera="yard"]')
    expect(tile).to_contain_text(words)
    expect(tile.locator(".state")).to_be_visible()


def test_a_camera_offline_from_the_start(open_page: Open, fake: FakeServer) -> None:
    """No picture ever came: the tile says so and keeps its place."""
    fake.cameras[0].set("connecting", "No route to host")
    page = open_page()
    shows_pictures(page, 1)
    tile = page.locator('[data-camera="yard"]')
    expect(tile).to_contain_text("No route to host")
    goes_on(page, "street")
    box, other = tile.bounding_box(), page.locator('[data-camera="street"]').bounding_box()
    assert box
    assert other
    assert (box["width"], box["height"]) == pytest.approx((other["width"], other["height"]), abs=2)


def test_the_age_of_an_old_picture_grows(page: Page, fake: FakeServer) -> None:
    """The age grows where pictures stop, though the camera's last report was fine."""
    age = page.locator('[data-camera="yard"] .age')
    expect(age).to_have_text("0.08 s")
    fake.cameras[0].age_ms = 1700
    expect(age).to_have_attribute("data-level", "warn")
    fake.cameras[0].age_ms = 80
    expect(age).not_to_have_attribute("data-level", re.compile("."))
    fake.cameras[0].state = "stale"
    expect(age).to_have_attribute("data-level", "bad")


def test_a_warning_of_the_server_is_shown(page: Page, fake: FakeServer) -> None:
    """A camera may be live and late; a configuration may be refused."""
    fake.cameras[1].warning = "age p95 grows: 0.2 s to 1.9 s"
    fake.config_error = "cameras.yaml, line 14: unknown key 'max_age'"
    expect(page.locator('[data-camera="street"]')).to_contain_text("age p95 grows")
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("line 14: unknown key 'max_age'")
    fake.config_error = None
    expect(page.get_by_text("not applied")).to_have_count(0)


def test_failed_deliveries_are_shown_per_target(page: Page, fake: FakeServer) -> None:
    """A receiver that is down was known from the log only; who watches the page must see it."""
    hour_ago = time.time() - 3600
    fake.deliveries = [
        delivery_like("webhook:fine", waiting=1, waiting_since=time.time()),
        delivery_like(
            "webhook:door", waiting=12, waiting_since=hour_ago, problem="HTTP 503",
            failed=3, failed_at=hour_ago, failure="HTTP 404",
        ),
        delivery_like("webhook:slow", waiting=2, waiting_since=hour_ago),
        delivery_like("webhook:past", failed=9, failed_at=hour_ago - 90_000, failure="HTTP 410"),
        delivery_like("mqtt", address="broker:1883", problem="cannot be reached"),
    ]  # fmt: skip
    notices = page.locator("#notices .notice")
    expect(notices).to_have_count(3)
    door, slow, mqtt = notices.all()
    expect(door).to_have_text(
        re.compile(
            r"^webhook door: 12 waiting since [\w: ]+\.Last error: HTTP 503\. "
            r"3 given up, the newest at [\w: ]+: HTTP 404\. Events go to https://hooks\.example"
        )
    )
    expect(slow).to_contain_text("webhook slow: 2 waiting since")
    expect(mqtt).to_contain_text("mqtt: cannot be reached.")
    expect(mqtt).to_contain_text("Events go to broker:1883.")
    fake.deliveries = [delivery_like("webhook:x", failed=1, failed_at=hour_ago, failure=HARM)]
    expect(notices).to_have_count(1)
    expect(notices).to_contain_text(HARM)
    fake.deliveries = []
    expect(notices).to_have_count(0)
    assert page.evaluate("window.harmed") is None


def test_a_full_disk_is_said(page: Page, fake: FakeServer) -> None:
    """Monitoring goes on without a disk; it must not be noticed weeks later only."""
    now = time.time()
    fake.keeping = {
        "waiting": 12, "since": now - 60, "problem": "events.db: disk is full",
        "lost": 0, "lost_at": None, "clips_lost": 1, "clip_lost_at": now, "clip_problem": HARM,
    }  # fmt: skip
    notice = page.locator("#notices .notice")
    expect(notice).to_contain_text("Events have not been kept since")
    expect(notice).to_contain_text("12 wait in memory. Last error: events.db: disk is full.")
    expect(notice).to_contain_text(HARM)
    well = {"waiting": 0, "since": None, "problem": None, "clips_lost": 0, "clip_lost_at": None}
    fake.keeping = {**fake.keeping, **well, "lost": 3, "lost_at": now - 60}
    expect(notice).to_contain_text("3 events lost, the newest at")
    fake.keeping = {**fake.keeping, "lost_at": now - 90_000}
    expect(notice).to_have_count(0)


def test_notices_leave_a_phone_its_pictures(open_page: Open, fake: FakeServer) -> None:
    """Beside a title that took the line, the text of a notice was one letter wide."""
    at = time.time() - 3600
    about = {"waiting": 12, "waiting_since": at, "problem": "no answer within 10 s"}
    fake.deliveries = [delivery_like("webhook:door", **about)]
    page = open_page(viewport={"width": 390, "height": 800})
    notices = page.locator("#notices")
    expect(notices).to_contain_text("no answer within")
    one = notices.bounding_box()
    assert one
    assert one["height"] < 110
    fake.deliveries *= 20
    expect(notices.locator(".notice")).to_have_count(20)
    many = notices.bounding_box()
    assert many
    assert many["height"] <= 320


def test_the_server_goes_away_and_comes_back(open_page: Open, fake: FakeServer) -> None:
    """The page says so, keeps what it shows, and connects again by itself."""
    page = open_page(allowed=AWAY)
    shows_pictures(page)
    fake.stop()
    expect(page.locator(".link")).to_contain_text("Disconnected")
    assert bounds(page, "yard")["object"] is not None
    before = shown_index(page, "yard")
    fake.visit_silently(touched=[{"kind": "enter", "area": "While away", "direction": ""}])
    fake.start()
    expect(page.locator(".link")).to_have_text(re.compile("^Connected"))
    goes_on(page, "yard")
    assert shown_index(page, "yard") > before
    expect(page.locator(".events")).to_contain_text("While away")


def test_a_server_with_too_many_viewers_is_not_shown_as_away(
    open_page: Open, fake: FakeServer
) -> None:
    """It was shown as a server that is away, tried again twice a second for ever."""
    fake.full = True
    page = open_page()
    expect(page.locator(".link")).to_contain_text("Too many viewers")
    expect(page.locator("#notices")).to_contain_text("Too many viewers")
    expect(page.locator("#notices")).not_to_contain_text("Disconnected")
    fake.full = False
    expect(page.locator(".link")).to_have_text(re.compile("^Connected"))
    expect(page.locator("#notices")).not_to_contain_text("Too many viewers")
    shows_pictures(page)


def test_hostile_names_are_text(open_page: Open, fake: FakeServer, moving: Scene) -> None:
    """Whatever a camera, class, area or error is called: nothing of it becomes HTML."""
    name = HARM
    tracks = [[track(1, HARM, (20, 20, 80, 80))]] * len(moving.jpegs)
    fake.cameras[0] = Camera(name, dataclasses.replace(moving, tracks=tracks), inside={HARM: 2})
    fake.cameras[0].warning = HARM
    fake.config_error = HARM
    fake.cameras.append(Camera("__proto__", moving))
    fake.cameras[2].set("lost", HARM)
    fake.zones[name] = {
        "size": [320, 180],
        "zones": [{"name": HARM, "points": [[9, 9], [90, 9], [90, 90]], "classes": [HARM]}],
        "lines": [{"name": "__proto__", "points": [[5, 50], [200, 60]], "classes": None}],
    }
    counted = {"area": HARM, "kind": "enter", "direction": "", "class_name": HARM, "count": 3}
    fake.counts.append({"camera": name, **counted})
    page = open_page()
    shows_pictures(page)
    touched = [{"kind": HARM, "area": HARM, "direction": HARM}]
    fake.visit(camera=name, class_name=HARM, touched=touched)
    expect(page.locator(".event .what").first).to_contain_text(HARM)
    page.locator(".tile .open").first.click()
    expect(page.locator(".large-tools h2").first).to_have_text(HARM)
    page.keyboard.press("e")
    expect(page.locator(".editor .list")).to_contain_text(HARM)
    page.locator(".editor .list button").first.click()
    expect(page.locator(".chips")).to_contain_text(HARM)
    assert page.evaluate("window.harmed") is None
    assert page.locator("img:not(.mark img, .thumb img), .wall b b, .rail b b").count() == 0


def test_invalid_messages_are_ignored(page: Page, fake: FakeServer) -> None:
    """A later version's message, or damage, must not stop what the page understands."""
    for text in ('{"type": "weather"}', "not json", "[]", "null"):
        fake.send(text)
    goes_on(page, "yard")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("Promise.reject(new TypeError('Failed to fetch'))", [0, "does not answer"]),
        ("Promise.reject(new DOMException('aborted', 'AbortError'))", [0, "does not answer"]),
        ("broken(new TypeError('network error'))", [0, "does not answer"]),
        ("broken(new DOMException('aborted', 'AbortError'))", [0, "does not answer"]),
        ("new Response('<html>Sign in to the hotel</html>')", [200, "is not JSON"]),
        ("new Response('{\"a\": ')", [200, "is not JSON"]),
        ("new Response('')", [200, "is not JSON"]),
        ("new Response('<html>', { status: 502, statusText: 'Bad Gateway' })", [502, "502"]),
        ("broken(new TypeError('network error'), 500)", [500, "answers 500"]),
    ],
)
def test_every_answer_that_is_none_has_one_line(
    functions: Page, answer: str, problem: list[Any]
) -> None:
    """Where the body broke off, or was aborted, the error was none that the page shows."""
    status, text = functions.evaluate(
        f"""async () => {{
          const {{ fetchJson }} = await import("./api.js");
          const broken = (error, status = 200) => {{
            const body = new ReadableStream({{ start: (stream) => stream.error(error) }});
            return new Response(body, {{ status }});
          }};
          const real = window.fetch;
          window.fetch = () => {answer};
          try {{
            return await fetchJson("api/state").then((value) => ["got", value]);
          }} catch (error) {{
            return [error.status, error.message];
          }} finally {{
            window.fetch = real;
          }}
        }}"""
    )
    assert status == problem[0]
    assert problem[1] in text
