"""Masks of objects: decoded, cut by their boxes, measured, outlined, written as COCO's RLE."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.data import Detections, Tracks
from pipeline.core.masks import Mask, rows_of

NOTHING = np.zeros((7, 5), np.bool_)
HOLE = np.pad(np.pad(np.zeros((2, 1), np.bool_), 2, constant_values=True), 1)
SHAPES = {
    "nothing": NOTHING,
    "everything": ~NOTHING,
    "one pixel": np.eye(1, 12, 4, dtype=np.bool_).reshape(3, 4),
    "columns from edge to edge": np.tile(np.arange(6) % 3 == 1, (4, 1)),
    "two neighbouring columns from edge to edge": np.tile(np.arange(6) // 2 == 1, (4, 1)),
    "a hole": HOLE,
    "two parts": np.kron(np.eye(2), np.ones((4, 5))).astype(np.bool_),
    "noise": np.random.default_rng(3).random((23, 31)) > 0.4,
    "many pixels": np.random.default_rng(4).random((150, 90)) > 0.02,
}


@pytest.mark.parametrize("pixels", SHAPES.values(), ids=SHAPES)
def test_pixels_come_back_as_they_were(pixels) -> None:
    mask = Mask.from_pixels(pixels)
    np.testing.assert_array_equal(mask.decode(), pixels)
    cropped, left, top = mask.cropped()
    height, width = cropped.shape
    np.testing.assert_array_equal(cropped, pixels[top : top + height, left : left + width])
    assert mask.area == pixels.sum()
    assert mask.size == pixels.shape


@pytest.mark.parametrize("pixels", SHAPES.values(), ids=SHAPES)
def test_runs_are_those_of_cocos_tools(pixels) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    mask = Mask.from_pixels(pixels)
    wanted = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert mask.rle() == {"size": [*pixels.shape], "counts": wanted["counts"].decode()}
    height, width = pixels.shape
    plain = {"size": [height, width], "counts": mask.counts()}
    assert coco.frPyObjects(plain, height, width)["counts"] == wanted["counts"]


@pytest.mark.parametrize("pixels", SHAPES.values(), ids=SHAPES)
def test_runs_add_up(pixels) -> None:
    counts = Mask.from_pixels(pixels).counts()
    assert sum(counts) == pixels.size
    assert sum(counts[1::2]) == pixels.sum()
    assert all(count > 0 for count in counts[1:])


def test_outlines_hold_the_pixels_and_leave_out_the_rest() -> None:
    cv2 = pytest.importorskip("cv2")
    disc = np.zeros((60, 80), np.uint8)
    cv2.circle(disc, (30, 25), 14, 1, -1)
    cv2.rectangle(disc, (60, 40), (70, 50), 1, -1)
    polygons = Mask.from_pixels(disc.astype(np.bool_)).polygons()
    assert len(polygons) == 2
    again = np.zeros_like(disc)
    cv2.fillPoly(again, [polygon.astype(np.int32) for polygon in polygons], 1)
    np.testing.assert_array_equal(again, disc)
    assert Mask.from_pixels(NOTHING).polygons() == []


def test_outlines_run_between_coarse_cells() -> None:
    """Bits alone put the outline on a border of cells: steps of several pixels."""
    numbers = np.tile(np.array([3.0, -1.0], np.float32), (2, 1))  # 0 at three quarters of the way
    mask = Mask.from_numbers(numbers, (0, 0, 80, 80), (0, 0, 80, 80), (80, 80))
    assert mask.decode()[:, :50].all()
    assert not mask.decode()[:, 50:].any()


@pytest.mark.parametrize(
    ("xyxy", "rows", "columns"),
    [
        ((10, 20, 30, 40), (20, 40), (10, 30)),
        ((10.2, 20.9, 29.1, 39.5), (21, 40), (11, 30)),
        ((-5, -5, 400, 3), (0, 3), (0, 100)),
        ((10, 20, 10, 40), (0, 0), (0, 0)),
        ((90, 70, 20, 60), (0, 0), (0, 0)),
    ],
)
def test_a_mask_ends_at_its_box(xyxy, rows, columns) -> None:
    """The first pixel at or behind the box's edge is in: what ultralytics cuts by."""
    mask = Mask(np.ones((3, 3), np.float16), (0, 0, 100, 80), xyxy, (80, 100))
    wanted = np.zeros((80, 100), np.bool_)
    wanted[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(mask.decode(), wanted)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_numbers_of_any_size_give_the_same_mask(scale: float) -> None:
    numbers = np.random.default_rng(0).normal(size=(12, 9)).astype(np.float32)
    where = (3.5, 4.25, 100.75, 90.5), (5, 6, 95, 88), (100, 120)
    one, other = (Mask.from_numbers(each, *where) for each in (numbers, numbers * scale))
    np.testing.assert_array_equal(one.decode(), other.decode())


def test_sixteen_bits_per_cell_are_as_good_as_the_numbers_themselves() -> None:
    numbers = np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32)
    where = (0.0, 0.0, 240.0, 320.0)
    kept = Mask.from_numbers(numbers, where, where, (320, 240)).decode()
    y, x = ((np.arange(end) + 0.5) / 8 - 0.5 for end in (320, 240))
    rows = np.array([np.interp(y, np.arange(40), column) for column in numbers.T]).T
    exact = np.array([np.interp(x, np.arange(30), row) for row in rows]) > 0
    assert (kept & exact).sum() / (kept | exact).sum() > 0.999


