"""The dialog about alerts, and the service worker that shows them as notifications."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.page_browser import Open, accessibility_problems, shows_pictures, until
from support.page_server import FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

KEY = "B" + "A" * 86
# A test has no push service and asks nobody: a subscription as browsers give it, for this page.
SUBSCRIBING = """() => {
  Object.defineProperty(Notification, "permission", { get: () => "granted" });
  Notification.requestPermission = async () => "granted";
  let now = null;
  const bytes = (text) => Uint8Array.from(
    atob(text.replaceAll("-", "+").replaceAll("_", "/") + "="), (letter) => letter.charCodeAt(0),
  );
  PushManager.prototype.subscribe = async (options) => (now = {
    endpoint: "https://push.example.org/1",
    options: { applicationServerKey: bytes(options.applicationServerKey).buffer },
    toJSON: () => ({ endpoint: "https://push.example.org/1", keys: { p256dh: "p", auth: "a" } }),
    unsubscribe: async () => { now = null; return true; },
  });
  PushManager.prototype.getSubscription = async () => now;
}"""
# The headless shell has no notifications either: the worker notes what it would have shown.
NOTING = """() => {
  self.shown = [];
  self.registration.showNotification = async (title, options) => {
    self.shown.push({ title, ...options });
  };
}"""


def rule_like(name: str, **values: Any) -> dict[str, Any]:
    usual = {
        "name": name, "enabled": True, "in_force": True, "cameras": ["yard"], "zones": [],
        "kinds": [], "classes": ["person"], "min_score": 0, "min_dwell_s": 0, "min_visit_s": 0,
        "schedule": [], "time_zone": "", "not_again_s": 300, "per": "camera",
        "channels": ["email", "web_push"], "last": None, "suppressed": 0,
    }  # fmt: skip
    return {**usual, **values}


def pushed(page: Page, origin: str, message: dict[str, Any]) -> None:
    """Have the browser's push service deliver a message to the page's service worker."""
    link = page.context.new_cdp_session(page)
    known: list[str] = []
    link.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda told: known.extend(one["registrationId"] for one in told["registrations"]),
    )
    link.send("ServiceWorker.enable")
    until(page, lambda: bool(known))
    about = {"origin": origin, "registrationId": known[-1], "data": json.dumps(message)}
    link.send("ServiceWorker.deliverPushMessage", about)


def test_alerts_are_switched_on_tested_and_shown(open_page: Open, fake: FakeServer) -> None:
    last = {
        "id": 3, "rule": "Yard at night", "time": 1e9, "camera": "yard", "kind": "enter",
        "area": "lawn", "class_name": "person", "event_id": 9, "visit": 7, "thumbnail": None,
    }  # fmt: skip
    night = [{"days": ["mon", "tue"], "hours": "22:00-06:00"}]
    fake.rules = [
        rule_like(
            "Yard at night", schedule=night, in_force=False, last=last, suppressed=2, min_score=0.6
        ),
        rule_like('<img src=x onerror="window.harmed=1">', channels=["alert-webhook:house"]),
    ]
    fake.push = {"key": KEY, "browsers": 0}
    visit = fake.visit_silently(jpeg=fake.cameras[0].scene.jpegs[0])["id"]
    page = open_page()
    shows_pictures(page)
    page.evaluate(SUBSCRIBING)
    page.get_by_role("button", name="Alerts").click()
    dialog = page.get_by_role("dialog", name="Alerts")
    expect(dialog.locator("li")).to_have_count(2)
    first = dialog.locator("li").first
    about = "Not now: person · yard · score from 60 % · mon tue 22:00-06:00 · to e-mail, browsers"
    expect(first).to_contain_text(about)
    expect(first).to_contain_text("person entered lawn, yard; 2 events came too soon after one")
    assert page.evaluate("window.harmed") is None
    assert accessibility_problems(page) == []

    first.get_by_role("button", name="Send a test of Yard at night").click()
    expect(first).to_contain_text("e-mail: SMTP 550 no; MQTT: sent")
    assert fake.tested == ["Yard at night"]

    dialog.get_by_role("button", name="Switch on").click()
    expect(dialog).to_contain_text("On: alerts of rules that go to web push are shown here.")
    assert fake.browsers == {"https://push.example.org/1": {"p256dh": "p", "auth": "a"}}

    until(page, lambda: bool(page.context.service_workers))
    (worker,) = page.context.service_workers
    worker.evaluate(NOTING)
    alert = {"title": "Yard at night", "text": "person entered lawn", "tag": "t", "visit": visit}
    pushed(page, fake.url, {**alert, "picture": True})
    until(page, lambda: bool(worker.evaluate("self.shown.length")))
    (shown,) = worker.evaluate("self.shown")
    assert (shown["title"], shown["body"]) == ("Yard at night", "person entered lawn")
    assert shown["data"] == {"visit": visit}
    assert shown["image"].startswith("data:image/jpeg;base64,/9j/")
    assert page.evaluate("caches.keys()") == [], "no private picture is kept"

    dialog.get_by_role("button", name="Switch off").click()
    expect(dialog.get_by_role("button", name="Switch on")).to_be_visible()
    assert fake.browsers == {}


def test_without_rules_the_dialog_says_where_they_are_written(
    open_page: Open, fake: FakeServer
) -> None:
    page = open_page(viewport={"width": 390, "height": 780})
    shows_pictures(page, 1)
    page.get_by_role("button", name="Alerts").click()
    dialog = page.get_by_role("dialog", name="Alerts")
    expect(dialog).to_contain_text("There are no rules. Rules are in the configuration file")
    expect(dialog.get_by_role("button", name="Switch on")).to_have_count(0)
