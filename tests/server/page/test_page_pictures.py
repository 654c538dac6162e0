"""The page of uploaded pictures, with the real program: chosen, dropped, filtered, downloaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from support.live_process import live, write
from support.page_browser import PATIENCE_S
from support.tiny_networks import one_box_network
from support.tiny_videos import write_video

pytest.importorskip("fastapi")
pytest.importorskip("python_multipart")

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow, pytest.mark.timeout(240)]

DROP = """([name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  const about = { dataTransfer: data, bubbles: true, cancelable: true };
  document.dispatchEvent(new DragEvent("drop", about));
}"""
# The outermost bright pixels on the canvas over a picture, in pixels of the picture.
DRAWN = """() => {
  const [picture, boxes] = document.querySelectorAll(".card canvas");
  const { data } = boxes.getContext("2d").getImageData(0, 0, boxes.width, boxes.height);
  const scale = Math.min(boxes.width / 64, boxes.height / 48);
  const [left, top] = [(boxes.width - 64 * scale) / 2, (boxes.height - 48 * scale) / 2];
  let found = null;
  for (let p = 0; p < data.length / 4; p += 1) {
    if (data[4 * p + 3] < 200 || Math.max(data[4 * p], data[4 * p + 1]) < 200) continue;
    const [x, y] = [(p % boxes.width - left) / scale, (Math.floor(p / boxes.width) - top) / scale];
    const [x1, y1, x2, y2] = found ?? [x, y, x, y];
    found = [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x), Math.max(y2, y)];
  }
  return found;
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A live run without any camera, of a network that finds a person in every picture."""
    folder = tmp_path_factory.mktemp("live")
    one_box_network(folder / "one.onnx")
    write(folder, sinks=[])
    with live(folder) as run:
        yield run.address
        assert run.end() == 143


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    expect(page.get_by_role("dialog")).to_be_visible()  # a first run offers to add a camera
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Pictures").click()
    page.wait_for_url("**/pictures.html")
    expect(page.locator("#theme")).to_contain_text("Auto")  # its script runs
    yield page
    context.close()
    # The browser itself reports a refused upload, and that a test reads a canvas.
    assert [each for each in complaints if "422" not in each and "getImageData" not in each] == []


def picture(folder: Path, name: str = "door.png") -> Path:
    path = folder / name
    cv2.imwrite(str(path), np.full((48, 64, 3), 40, np.uint8))
    return path


def test_a_picture_is_looked_at_filtered_and_downloaded(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#files", picture(tmp_path))
    expect(page.locator(".found:not(.tags-of)")).to_have_text("1 × person")
    expect(page.locator("#summary")).to_have_text("1 picture, 1 object")
    [found] = downloaded(page)["pictures"][0]["objects"]
    assert found["class_name"] == "person"
    left, _, _, bottom = found["xyxy"]
    drawn = page.evaluate(DRAWN)
    assert (drawn[0], drawn[3]) == pytest.approx((left, bottom), abs=1.5)

    with page.expect_download() as download:
        page.get_by_role("button", name="Download with boxes").click()
    annotated = cv2.imread(str(download.value.path()))
    assert download.value.suggested_filename == "door-boxes.jpg"
    assert annotated.shape == (48, 64, 3)
    assert annotated.max() > 150, "a box"

    page.get_by_role("button", name="person 1").click()
    expect(page.locator(".found:not(.tags-of)")).to_have_text("Nothing found at this score")
    assert downloaded(page)["pictures"][0]["objects"] == []
    page.get_by_role("button", name="person 1").click()
    page.locator("#score").fill("0.95")
    expect(page.locator(".found:not(.tags-of)")).to_have_text("Nothing found at this score")


def test_dropped_pictures_and_what_is_none(page: Page, tmp_path: Path) -> None:
    """One that cannot be read says why; the next ones are looked at all the same."""
    page.set_input_files(
        "#files", [{"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture"}]
    )
    page.evaluate(DROP, ["dropped.png", list(picture(tmp_path).read_bytes())])
    expect(page.locator(".card .problem")).to_contain_text("not a readable picture")
    expect(page.locator(".card .found:not(.tags-of)").first).to_have_text("1 × person")
    expect(page.locator(".card h2")).to_have_text(["dropped.png", "notes.png"])
    page.get_by_role("button", name="Remove notes.png").click()
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#filters")).to_be_hidden()


def test_a_phone_has_no_sideways_scrolling(page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.get_by_role("link", name="Cameras")).to_be_visible()
    page.set_input_files("#files", picture(tmp_path, "a-rather-long-name" * 6 + ".png"))
    expect(page.locator(".found:not(.tags-of)")).to_have_text("1 × person")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_masks_and_keypoints_are_drawn(page: Page, tmp_path: Path) -> None:
    """A mask fills its outline, two fifths opaque; a keypoint is a solid dot, if it is likely."""
    seen = {
        "class_name": "person", "class_id": 0, "score": 0.9, "xyxy": [4, 4, 60, 44],
        "mask": [[[10, 10], [30, 10], [30, 30], [10, 30]]],
        "keypoints": [[45, 20, 0.9], [45, 35, 0.1]],
    }  # fmt: skip
    about = {"name": "", "width": 64, "height": 48, "objects": [seen], "tags": None, "error": None}
    page.route("**/api/images?*", lambda route: route.fulfill(json={"pictures": [about]}))
    page.set_input_files("#files", picture(tmp_path))
    expect(page.locator(".found:not(.tags-of)")).to_have_text("1 × person")
    alpha = page.evaluate(
        """points => {
          const boxes = document.querySelectorAll(".card canvas")[1];
          const scale = Math.min(boxes.width / 64, boxes.height / 48);
          const [left, top] = [(boxes.width - 64 * scale) / 2, (boxes.height - 48 * scale) / 2];
          return points.map(([x, y]) =>
            boxes.getContext("2d").getImageData(left + x * scale, top + y * scale, 1, 1).data[3]);
        }""",
        [[20, 20], [38, 25], [45, 20], [45, 35]],
    )
    assert alpha == [pytest.approx(102, abs=2), 0, 255, 0]


def video(folder: Path, name: str, codec: str = "libx264") -> Path:
    """Two seconds whose pictures grow brighter."""
    pictures = [np.full((48, 64, 3), 20 + 3 * n, np.uint8) for n in range(50)]
    return write_video(folder / name, pictures, codec=codec)


def seeked(page: Page, to_s: float) -> None:
    """Go to a time of the video and wait until its boxes are drawn."""
    page.evaluate("to => { document.querySelector('video').currentTime = to; }", to_s)
    page.wait_for_function(
        "to => Math.abs(Number(document.querySelector('video + canvas').dataset.time) - to) < .05",
        arg=to_s,
    )


def test_a_video_is_analysed_played_filtered_and_downloaded(page: Page, tmp_path: Path) -> None:
    """Its boxes follow the frame that the browser shows; what is filtered is in no download."""
    page.set_input_files("#files", video(tmp_path, "gate.mp4"))
    expect(page.locator(".card .found:not(.tags-of)")).to_have_text("1 × person")
    expect(page.locator("#summary")).to_have_text("1 video, 1 object")
    expect(page.locator(".card .hint").first).to_have_text("64 × 48, 2.0 s")
    [kept] = downloaded(page)["videos"]
    [track] = kept["tracks"]
    assert [frame["time"] for frame in kept["frames"]] == pytest.approx(
        [n / 25 for n in range(50)], abs=0.002
    )
    for to_s in (0.4, 1.2):
        seeked(page, to_s)
        left, _, _, bottom = kept["frames"][round(to_s * 25)]["objects"][0]["xyxy"]
        drawn = page.evaluate(DRAWN.replace(".card canvas", ".card video, .card canvas"))
        assert (drawn[0], drawn[3]) == pytest.approx((left, bottom), abs=1.5)

    with page.expect_download() as download:
        page.get_by_role("button", name="Download with boxes").click()
    assert download.value.suggested_filename == "gate-boxes.mp4"
    with av.open(str(download.value.path())) as container:
        assert len(list(container.decode(video=0))) == 50

    seeked(page, 0.4)
    page.get_by_role("button", name=f"person {track['track_id']} ·").click()
    page.wait_for_function("document.querySelector('video').currentTime === 0")
    page.locator("#score").fill("0.95")
    expect(page.locator(".found:not(.tags-of)")).to_have_text("Nothing found at this score")
    [kept] = downloaded(page)["videos"]
    assert kept["tracks"] == []
    assert not any(frame["objects"] for frame in kept["frames"])


def test_a_video_that_the_browser_cannot_play(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#files", video(tmp_path, "old.avi", "mpeg4"))
    expect(page.locator(".card .hint").first).to_contain_text("cannot play")
    page.wait_for_function("document.querySelector('video').videoWidth === 64")


def test_videos_that_are_refused_and_removed(page: Page, tmp_path: Path) -> None:
    """One that is none says why; one that is removed while it is looked at is cancelled."""
    page.set_input_files(
        "#files", [{"name": "notes.mp4", "mimeType": "video/mp4", "buffer": b"no video"}]
    )
    expect(page.locator(".card .problem")).to_contain_text("not a video")
    expect(page.get_by_role("button", name="Download with boxes")).to_be_hidden()
    page.get_by_role("button", name="Remove notes.mp4").click()
    expect(page.locator("#choose")).to_be_focused()
    page.set_input_files("#files", [video(tmp_path, "a.mp4"), video(tmp_path, "b.mp4")])
    page.get_by_role("button", name="Remove a.mp4").click()
    expect(page.locator(".card .found:not(.tags-of)")).to_have_text("1 × person")


def test_removed_while_its_answer_arrives(page: Page, tmp_path: Path) -> None:
    """The abort hit the body of the answer, was no ApiError, and the next video waited for ever."""
    page.evaluate(
        """() => {
          const real = window.fetch;
          window.fetch = (url, options) => {
            if (!String(url).endsWith("/answer")) return real(url, options);
            window.fetch = real;
            document.body.dataset.arriving = "";
            const start = (body) => {
              options.signal.addEventListener("abort", () => body.error(options.signal.reason));
            };
            return Promise.resolve(new Response(new ReadableStream({ start })));
          };
        }"""
    )
    page.set_input_files("#files", [video(tmp_path, "a.mp4"), video(tmp_path, "b.mp4")])
    expect(page.locator("[data-arriving]")).to_be_attached(timeout=60_000)
    page.get_by_role("button", name="Remove a.mp4").click()
    expect(page.locator(".card .found:not(.tags-of)")).to_have_text("1 × person")


def test_by_keyboard_alone(page: Page, tmp_path: Path) -> None:
    """Every control has a name, can be reached, and the focus is never lost."""
    page.set_input_files("#files", [picture(tmp_path), video(tmp_path, "gate.mp4")])
    expect(page.locator(".found:not(.tags-of)")).to_have_text(["1 × person"] * 2)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, video, progress, a, ul")]
          .filter((one) => one.checkVisibility())
          .filter((one) => !one.getAttribute("aria-label") && !one.labels?.length)
          .filter((one) => !one.textContent.trim())
          .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    page.locator("body").press("Tab")
    expect(page.locator(":focus")).to_have_text("To the pictures")
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.outerHTML"))
    for what in ('id="choose"', 'id="score"', "data-class", "<video", "data-track", "Remove door"):
        assert any(what in each for each in reached), what
    page.get_by_role("button", name="person 2").press("Enter")
    expect(page.locator(":focus")).to_have_text("person 2")
    expect(page.locator(":focus")).to_have_attribute("aria-pressed", "false")


def downloaded(page: Page) -> Any:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    return json.loads(download.value.path().read_text())