@pytest.mark.parametrize("numbers", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.zeros((0, 3))])
def test_numbers_that_say_nothing_give_an_empty_mask(numbers) -> None:
    mask = Mask.from_numbers(numbers, (0, 0, 8, 8), (0, 0, 8, 8), (8, 8))
    assert mask.area == 0
    assert mask.counts() == [64]


@pytest.mark.parametrize(
    ("levels", "box"),
    [
        (np.zeros((2, 2), np.float32), (0, 0, 1, 1)),
        (np.zeros(4, np.float16), (0, 0, 1, 1)),
        ([[1]], (0, 0, 1, 1)),
        (np.zeros((2, 2), np.float16), (0, 0, np.nan, 1)),
    ],
)
def test_what_is_no_mask_is_refused(levels, box) -> None:
    with pytest.raises(ValueError, match="Mask"):
        Mask(levels, box, box, (4, 4))


def test_three_hundred_masks_of_a_4k_frame_stay_small() -> None:
    random = np.random.default_rng(0)
    masks = []
    for left, top in random.random((300, 2)) * (3000, 1500):
        box = (left, top, left + 400, top + 600)  # 17 x 25 cells of an input of 640 x 640
        masks.append(Mask.from_numbers(random.normal(size=(27, 19)), box, box, (2160, 3840)))
    assert sum(mask.nbytes for mask in masks) < 400_000


def test_a_mask_of_a_part_moves_into_the_whole() -> None:
    pixels = SHAPES["two parts"]
    height, width = pixels.shape
    moved = Mask.from_pixels(pixels).moved(20, 30, (100, 120))
    wanted = np.zeros((100, 120), np.bool_)
    wanted[30 : 30 + height, 20 : 20 + width] = pixels
    np.testing.assert_array_equal(moved.decode(), wanted)


def three() -> Detections:
    masks = tuple(Mask.from_pixels(np.arange(12).reshape(3, 4) < count) for count in (1, 2, 3))
    return Detections(
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.array([0.3, 0.9, 0.5], np.float32),
        np.zeros(3, np.int32),
        masks,
        np.arange(3 * 2 * 3, dtype=np.float32).reshape(3, 2, 3),
    )


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        (np.array([True, False, True]), [0, 2]),
        (np.array([2, 0]), [2, 0]),
        (np.array([-1]), [2]),
        (np.array([], np.int64), []),
        (np.zeros(3, np.bool_), []),
    ],
)
def test_rows_keep_their_masks_and_keypoints(rows, wanted: list[int]) -> None:
    found = three()
    part = found[rows]
    assert part.masks is not None
    assert part.keypoints is not None
    assert [mask.area for mask in part.masks] == [row + 1 for row in wanted]
    assert part.keypoints[:, 0, 0].tolist() == [6 * row for row in wanted]
    assert rows_of(found.masks, rows) == part.masks


def test_the_best_box_keeps_its_mask_and_keypoints() -> None:
    best = three().best()
    assert best.masks is not None
    assert best.masks[0].area == 2
    assert best.keypoints.tolist() == three().keypoints[1:2].tolist()
    assert Detections.empty().masks is None
    assert Detections.empty().keypoints is None
    assert Detections.empty()[:0].masks is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("masks", ()),
        ("keypoints", np.zeros((2, 5, 3), np.float32)),
        ("keypoints", np.zeros((3, 5, 2), np.float32)),
        ("keypoints", np.zeros((3, 5, 3))),
        ("keypoints", np.zeros((3, 15), np.float32)),
        ("keypoints", [[[1, 2, 3]]]),
    ],
)
def test_masks_and_keypoints_that_do_not_fit_the_boxes_are_refused(field: str, value) -> None:
    found = three()
    with pytest.raises(ValueError, match=f"Detections.{field}"):
        Detections(found.xyxy, found.score, found.class_id, **{field: value})


def test_tracks_have_those_of_their_detections() -> None:
    found = three()
    rows = np.array([2, -1, 0, 7], np.int32)  # 7: a recorded track, whose detections are gone
    n = len(rows)
    tracks = Tracks(
        np.zeros((n, 4), np.float32),
        np.zeros(n, np.float32),
        np.zeros(n, np.int32),
        np.arange(1, n + 1),
        rows,
        np.zeros(n, np.float32),
    )
    masks = tracks.masks(found)
    assert masks is not None
    assert [mask and mask.area for mask in masks] == [3, None, 1, None]
    keypoints = tracks.keypoints(found)
    assert keypoints is not None
    assert keypoints.shape == (4, 2, 3)
    assert np.isnan(keypoints[:, 0, 0]).tolist() == [False, True, False, True]
    np.testing.assert_array_equal(keypoints[2], found.keypoints[0])
    plain = Detections(found.xyxy, found.score, found.class_id)
    assert tracks.masks(plain) is None
    assert tracks.keypoints(plain) is None
