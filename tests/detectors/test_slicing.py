"""Sliced inference: where tiles lie, and how the boxes of all of them become one set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.boxes import iou_of_xyxy
from pipeline.core.data import Detections
from pipeline.detectors.common.slicing import FusionRules, fuse, tiles_xyxy

CAR, TRUCK = 2, 7


@pytest.mark.parametrize(
    ("size", "side", "overlap", "count"),
    [
        ((540, 960), 640, 0.2, 2),
        ((540, 960), 320, 0.2, 2 * 4),
        ((1080, 1920), 640, 0.2, 2 * 4),
        ((2160, 3840), 640, 0.2, 4 * 8),
        ((2160, 3840), 640, 0.0, 4 * 6),
        ((1080, 1920), 640, 0.9, 8 * 21),
        ((641, 640), 640, 0.2, 2),
        ((64, 1000), 100, 0.5, 19),
        ((300, 301), 300, 0.0, 2),
    ],
)
def test_tiles_cover_every_pixel_and_are_of_one_size(
    size: tuple[int, int], side: int, overlap: float, count: int
) -> None:
    whole, *tiles = tiles_xyxy(size, side, overlap).tolist()
    height, width = size
    assert whole == [0, 0, width, height]
    assert len(tiles) == count == len({tuple(tile) for tile in tiles})
    seen = np.zeros(size, np.int32)
    for left, top, right, bottom in tiles:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert (right - left, bottom - top) == (min(side, width), min(side, height))
        seen[top:bottom, left:right] += 1
    assert seen.min() == 1
    for axis, length in ((0, width), (1, height)):
        starts = sorted({tile[axis] for tile in tiles})
        assert starts[-1] == max(length - side, 0)
        shared = side - np.diff(starts)
        assert not len(shared) or shared.min() >= round(side * overlap) - 1


@pytest.mark.parametrize("size", [(640, 640), (1, 1), (480, 640), (640, 3)])
def test_a_picture_no_larger_than_a_tile_is_not_cut(size: tuple[int, int]) -> None:
    assert tiles_xyxy(size, 640, 0.2).tolist() == [[0, 0, size[1], size[0]]]


# A picture 160 x 100 cut into tiles of 100: 0 to 100 and 60 to 160 share the columns 60 to 100.
TILES = tiles_xyxy((100, 160), 100, 0.4)
WHOLE, LEFT, RIGHT = range(3)
Row = tuple[int, tuple[float, float, float, float], float, int]


def fused(rows: list[Row], rules: FusionRules = FusionRules()) -> list[tuple[list[int], float]]:  # noqa: B008
    """The boxes and scores of `rows`, each (tile, xyxy in the picture, score, class), fused."""
    found = []
    for tile, offset in enumerate(TILES.tolist()):
        mine = [row for row in rows if row[0] == tile]
        xyxy = np.array([row[1] for row in mine], np.float32).reshape(-1, 4)
        left, top = offset[:2]
        found.append(
            Detections(
                xyxy - np.array([left, top, left, top], np.float32),
                np.array([row[2] for row in mine], np.float32),
                np.array([row[3] for row in mine], np.int32),
            )
        )
    one = fuse(found, TILES, rules)
    assert (np.diff(one.score) <= 0).all()
    pairs = zip(one.xyxy.tolist(), one.score.tolist(), strict=True)
    return [(box, round(score, 2)) for box, score in pairs]


def test_the_tiles_are_those_of_the_table() -> None:
    assert TILES.tolist() == [[0, 0, 160, 100], [0, 0, 100, 100], [60, 0, 160, 100]]


@pytest.mark.parametrize(
    ("rows", "want"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [(LEFT, (70, 10, 90, 30), 0.6, CAR), (RIGHT, (71, 10, 91, 30), 0.7, CAR)],
            [((71, 10, 91, 30), 0.7)],
            id="whole in both tiles: the better one",
        ),
        pytest.param(
            [(LEFT, (80, 10, 100, 30), 0.9, CAR), (RIGHT, (80, 10, 120, 30), 0.5, CAR)],
            [((80, 10, 120, 30), 0.5)],
            id="cut yields to whole, whatever its score",
        ),
        pytest.param(
            [(LEFT, (80, 10, 99.5, 30), 0.9, TRUCK), (RIGHT, (80, 10, 120, 30), 0.5, CAR)],
            [((80, 10, 120, 30), 0.5)],
            id="cut yields to whole of another class in the same place",
        ),
        pytest.param(
            [(LEFT, (20, 10, 100, 60), 0.6, CAR), (RIGHT, (60, 11, 140, 60), 0.8, CAR)],
            [((20, 10, 140, 60), 0.8)],
            id="two parts become one",
        ),
        pytest.param(
            [
                (LEFT, (20, 10, 100, 60), 0.6, CAR),
                (RIGHT, (60, 11, 140, 60), 0.8, CAR),
                (WHOLE, (20, 10, 141, 61), 0.4, CAR),
            ],
            [((20, 10, 141, 61), 0.4)],
            id="two parts yield to the whole picture's",
        ),
        pytest.param(
            [(LEFT, (20, 10, 100, 60), 0.6, CAR), (RIGHT, (60, 62, 140, 99), 0.8, CAR)],
            [((60, 62, 140, 99), 0.8), ((20, 10, 100, 60), 0.6)],
            id="parts of two objects stay two",
        ),
        pytest.param(
            [(WHOLE, (20, 10, 140, 90), 0.9, TRUCK), (LEFT, (30, 40, 55, 60), 0.6, TRUCK)],
            [((20, 10, 140, 90), 0.9), ((30, 40, 55, 60), 0.6)],
            id="one in front of a larger one stays",
        ),
        pytest.param(
            [(WHOLE, (20, 10, 140, 90), 0.5, TRUCK), (LEFT, (70, 40, 100, 60), 0.9, TRUCK)],
            [((20, 10, 140, 90), 0.5)],
            id="a piece of a large one yields",
        ),
        pytest.param(
            [(WHOLE, (20, 10, 140, 90), 0.5, TRUCK), (LEFT, (70, 40, 100, 60), 0.9, CAR)],
            [((70, 40, 100, 60), 0.9), ((20, 10, 140, 90), 0.5)],
            id="unless it is of another class",
        ),
        pytest.param(
            [(WHOLE, (70, 10, 82, 20), 0.9, CAR), (LEFT, (72, 12, 78, 18), 0.3, CAR)],
            [((72, 12, 78, 18), 0.3)],
            id="a rough guess at a small one yields to a closer look",
        ),
        pytest.param(
            [
                (WHOLE, (70, 10, 82, 20), 0.9, CAR),
                (LEFT, (72, 12, 78, 18), 0.3, CAR),
                (LEFT, (70, 10, 81, 20), 0.4, CAR),
            ],
            [((70, 10, 82, 20), 0.9), ((72, 12, 78, 18), 0.3)],
            id="unless a tile has a box for it",
        ),
        pytest.param(
            [(LEFT, (10, 10, 30, 30), 0.6, CAR), (LEFT, (12, 10, 32, 30), 0.7, CAR)],
            [((12, 10, 32, 30), 0.7), ((10, 10, 30, 30), 0.6)],
            id="one tile's are the network's to suppress",
        ),
        pytest.param(
            [(LEFT, (70, 10, 90, 30), 0.6, CAR), (RIGHT, (70, 10, 90, 30), 0.7, TRUCK)],
            [((70, 10, 90, 30), 0.7)],
            id="two tiles, two names",
        ),
        pytest.param(
            [(LEFT, (70, 10, 90, 30), 0.6, CAR), (RIGHT, (70, 14, 90, 34), 0.7, TRUCK)],
            [((70, 14, 90, 34), 0.7), ((70, 10, 90, 30), 0.6)],
            id="two classes a little apart stay",
        ),
        pytest.param(
            [(LEFT, (0, 10, 20, 30), 0.6, CAR), (WHOLE, (0, 10, 20, 31), 0.5, CAR)],
            [((0, 10, 20, 30), 0.6)],
            id="the picture's own edge cuts nothing off",
        ),
    ],
)
def test_fusion(rows: list[Row], want: list[tuple[tuple[float, ...], float]]) -> None:
    assert fused(rows) == [(list(box), score) for box, score in want]
    assert fused(rows[::-1]) == fused(rows)


def test_without_classes_all_are_compared_alike() -> None:
    rows = [(LEFT, (70.0, 10.0, 90.0, 30.0), 0.6, CAR), (RIGHT, (70.0, 14.0, 90.0, 34.0), 0.7, 7)]
    assert len(fused(rows)) == 2
    assert fused(rows, FusionRules(by_class=False)) == [([70, 14, 90, 34], 0.7)]


def test_best_are_kept_and_broken_boxes_stand_at_the_end() -> None:
    rows: list[Row] = [(LEFT, (9.0 * n, 0, 9.0 * n + 8, 20), 0.3 + n / 100, CAR) for n in range(6)]
    broken: Row = (RIGHT, (np.nan, 0, 5, 5), 0.1, CAR)
    assert len(fused([*rows, broken])) == 7
    assert np.isnan(fused_boxes := np.array([box for box, _ in fused([broken, *rows])]))[-1].any()
    assert np.isfinite(fused_boxes[:-1]).all()
    best = [score for _, score in fused([*rows, broken], FusionRules(max_det=3))]
    assert best == [0.35, 0.34, 0.33]


def blobs_in(boxes: np.ndarray, tile: list[int]) -> Detections:
    """What a perfect detector sees of `boxes` in one tile, in pixels of the tile."""
    left, top, right, bottom = tile
    seen = boxes.clip([left, top, left, top], [right, bottom, right, bottom])
    seen = seen[((seen[:, 2:] - seen[:, :2]) >= 3).all(axis=1)]  # no network sees less
    n = len(seen)
    moved = (seen - np.array([left, top, left, top])).astype(np.float32)
    return Detections(moved, np.full(n, 0.5, np.float32), np.zeros(n, np.int32))


@pytest.mark.slow
@given(
    st.integers(0, 10_000),
    st.sampled_from([(200, 300), (100, 420), (333, 257)]),
    st.sampled_from([64, 100, 128]),
    st.sampled_from([0.0, 0.1, 0.2, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_every_object_comes_out_once_and_whole_wherever_the_seams_are(
    seed: int, size: tuple[int, int], side: int, overlap: float
) -> None:
    """Though the whole picture shows none of them, and none fits into the overlap."""
    random = np.random.default_rng(seed)
    height, width = size
    objects = np.empty((0, 4))
    for _ in range(30):
        w, h = random.integers(8, 90, 2)
        left, top = random.integers(0, max(width - w, 1)), random.integers(0, max(height - h, 1))
        box = np.array([[left, top, min(left + w, width), min(top + h, height)]], np.float64)
        if not iou_of_xyxy(box + np.array([-4.0, -4.0, 4.0, 4.0]), objects).any():
            objects = np.concatenate((objects, box))
    tiles = tiles_xyxy(size, side, overlap)
    found = [Detections.empty(), *(blobs_in(objects, tile) for tile in tiles[1:].tolist())]
    fused = fuse(found, tiles, FusionRules())
    overlaps = iou_of_xyxy(fused.xyxy.astype(np.float64), objects)
    assert len(fused) == len(objects)
    assert overlaps.max(axis=0).min() > 0.6
