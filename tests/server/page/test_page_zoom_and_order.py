"""The order of the tiles, by drag and by key; the zoom of a large camera."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect
from support.page_browser import LAID_OUT, Open, accessibility_problems, shows_pictures
from support.page_scenes import Scene
from support.page_server import Camera, FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

# The object in the picture and the box drawn over it, both as [x1, y1, x2, y2] on the screen; what
# lies outside of the stage is left out.
ON_SCREEN = """() => {
  const stage = document.querySelector(".tile.large .stage");
  const [picture, overlay] = stage.querySelectorAll("canvas");
  const found = (canvas, is, place) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const xs = [], ys = [];
    for (let i = 0, p = 0; i < data.length; i += 4, p += 1) {
      if (!is(data[i], data[i + 1], data[i + 2], data[i + 3])) continue;
      xs.push(p % canvas.width);
      ys.push(Math.floor(p / canvas.width));
    }
    if (!xs.length) return null;
    const range = (all) => all.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [1e9, -1]);
    const [[x1, x2], [y1, y2]] = [range(xs), range(ys)];
    return [...place(x1, y1), ...place(x2 + 1, y2 + 1)];
  };
  const [at, shown] = [picture, stage].map((one) => one.getBoundingClientRect());
  const scale = Math.min(at.width / picture.width, at.height / picture.height);
  const left = at.left + (at.width - picture.width * scale) / 2;
  const top = at.top + (at.height - picture.height * scale) / 2;
  const ratio = overlay.width / shown.width;
  const within = (xyxy) => {
    if (xyxy === null) return null;
    const [x1, y1] = [Math.max(xyxy[0], shown.left), Math.max(xyxy[1], shown.top)];
    const [x2, y2] = [Math.min(xyxy[2], shown.right), Math.min(xyxy[3], shown.bottom)];
    return x1 < x2 && y1 < y2 ? [x1, y1, x2, y2] : null;
  };
  const isObject = (r, g, b) => Math.max(r, g, b) > 100;
  const isBox = (r, g, b, a) => a > 200 && Math.max(r, g, b) > 200;
  const object = found(picture, isObject, (x, y) => [left + x * scale, top + y * scale]);
  const box = found(overlay, isBox, (x, y) => [shown.left + x / ratio, shown.top + y / ratio]);
  return { object: within(object), box: within(box), zoom: at.width / shown.width };
}"""
PURE = """async () => {
  const { about, bounded } = await import("./zoom.js");
  const { moved, ordered } = await import("./wall_order.js");
  const fixed = about({ k: 2, x: -50, y: 0 }, 2, 30, 10);
  return [
    fixed, [(30 + 50) / 2 * fixed.k + fixed.x, 10 / 2 * fixed.k + fixed.y], // the point stays
    bounded({ k: 0.5, x: 9, y: 9 }, 100, 50), bounded({ k: 2, x: -300, y: 5 }, 100, 50),
    bounded({ k: 99, x: 0, y: 0 }, 100, 50).k,
    ordered(["a", "b", "c"], ["c", "gone", "a"]), ordered(["a", "b"], []),
    moved(["a", "b", "c"], "a", 2), moved(["a", "b", "c"], "c", -5),
  ];
}"""


TOGETHER = f"""async ([low, high]) => {{
  await ({LAID_OUT})(document.querySelector(".tile.large"));
  const {{ object, box, zoom }} = ({ON_SCREEN})();
  const isTogether = object?.every((value, i) => Math.abs(value - box?.[i]) <= 3 * zoom);
  return isTogether && low <= zoom && zoom <= high;
}}"""


def in_order(page: Page, *names: str) -> None:
    """Wait until the tiles have this order."""
    shown = "() => [...document.querySelectorAll('.tile')].map((one) => one.dataset.camera).join()"
    page.wait_for_function(f"names => ({shown})() === names", arg=",".join(names))


def together(page: Page, low: float, high: float | None = None) -> None:
    """Wait until the picture is shown so large, and its box lies on its object.

    The wheel and fingers take effect with the next painting only.
    """
    page.wait_for_function(TOGETHER, arg=[low - 0.01, (high or low) + 0.01])


def tapped_twice(page: Page, x: float, y: float, *, finger: bool) -> None:
    """Click or tap twice within 0.2 s by the events' own times, however slow the machine is."""
    link = page.context.new_cdp_session(page)
    at, now = {"x": x, "y": y}, time.time()
    for tap in range(2):
        for step, down in enumerate((True, False)):
            about = {"timestamp": now + 0.1 * tap + 0.05 * step}
            if finger:
                kind, points = ("touchStart", [at]) if down else ("touchEnd", [])
                about |= {"type": kind, "touchPoints": points}
                link.send("Input.dispatchTouchEvent", about)
            else:
                kind = "mousePressed" if down else "mouseReleased"
                about |= {"type": kind, "button": "left", "clickCount": tap + 1, **at}
                link.send("Input.dispatchMouseEvent", about)


