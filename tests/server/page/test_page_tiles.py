"""What tiles say and how labels and trails are drawn, in a real browser."""

from __future__ import annotations

import random
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.page_browser import Open, shows_pictures
from support.page_scenes import Scene
from support.page_server import Camera, FakeServer

pytestmark = [pytest.mark.needs_browser, pytest.mark.slow]

AREA = [10, 5, 310, 185]


def crossings(camera: str, direction: str, count: int) -> dict[str, Any]:
    about = {"area": "gate", "kind": "cross", "class_name": "person"}
    return {"camera": camera, "direction": direction, "count": count, **about}


def caption(page: Page, camera: str, part: str) -> Any:
    return page.locator(f'[data-camera="{camera}"] .caption {part}')


def scene_of(scene: Scene, *names: str) -> Scene:
    """The scene with an object of each class, standing."""
    tracks = [
        {**scene.tracks[0][0], "id": i + 1, "class_name": name} for i, name in enumerate(names)
    ]
    return Scene(scene.width, scene.height, scene.jpegs, [tracks])


def test_a_tile_says_what_is_there(open_page: Open, fake: FakeServer, moving: Scene) -> None:
    """The boldest figure of a tile was its latency; nobody who watches cameras asks for that."""
    fake.cameras[0].scene = scene_of(moving, "car", "person", "person", "person")
    fake.counts = [crossings("yard", "in", 12), crossings("yard", "out", 0)]
    page = open_page()
    said = caption(page, "yard", ".now")
    expect(said).to_have_text("3 people, 1 car · gate 12 in")
    expect(caption(page, "street", ".now")).not_to_contain_text("gate")
    show = page.get_by_role("button", name="Show yard large. Live, 3 people, 1 car · gate 12 in")
    expect(show).to_be_visible()
    fake.cameras[0].inside = {"lawn": 2}
    expect(said).to_have_text("3 people, 1 car · lawn 2 inside · gate 12 in")
    fake.counts[1] = crossings("yard", "out", 1)
    fake.happen(camera="yard", kind="cross", area="gate", direction="out")
    expect(said).to_have_text("3 people, 1 car · gate 12 in, 1 out · lawn 2 inside")


def test_a_tile_is_quiet_where_nothing_is(open_page: Open, fake: FakeServer, moving: Scene) -> None:
    fake.cameras[0].scene = Scene(moving.width, moving.height, moving.jpegs, [[]])
    page = open_page()
    expect(caption(page, "yard", ".now")).to_have_text("nothing in view")
    expect(caption(page, "yard", ".now")).to_have_attribute("data-quiet", "")
    expect(caption(page, "street", ".now")).not_to_have_attribute("data-quiet", "")


def test_rate_and_age_are_shown_on_demand(page: Page, fake: FakeServer) -> None:
    """Under the pointer and the focus; by themselves only where they are not as they should be."""
    rate, age = caption(page, "yard", ".fps"), caption(page, "yard", ".age")
    expect(rate).to_be_hidden()
    expect(age).to_be_hidden()
    page.locator('[data-camera="yard"] .stage').hover()
    expect(rate).to_have_text("10.0 fps")
    expect(rate).to_be_visible()
    expect(age).to_be_visible()
    page.locator("#summary").hover()
    expect(rate).to_be_hidden()
    page.locator("#wall").focus()
    page.keyboard.press("Tab")
    expect(age).to_be_visible()
    fake.cameras[1].analysed_fps = 6.4
    expect(caption(page, "street", ".fps")).to_have_text("6.4 of 10.0 fps")
    expect(caption(page, "street", ".fps")).to_be_visible()
    expect(caption(page, "street", ".age")).to_be_hidden()
    fake.cameras[1].age_ms = 4000
    expect(caption(page, "street", ".age")).to_be_visible()


