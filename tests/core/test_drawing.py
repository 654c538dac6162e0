"""Drawing: what must be visible, what must stay untouched, and that nothing grows for ever."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.paths import PACKAGE

from pipeline.core.data import Detections, Frame, Result, Tracks
from pipeline.core.drawing import Annotator, Style, Trails, class_colour, colour_of, drawable

FEET = slice(45, None)  # the rows below the labels, where trails are
NAMES = {0: "person", 1: "Fußgänger", 2: "行人"}


def result(
    boxes: list[list[float]],
    ids: list[int],
    *,
    t: float = 0.0,
    epoch: int = 0,
    coasting: bool = False,
    score: float = 0.5,
    classes: list[int] | None = None,
    size: tuple[int, int] = (120, 160),
    source: str = "a",
) -> Result:
    n = len(ids)
    tracks = Tracks(
        np.array(boxes, np.float32).reshape(n, 4),
        np.full(n, score, np.float32),
        np.array(classes or [0] * n, np.int32),
        np.array(ids, np.int64),
        np.full(n, -1 if coasting else 0, np.int32),
        np.zeros(n, np.float32),
    )
    frame = Frame(np.zeros((*size, 3), np.uint8), source, 0, t, t, epoch)
    return Result(frame, Detections.empty(), tracks, NAMES)


def painted(one: Result, painter: Annotator | None = None) -> np.ndarray:
    image = np.zeros_like(one.frame.image)
    (painter or Annotator(trail_s=1.5)).paint(image, one)
    return image


def test_ids_keep_their_colour_and_neighbours_differ() -> None:
    assert colour_of(7) == colour_of(7)
    colours = np.array([colour_of(track_id) for track_id in range(1, 41)], float)
    distance = np.abs(colours[:, None] - colours[None]).sum(axis=2)
    np.fill_diagonal(distance, 999)
    assert distance.min() > 12, "two of forty ids look alike"
    near = [distance[i, i + 1] for i in range(39)]
    assert min(near) > 100


def test_a_box_is_drawn_at_its_place_in_its_colour() -> None:
    image = painted(result([[40, 60, 80, 100]], [3]))
    blue_green_red = list(colour_of(3))
    for x, y in ((40, 90), (80, 90), (60, 100)):
        assert image[y, x].tolist() == blue_green_red
    assert not image[80, 60].any(), "the box is not filled"


def test_detections_without_tracks_draw_nothing() -> None:
    one = result([], [])
    two = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int32))
    assert not painted(Result(one.frame, two, one.tracks, NAMES)).any()


def test_a_coasting_box_is_dashed_and_its_label_shorter() -> None:
    box = [[10, 60, 150, 110]]
    solid, dashed = painted(result(box, [1])), painted(result(box, [1], coasting=True))
    assert solid[110, 10:150].any(axis=1).all()
    share = dashed[110, 10:150].any(axis=1).mean()
    assert 0.2 < share < 0.8
    assert solid[50].any(axis=1).sum() > dashed[50].any(axis=1).sum(), "no score while coasting"


def test_a_box_without_identity_has_its_class_colour_and_no_trail() -> None:
    painter = Annotator(trail_s=1.5)
    painter.paint(np.zeros((120, 160, 3), np.uint8), result([[0, 20, 20, 60]], [0], classes=[2]))
    image = painted(result([[100, 60, 140, 100]], [0], t=0.1, classes=[2]), painter)
    assert image[90, 100].tolist() == list(colour_of(3))
    assert not image[FEET, 25:90].any(), "nothing joins boxes that need not be the same object"


def test_the_trail_joins_foot_points_and_fades_away() -> None:
    painter = Annotator(trail_s=1.0)
    painted(result([[0, 20, 20, 60]], [1], t=0.0), painter)
    painted(result([[60, 20, 80, 60]], [1], t=0.5), painter)
    image = painted(result([[120, 20, 140, 60]], [1], t=0.9), painter)
    middle = image.max(axis=2)
    assert 0 < middle[60, 30] < middle[60, 100], "older parts are fainter"
    later = painted(result([[120, 20, 140, 60]], [1], t=3.0), painter)
    assert not later[FEET, :100].any()


@pytest.mark.parametrize(("t", "epoch"), [(5.0, 1), (0.1, 0)])
def test_the_trail_ends_where_time_starts_anew(t: float, epoch: int) -> None:
    painter = Annotator(trail_s=10)
    painted(result([[0, 20, 20, 60]], [1], t=4.9), painter)
    assert not painted(result([[120, 20, 140, 60]], [1], t=t, epoch=epoch), painter)[
        FEET, :100
    ].any()


@pytest.mark.parametrize("size", [(60, 80), (160, 120), (240, 320)])
def test_the_trail_ends_where_the_picture_size_changes(size: tuple[int, int]) -> None:
    """A stream went from 1280 x 720 to 640 x 360: its trails pointed outside, the run ended.

    IndexError is what ended it; with a larger picture the trail would be at the wrong place.
    """
    painter = Annotator(trail_s=10)
    for t, x in ((0.0, 0), (0.1, 60), (0.2, 120)):
        painted(result([[x, 60, x + 20, 118]], [1], t=t), painter)
    changed = result([[20, 10, 40, 40]], [1], t=0.3, size=size)
    assert (painted(changed, painter) == painted(changed)).all(), "something of the old size"


def test_sources_do_not_share_trails() -> None:
    painter = Annotator(trail_s=1.5)
    painted(result([[0, 20, 20, 60]], [1], source="a"), painter)
    image = painted(result([[120, 20, 140, 60]], [1], t=0.1, source="b"), painter)
    assert not image[FEET, :100].any()


@pytest.mark.slow
def test_a_day_of_tracks_does_not_pile_up() -> None:
    """A camera runs for weeks: tracks that ended must be forgotten, long ones thinned out."""
    trails = Trails(length_s=1.0)
    for i in range(2000):
        boxes = [[50, 20, 80, 60], [i % 100, 20, i % 100 + 20, 60]]
        trails.advance(result(boxes, [1, i + 2], t=i / 1000), min_step=3)
    assert len(trails.points) <= 1003
    assert len(trails.points[1]) <= 3, "an object that stands still needs no thousand points"


LABEL_PLACES = [[-30, -30, 5, 5], [150, 100, 300, 300], [-1e9, -1e9, 1e9, 1e9], [0, 0, 160, 120]]


@pytest.mark.parametrize("box", LABEL_PLACES)
@pytest.mark.parametrize("coasting", [False, True])
def test_labels_stay_inside_the_picture(box: list[float], coasting: bool) -> None:
    image = painted(result([box], [1], coasting=coasting))
    alone = painted(result([[40, 60, 80, 100]], [1], coasting=coasting))
    # The bar has the font's height wherever it lies, and its whole width is visible.
    colour = np.array(colour_of(1))
    label = (alone == colour).all(axis=2)[:60].sum()
    assert (image == colour).all(axis=2).sum() >= label * 0.9


@pytest.mark.parametrize("size", [(2, 2), (9, 200), (200, 9), (360, 640), (2160, 3840)])
def test_any_picture_size_can_be_drawn_on(size: tuple[int, int]) -> None:
    height, width = size
    box = [width * 0.2, height * 0.4, width * 0.8, height * 0.9]
    image = painted(result([box], [1], size=size, classes=[1]))
    assert image.any()


def test_text_and_lines_grow_with_the_picture() -> None:
    small, large = Style.of(360, 640), Style.of(2160, 3840)
    assert small.font_px >= 11
    assert large.font_px >= 3 * small.font_px
    assert large.line >= 2 * small.line


@pytest.mark.parametrize(
    ("name", "unicode", "drawn"),
    [
        ("person", False, "person"),
        ("Fußgänger", False, "Fussganger"),
        ("Fußgänger", True, "Fußgänger"),
        ("行人", True, "行人"),
        ("行人", False, "class 4"),
        ("two\nlines\tof", True, "two lines of"),
        ("", True, "class 4"),
    ],
)
def test_names_become_drawable_letters_and_never_question_marks(
    name: str, unicode: bool, drawn: str
) -> None:
    assert drawable(name, 4, unicode=unicode) == drawn


def test_names_in_other_letters_look_different_from_question_marks() -> None:
    """OpenCV draws a question mark for each letter it does not have."""
    shown = painted(result([[10, 60, 150, 110]], [1], classes=[1]))
    questions = result([[10, 60, 150, 110]], [1], classes=[1])
    questions = Result(questions.frame, questions.detections, questions.tracks, {1: "Fu?g?nger"})
    assert (shown != painted(questions)).any()


def test_zones_and_lines_are_drawn_with_an_arrow_to_the_right_hand_side() -> None:
    zones = {
        "size": [320, 240],
        "zones": [{"name": "yard", "points": [[20, 20], [100, 20], [100, 200]]}],
        "lines": [{"name": "gate", "points": [[200, 230], [200, 150]]}],
    }
    one = result([], [])
    image = painted(one, Annotator(trail_s=0, zones={"a": zones}))
    assert image[50, 50].min() > 200, "the zone's edge, at half its size"
    assert image[95, 104].min() > 100, "the arrow points right of a line that goes up"
    assert not image[95, 80:98].any()
    assert not painted(one, Annotator(trail_s=0, zones={"b": zones})).any()


def test_classes_have_the_colours_of_the_live_page() -> None:
    """A clip showed a person in green whose card and box on the page were yellow."""
    script = (PACKAGE / "server" / "page" / "colours.js").read_text("utf-8")
    palette = re.findall(r'"#([0-9a-f]{6})"', script)
    known = re.search(r"KNOWN = \[(.*?)\]", script)
    assert known
    names = re.findall(r'"(\w+)"', known[1])
    for name, colour in zip(names, palette, strict=True):
        red, green, blue = bytes.fromhex(colour)
        assert class_colour(name) == (blue, green, red)
    for name, colour in (  # as colours.js gives them in a browser
        ("traffic light", "b6dd5a"), ("Lastkraftwagen", "ff9166"), ("Fußgänger", "b6dd5a"),
        ("犬", "f2e14c"), ("😀", "ff8f8f"),
    ):  # fmt: skip
        red, green, blue = bytes.fromhex(colour)
        assert class_colour(name) == (blue, green, red), name


def test_tracks_of_a_class_share_its_colour_where_that_is_wanted() -> None:
    image = painted(
        result([[40, 60, 80, 100], [100, 60, 120, 100]], [3, 4]),
        Annotator(trail_s=0, labels=(), by_class=True),
    )
    assert tuple(image[80, 40].tolist()) == tuple(image[80, 100].tolist()) == class_colour("person")