def test_tiles_are_put_in_order_and_a_picture_is_zoomed(
    open_page: Open, fake: FakeServer, moving: Scene
) -> None:
    scene = Scene(moving.width, moving.height, moving.jpegs[:1], moving.tracks[:1])
    fake.cameras[:] = [Camera(name, scene) for name in ("a", "b", "c", "d")]
    page = open_page()
    shows_pictures(page, 4)
    assert page.evaluate(PURE) == [
        {"k": 4, "x": -130, "y": -10},
        [30, 10],
        {"k": 1, "x": 0, "y": 0},
        {"k": 2, "x": -100, "y": 0},
        8,
        ["c", "a", "b"],
        ["a", "b"],
        ["b", "c", "a"],
        ["c", "a", "b"],
    ]

    # Dragged by its caption, then moved by a key; it stays so.
    target = page.locator('[data-camera="d"] .caption').bounding_box()
    assert target
    page.locator('[data-camera="a"] .caption').hover()
    page.mouse.down()
    page.mouse.move(target["x"] + target["width"] / 2, target["y"] + target["height"] / 2)
    in_order(page, "b", "c", "d", "a")
    page.mouse.up()
    page.get_by_role("button", name="Show b large").focus()
    page.keyboard.press("Shift+ArrowRight")
    in_order(page, "c", "b", "d", "a")
    expect(page.get_by_role("button", name="Show b large")).to_be_focused()
    expect(page.get_by_text("b: place 2 of 4")).to_be_attached()
    page.reload()
    in_order(page, "c", "b", "d", "a")
    fake.cameras.append(Camera("e", scene))
    expect(page.locator(".tile")).to_have_count(5)
    in_order(page, "c", "b", "d", "a", "e")
    page.get_by_role("button", name="Reset order").click()
    in_order(page, "a", "b", "c", "d", "e")
    expect(page.get_by_role("button", name="Reset order")).to_be_hidden()

    # One large: wheel, drag, keys, double click.
    for layer in "lt":
        page.keyboard.press(layer)
    page.get_by_role("button", name="Show b large").click()
    together(page, 1)
    x1, y1, x2, y2 = page.evaluate(ON_SCREEN)["object"]
    page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    page.mouse.wheel(0, -200)
    together(page, 1.5, 2.5)
    page.mouse.down()
    page.mouse.move((x1 + x2) / 2 + 20, (y1 + y2) / 2 + 10, steps=4)
    page.mouse.up()
    together(page, 1.5, 2.5)
    assert accessibility_problems(page) == []
    page.keyboard.press("0")
    together(page, 1)
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowRight")
    together(page, 1.5)
    page.keyboard.press("-")
    together(page, 1)
    tapped_twice(page, (x1 + x2) / 2, (y1 + y2) / 2, finger=False)
    together(page, 2.5)
    page.get_by_role("button", name="Show the whole picture").click()
    together(page, 1)

    # Two fingers on a phone, and a double tap.
    phone = open_page("#camera/b", viewport={"width": 390, "height": 800}, has_touch=True)
    shows_pictures(phone, 1)
    for layer in "lt":
        phone.keyboard.press(layer)
    together(phone, 1)
    stage = phone.locator(".tile.large .stage").bounding_box()
    assert stage is not None
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    touch = phone.context.new_cdp_session(phone)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", 0)):
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        touch.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points if apart else []}
        )
    together(phone, 1.9, 2.1)
    tapped_twice(phone, x, y, finger=True)
    together(phone, 1)
