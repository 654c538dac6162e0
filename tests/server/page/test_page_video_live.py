"""A camera's own H.264 on the page: a network camera, the real server, and WebCodecs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser
from support import rtsp_server
from support.live_video import encoded, looped
from support.page_browser import BOUNDS, until

pytest.importorskip("fastapi")

from support.fake_backend import ServerParts, serving

from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.server.app import PAGE
from pipeline.sources import stream

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

NAME, FPS, STEP = "yard", 25, 8
HEIGHT, WIDTH, SIDE = 270, 480, 64
ONLY_BOXES = "localStorage.setItem('trackline.off', 'labels trails zones')"

IS_VIDEO = "name => document.querySelector(`[data-camera='${name}']`)?.dataset.media === 'video'"
# Looks at the page before each painting until the object was seen in so many places.
LOOK = f"""([name, count]) => new Promise((resolve) => {{
  const bounds = {BOUNDS};
  const seen = new Map();
  const end = performance.now() + 20000;
  const look = () => {{
    const now = bounds(name);
    if (now.object && now.drawn) seen.set(Math.round(now.object[0]), now);
    const ways = new Set([...seen.keys()].map((left) => Math.floor(left / {STEP}) % 3));
    const isMore = seen.size < count || (ways.size < 3 && performance.now() < end);
    if (isMore) requestAnimationFrame(look);
    else resolve([...seen.values()]);
  }};
  look();
}})"""


def square() -> list[Any]:
    """A bright square that moves by STEP pixels with each picture, 51 of them."""
    pictures = []
    for left in range(0, WIDTH - SIDE - STEP, STEP):
        picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        picture[100 : 100 + SIDE, left : left + SIDE] = 255
        pictures.append(picture)
    return pictures


def result_of(frame: Frame, before: Tracks | None) -> Result:
    """The square's box, found in the picture itself; a new track where it begins again."""
    left = float(np.flatnonzero(frame.image[132, :, 0] > 128)[0])
    track_id = 1
    if before is not None:
        track_id = int(before.track_id[0]) + (left < before.xyxy[0, 0])
    xyxy = np.array([[left, 100, left + SIDE, 100 + SIDE]], np.float32)
    row, ones = np.zeros(1, np.int32), np.ones(1, np.float32)
    tracks = Tracks(xyxy, ones, row, np.array([track_id]), row, ones)
    return Result(frame, Detections.empty(), tracks, {0: "car"})


@contextmanager
def analysing(made: ServerParts, url: str, every: int) -> Iterator[stream.StreamSource]:
    """Read the camera on a thread, and put out a result of every n-th picture."""
    source = stream.build(stream.Options(url=url, name=NAME))
    made.backend.taps[NAME] = source.packets
    ended = threading.Event()

    def work() -> None:
        source.open()
        tracks = None
        while not ended.is_set():
            frame = source.read()
            if frame is not None and frame.index % every == 0:
                result = result_of(frame, tracks)
                made.hub.write(result)
                tracks = result.tracks
        source.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield source
    finally:
        ended.set()
        thread.join()


def test_boxes_are_in_step_with_the_cameras_own_video(browser: Browser, tmp_path: Path) -> None:
    """The large camera is its H.264, every picture of it, with the boxes of that very picture.

    A third of them is analysed: the others have boxes on straight lines. No JPEG is made meanwhile.
    """
    made = ServerParts(tmp_path, token=None, page=PAGE)
    complaints: list[str] = []
    camera = rtsp_server.Camera(looped(encoded(square(), FPS), FPS))
    with (
        rtsp_server.running(camera),
        serving(made) as address,
        analysing(made, camera.url, every=3),
    ):
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.evaluate(ONLY_BOXES)
        page.goto(f"{address}/#camera/{NAME}")
        page.reload()
        encoder = made.app.context.viewers.encoder
        until(page, lambda: bool(made.backend.taps[NAME].is_wanted))
        seen = []
        # A page that is two seconds behind has JPEG until the next key frame: that look is no good.
        for _ in range(20):
            until(page, lambda: page.evaluate(IS_VIDEO, NAME))
            jpegs = encoder.encoded
            seen = page.evaluate(LOOK, [NAME, 20])
            if encoder.encoded == jpegs:
                break
        for now in seen:
            assert now["drawn"] == pytest.approx(now["object"], abs=3 / now["scale"] + 2)
        assert {now["object"][0] // STEP % 3 for now in seen} == {0, 1, 2}, "pictures between"
        assert encoder.encoded == jpegs
        page.close()
    assert complaints == []