def test_one_missed_picture_does_not_change_the_words(functions: Page) -> None:
    """A detector misses an object for a picture now and then; the words must not flicker."""
    script = """async () => {
      const { RecentObjects, objectsText } = await import("./tile_text.js");
      const objects = new RecentObjects();
      const one = [{ class_name: "person" }];
      const pictures = [[0, one], [200, []], [300, one], [900, []], [1299, []], [1301, []]];
      return pictures.map(([at, tracks]) => {
        objects.add(tracks, at);
        return objectsText(objects.counts);
      });
    }"""
    assert functions.evaluate(script) == ["1 person"] * 5 + [""]


@pytest.mark.parametrize(
    ("name", "many"),
    [
        ("person", "people"), ("car", "cars"), ("bus", "buses"), ("bench", "benches"),
        ("wine glass", "wine glasses"), ("knife", "knives"), ("butterfly", "butterflies"),
        ("boy", "boys"), ("traffic light", "traffic lights"), ("sheep", "sheep"),
        ("seated_person", "seated_people"), ("constructor", "constructors"),
    ],
)  # fmt: skip
def test_classes_have_plurals(functions: Page, name: str, many: str) -> None:
    ask = "async (args) => (await import('./tile_text.js')).plural(...args)"
    assert functions.evaluate(ask, [name, 2]) == many
    assert functions.evaluate(ask, [name, 1]) == name


@pytest.mark.parametrize(
    ("analysed", "grabbed", "dropped", "lagging"),
    [
        (8.9, 100, {}, True), (9.0, 100, {}, False), (5.0, 99, {"overrun": 40}, False),
        (5.0, 199, {"unwanted": 100}, False), (5.0, 200, {"unwanted": 100}, True),
    ],
)  # fmt: skip
def test_a_rate_is_a_warning_where_pictures_are_missing(
    functions: Page, analysed: float, grabbed: int, dropped: dict[str, int], lagging: bool
) -> None:
    """Ten pictures a second arrive; of the first ten seconds, which have the start in them, nothing
    is said."""
    ask = "async (camera) => (await import('./format.js')).isLagging(camera)"
    camera = {"fps": 10.0, "analysed_fps": analysed, "grabbed": grabbed, "dropped": dropped}
    assert functions.evaluate(ask, camera) is lagging


def placed(page: Page, labels: list[dict[str, Any]], taken: list[list[float]]) -> dict[str, Any]:
    script = """async ([labels, area, taken]) => Object.fromEntries(
      (await import('./labels.js')).placeLabels(labels, area, taken))"""
    found: dict[str, Any] = page.evaluate(script, [labels, AREA, taken])
    return found


def test_labels_never_lie_over_one_another(page: Page) -> None:
    """In a crowd, each label that is drawn can be read, and none leaves the picture."""
    chance = random.Random(3)
    drawn = 0
    for _ in range(20):
        labels = [
            {
                "key": key, "width": chance.uniform(20, 70), "height": 16, "weight": 100 - key,
                "box": [chance.uniform(-20, 300), chance.uniform(-20, 180),
                        chance.uniform(8, 90), chance.uniform(8, 120)],
            }
            for key in range(25)
        ]  # fmt: skip
        taken = [[100, 60, 160, 76]]
        spots = placed(page, labels, taken)
        rectangles = list(taken)
        for label in labels:
            if spot := spots.get(str(label["key"])):
                left, top = spot["left"], spot["top"]
                rectangles.append([left, top, left + label["width"], top + label["height"]])
        for i, (a, b, c, d) in enumerate(rectangles):
            assert AREA[0] <= a <= c <= AREA[2]
            assert AREA[1] <= b <= d <= AREA[3]
            assert all(a >= g or e >= c or b >= h or f >= d for e, f, g, h in rectangles[:i])
        drawn += len(spots)
    assert drawn > 20 * 8


