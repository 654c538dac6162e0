"""The browser of the page's tests, and what they wait for and read from a page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from axe_core_python.base import AXE_SCRIPT
from playwright.sync_api import Page
from support.programs import find_program

# The headless shell opens a page with a third of the CPU time of the whole browser.
CHROMIUM = find_program("chromium-headless-shell", "usr/bin") or find_program("chromium", "usr/bin")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PATIENCE_S = 60.0
"""How long a test waits for what must come; on a busy machine some seconds are nothing."""

Open = Callable[..., Page]
"""Opens a page and returns it; see the fixture `open_page`."""

# Both canvases of a camera at one moment: the rectangle the picture shows (what is brighter than
# the ground), and the outermost pixels drawn over it; both as [x1, y1, x2, y2] in pixels of the
# camera's picture, null where there is nothing.
BOUNDS = """name => {
  const tile = document.querySelector(`[data-camera='${name}']`);
  const [picture, overlay] = tile.querySelectorAll("canvas");
  const bounds = (canvas, is) => {
    if (!canvas.width) return null;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let found = null;
    for (let i = 0, p = 0; i < data.length; i += 4, p += 1) {
      if (!is(data[i], data[i + 1], data[i + 2], data[i + 3])) continue;
      const [x, y] = [p % canvas.width, Math.floor(p / canvas.width)];
      found ??= [x, y, x, y];
      found[0] = Math.min(found[0], x);
      found[1] = Math.min(found[1], y);
      found[2] = Math.max(found[2], x);
      found[3] = Math.max(found[3], y);
    }
    return found && [found[0], found[1], found[2] + 1, found[3] + 1];
  };
  const object = bounds(picture, (r, g, b) => Math.max(r, g, b) > 100);
  // Bright pixels only: the dark rim around a box lies outside of it.
  const drawn = bounds(overlay, (r, g, b, a) => a > 200 && Math.max(r, g, b) > 200);
  const fills = getComputedStyle(picture).objectFit === "cover";
  const ratios = ["width", "height"].map((d) => overlay[d] / picture[d]);
  const scale = Math[fills ? "max" : "min"](...ratios);
  const margins = ["width", "height"].map((d) => (overlay[d] - picture[d] * scale) / 2);
  const unlaid = (value, k) => (value - margins[k % 2]) / scale;
  return { object, drawn: drawn && drawn.map(unlaid), scale };
}"""


# A canvas gets its size when the browser paints: a script may look between a change of the layout
# and that, which nobody sees. This waits until canvas and layout agree.
LAID_OUT = """async (tile) => {
  const overlay = tile.querySelector(".overlay");
  const ratio = Math.min(devicePixelRatio, 3);
  const agrees = (side, shown) => overlay[side] === Math.round(overlay[shown] * ratio);
  while (!agrees("width", "clientWidth") || !agrees("height", "clientHeight")) {
    await new Promise(requestAnimationFrame);
  }
}"""


def bounds(page: Page, camera: str) -> dict[str, Any]:
    """Return what the picture shows and what is drawn over it, see `BOUNDS`."""
    script = f"""async name => {{
      await ({LAID_OUT})(document.querySelector(`[data-camera='${{name}}']`));
      return ({BOUNDS})(name);
    }}"""
    found: dict[str, Any] = page.evaluate(script, camera)
    return found


def shows_pictures(page: Page, count: int = 2) -> None:
    page.wait_for_function("n => document.querySelectorAll('[data-shown]').length >= n", arg=count)


def shown_index(page: Page, camera: str) -> int:
    return int(page.locator(f'[data-camera="{camera}"]').get_attribute("data-shown") or -1)


def goes_on(page: Page, camera: str) -> None:
    """Wait until the camera has shown another picture than now."""
    now = shown_index(page, camera)
    page.wait_for_function(
        "([name, now]) => +document.querySelector(`[data-camera='${name}']`).dataset.shown > now",
        arg=[camera, now],
    )


def until(page: Page, is_so: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Wait until something is so that the page cannot tell; fails after `limit_s`."""
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, "it did not become so"
        page.wait_for_timeout(50)


def plays_on(page: Page) -> None:
    """Let clips begin again: at its end one has stopped, or given way to the next."""
    page.locator("video").evaluate("video => { video.loop = true; }")


def visit_with_clip(page: Page) -> int | None:
    """Ask the real server for a visit whose clip is ready: without one the browser complains."""
    page.wait_for_timeout(500)
    script = "async () => (await (await fetch('api/visits')).json()).visits.find((one) => one.clip)"
    found = page.evaluate(script)
    return None if found is None else int(found["id"])


def accessibility_problems(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is now, a line each."""
    named = {"label-content-name-mismatch": {"enabled": True}}  # not among the usual rules
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("rules => axe.run({rules})", named)["violations"]
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found]
