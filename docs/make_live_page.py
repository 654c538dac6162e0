"""Make docs/live-page.jpg: the page of the live server with the sample street on six cameras.

Usage, with the development extra installed and Chromium there: python docs/make_live_page.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.page_browser import CHROMIUM, FLAGS, shows_pictures  # noqa: E402
from support.page_scenes import Scene, street  # noqa: E402
from support.page_server import Camera, FakeServer  # noqa: E402

PAVEMENT = {
    "name": "Pavement",
    "points": [[20, 205], [430, 190], [520, 262], [30, 275]],
    "classes": ["person"],
    "dwell_s": 20.0,
}
KERB = {"name": "Kerb", "points": [[80, 430], [860, 395]], "classes": None}
HAPPENED = [
    ("enter", "Pavement", "", "person"),
    ("cross", "Kerb", "in", "car"),
    ("leave", "Pavement", "", "person"),
    ("cross", "Kerb", "out", "person"),
    ("dwell", "Pavement", "", "person"),
]
COUNTED = [
    ("Kerb", "cross", "in", "car", 214),
    ("Kerb", "cross", "out", "car", 198),
    ("Kerb", "cross", "in", "person", 31),
    ("Kerb", "cross", "out", "person", 35),
    ("Pavement", "enter", "", "person", 87),
    ("Pavement", "leave", "", "person", 84),
    ("Pavement", "dwell", "", "person", 9),
]


def thumbnail(scene: Scene, name: str, number: int) -> bytes:
    """Return a JPEG of one object of a class and what is around it, another one for each number."""
    at = number * 7 % len(scene.jpegs)
    image = cv2.imdecode(np.frombuffer(scene.jpegs[at], np.uint8), cv2.IMREAD_COLOR)
    boxes = [one["xyxy"] for one in scene.tracks[at] if one["class_name"] == name]
    x1, y1, x2, y2 = boxes[number % len(boxes)]
    half = max(y2 - y1, (x2 - x1) * 3 / 4) * 0.75
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    rows = slice(max(0, int(y - half)), int(y + half))
    columns = slice(max(0, int(x - half * 4 / 3)), int(x + half * 4 / 3))
    return cv2.imencode(".jpg", cv2.resize(image[rows, columns], (192, 144)))[1].tobytes()


def scene() -> FakeServer:
    """Return a server with six cameras, one of them lost, an hour's events and counts."""
    cameras = [
        Camera("Street, north", street(), inside={"Pavement": 3}, fps=25.0),
        Camera("Crossing", street((240, 80, 640, 360), 40), fps=25.0, age_ms=140),
        Camera("Bus stop", street((320, 100, 640, 360), 80), fps=15.0, age_ms=110),
        Camera("Yard", street((0, 120, 640, 360), 120), fps=12.5),
        Camera("Loading dock", street((300, 180, 640, 360), 160), fps=12.5, age_ms=90),
        Camera("Back door", street((100, 60, 640, 360), 20), fps=10.0),
    ]
    fake = FakeServer(cameras)
    fake.zones["Street, north"] = {"size": [960, 540], "zones": [PAVEMENT], "lines": [KERB]}
    for number, (kind, area, direction, name) in enumerate(HAPPENED):
        began = time.time() - (len(HAPPENED) - number) * 83
        fake.visit_silently(
            camera="Street, north",
            class_name=name,
            touched=[{"kind": kind, "area": area, "direction": direction}],
            started=began,
            ended=began + 9.0,
            seconds=9.0,
            thumbnail=1,
            jpeg=thumbnail(cameras[0].scene, name, number),
        )
    for area, kind, direction, name, count in COUNTED:
        row = {"camera": "Street, north", "area": area, "kind": kind, "direction": direction}
        fake.counts.append({**row, "class_name": name, "count": count})
    return fake


def main() -> None:
    """Write the picture."""
    fake = scene()
    fake.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
            page = browser.new_page(
                viewport={"width": 1440, "height": 900}, color_scheme="dark", locale="en-GB"
            )
            page.goto(fake.url)
            shows_pictures(page, 6)
            page.wait_for_timeout(2500)  # trails grow
            fake.cameras[4].set("lost", "refuses the connection")
            page.wait_for_timeout(1200)
            path = ROOT / "docs" / "live-page.jpg"
            page.screenshot(path=path, type="jpeg", quality=72)
            browser.close()
    finally:
        fake.stop()


if __name__ == "__main__":
    main()