@pytest.mark.parametrize(
    ("boxes", "places"),
    [
        ([[50, 60, 40, 80]], ["above"]),
        ([[50, 6, 40, 80]], ["below"]),
        ([[50, 5, 40, 180]], ["inside"]),
        ([[50, 60, 40, 80], [52, 60, 40, 80]], ["above", "below"]),
        ([[50, 60, 40, 80], [50, 60, 40, 80], [50, 60, 40, 80]], ["above", "below", "inside"]),
        ([[400, 60, 40, 80]], [None]),
        ([[50, 60, 40, 80]] * 5, ["above", "below", "inside", "insideBottom", None]),
    ],
)  # fmt: skip
def test_where_labels_go(
    functions: Page, boxes: list[list[float]], places: list[str | None]
) -> None:
    """Above, else below, else inside; of what has no room the smaller is left out."""
    labels = [
        {"key": key, "box": box, "width": 42, "height": 16, "weight": 10 - key}
        for key, box in enumerate(boxes)
    ]
    found = placed(functions, labels, [])
    assert [found.get(str(key), {}).get("place") for key in range(len(boxes))] == places


def test_a_label_keeps_its_place(functions: Page) -> None:
    """Labels that jump from picture to picture cannot be read."""
    script = """async (area) => {
      const { placeLabels } = await import('./labels.js');
      const size = { width: 42, height: 16 };
      const label = (key, x, weight) => ({ key, weight, box: [x, 60, 40, 80], ...size });
      const one = placeLabels([label(1, 50, 10), label(2, 60, 9)], area);
      const two = placeLabels([label(1, 50, 9), label(2, 60, 10)], area, [], one);
      const three = placeLabels([label(2, 60, 10)], area, [], two);
      return [one, two, three].map((each) => [1, 2].map((key) => each.get(key)?.place ?? null));
    }"""
    assert functions.evaluate(script, AREA) == [
        ["above", "below"],
        ["above", "below"],
        [None, "above"],
    ]


TEXTS = """() => {
  globalThis.drawn = [];
  const fillText = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
    drawn.push(text);
    fillText.call(this, text, ...at);
  };
}"""


def draws(page: Page, text: str) -> None:
    """Wait until this is all that is drawn."""
    script = "text => drawn.length > 2 && drawn.splice(0).every((one) => one === text)"
    page.wait_for_function(script, arg=text)


def test_ids_are_drawn_on_demand(open_page: Open, fake: FakeServer, moving: Scene) -> None:
    """A number on each label is noise to all but few; these switch it on, and it stays on."""
    fake.cameras[:] = [Camera("yard", scene_of(moving, "car"))]
    page = open_page()
    shows_pictures(page, 1)
    page.evaluate(TEXTS)
    draws(page, "car")
    page.get_by_role("button", name="IDs").click()
    draws(page, "car 1")
    page.reload()
    shows_pictures(page, 1)
    page.evaluate(TEXTS)
    draws(page, "car 1")
    page.keyboard.press("i")
    draws(page, "car")
    x1, y1, x2, y2 = fake.cameras[0].tracks[0]["xyxy"]
    stage = page.locator(".stage").bounding_box()
    assert stage
    scale = min(stage["width"] / moving.width, stage["height"] / moving.height)
    left = stage["x"] + (stage["width"] - moving.width * scale) / 2
    top = stage["y"] + (stage["height"] - moving.height * scale) / 2
    page.mouse.move(left + (x1 + x2) / 2 * scale, top + (y1 + y2) / 2 * scale)
    draws(page, "car 1")


def test_trails_are_smooth(functions: Page) -> None:
    """The bottom of a box jitters by pixels; a trail of these corners looked like a saw."""
    script = """async () => (await import('./trails.js')).smoothed(
      Array.from({ length: 21 }, (_, i) => [i * 4, 100 + (i % 2 ? 3 : -3)]))"""
    points = functions.evaluate(script)
    assert points[0] == [0, 97]
    assert points[-1] == [80, 97]
    assert [x for x, _ in points] == pytest.approx([4 * i for i in range(21)])
    assert max(abs(y - 100) for _, y in points[2:-2]) < 1
