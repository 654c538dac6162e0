"""How the camera moved: from pictures, from boxes, and what a tracker does with it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.scenery import scenery, view
from support.walkers import boxes

from pipeline.core.data import Frame
from pipeline.trackers import bytetrack, ocsort, sort, trackline
from pipeline.trackers._camera_motion import CameraMotion, Similarity, shared_motion
from pipeline.trackers._kalman import AreaRatioFilters, AspectHeightFilters, WidthHeightFilters

NOBODY = np.empty((4, 0))


@pytest.mark.parametrize(
    ("x", "y", "zoom", "turn"),
    [
        (700, 450, 1.03, 0),
        (712, 450, 1, 0),
        (690, 465, 1, 0),
        (700, 450, 1, 1.5),
        (705, 455, 1.02, -1),
    ],
)
def test_a_known_motion_is_found(x, y, zoom, turn):
    """To half a pixel everywhere in the picture."""
    land, camera = scenery(), CameraMotion()
    assert camera.estimate(view(land, 700, 450), NOBODY) is None
    motion = camera.estimate(view(land, x, y, zoom, turn), NOBODY)
    points = np.array([[20.0, 320, 600], [30.0, 240, 460]])
    matrix = cv2.getRotationMatrix2D((x, y), turn, zoom)
    corner, other = np.array([[380], [210]]), np.array([[x - 320], [y - 240]])
    where = matrix[:, :2] @ (points + corner) + matrix[:, 2:] - other
    np.testing.assert_allclose(motion.points(points), where, atol=0.5)
    assert motion.scale == pytest.approx(zoom, abs=2e-3)


def test_the_motion_does_not_depend_on_opencvs_random_numbers():
    """And leaves them alone: each frame reset those of the program that called."""
    land = scenery()
    found = []
    for seed in (1, 2):
        camera = CameraMotion()
        camera.estimate(view(land, 700, 450), NOBODY)
        cv2.setRNGSeed(seed)
        motion = camera.estimate(view(land, 705, 455, 1.02, -1), NOBODY)
        found.append(motion.points(np.array([[20.0, 600], [30.0, 460]])).tolist())
        drawn = cv2.randu(np.zeros(2), 0, 1).tolist()
        cv2.setRNGSeed(seed)
        assert drawn == cv2.randu(np.zeros(2), 0, 1).tolist()
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_fixed_camera_with_noise_and_walkers_does_not_move():
    land, rng = view(scenery(), 700, 450), np.random.default_rng(0)
    camera = CameraMotion()
    for k in range(20):
        picture = np.clip(land + rng.normal(0, 1, land.shape), 0, 255).astype(np.uint8)
        picture[100:250, 20 * k : 20 * k + 50] = 255 - picture[100:250, 20 * k : 20 * k + 50]
        assert camera.estimate(picture, NOBODY) is None


@pytest.mark.slow
def test_a_slow_pan_is_noticed_in_the_end():
    """A tenth of a pixel per frame is below any frame's noise: the sum must come out."""
    land, camera = scenery(), CameraMotion()
    moved = np.zeros(2)
    for k in range(100):
        motion = camera.estimate(view(land, 700 + 0.1 * k, 450), NOBODY)
        moved += motion.shift if motion else 0
    assert moved[0] == pytest.approx(-9.9, abs=1.5)
    assert abs(moved[1]) < 0.5


@pytest.mark.parametrize("size", [(1, 1), (8, 2000), (480, 640)])
def test_blank_pictures_show_no_motion(size):
    camera = CameraMotion()
    for grey in (0, 0, 255, 128):
        assert camera.estimate(np.full((*size, 3), grey, np.uint8), NOBODY) is None


def test_a_new_picture_size_or_scene_is_no_motion():
    """A camera that comes back with another resolution, and a cut in a film."""
    camera = CameraMotion()
    assert camera.estimate(view(scenery(), 700, 450), NOBODY) is None
    assert camera.estimate(view(scenery(), 710, 450)[:300, :400].copy(), NOBODY) is None
    assert camera.estimate(view(scenery(7), 710, 450)[:300, :400].copy(), NOBODY) is None


def test_objects_do_not_count_as_scenery():
    """A bus that fills most of the picture and drives on: the street beside it stands still."""
    land, bus = view(scenery(), 700, 450), scenery(3)
    frames = []
    for k in (0, 12):
        picture = land.copy()
        picture[60:440, 60 + k : 560 + k] = bus[:380, :500]
        frames.append(picture)
    box = np.array([[60.0, 60, 572, 440]]).T
    blind, told = CameraMotion(), CameraMotion()
    blind.estimate(frames[0], NOBODY)
    told.estimate(frames[0], box)
    motion = told.estimate(frames[1], box)
    assert blind.estimate(frames[1], NOBODY).shift[0] == pytest.approx(12, abs=1)
    assert motion is None or abs(motion.shift[0]) < 0.5


@pytest.mark.parametrize("kind", [AreaRatioFilters, AspectHeightFilters, WidthHeightFilters])
def test_filters_go_along(kind):
    """Every kind of filter ends where a camera that turned, zoomed and panned puts its box."""
    filters, half_turn = kind(), np.array([[-1.0, 0], [0, -1.0]])
    filters.start(np.array([[100.0, 100, 140, 200], [300, 50, 400, 90]]).T)
    filters.velocity[:2] = [[3.0, 0.0], [0.0, -2.0]]
    filters.warp(Similarity(half_turn * 1.5, np.array([900.0, 600.0]), 1.5))
    want = np.array([[690.0, 300, 750, 450], [300, 465, 450, 525]]).T
    np.testing.assert_allclose(filters.xyxy(), want)
    np.testing.assert_allclose(filters.velocity[:2], [[-4.5, 0.0], [0.0, 3.0]])


@pytest.mark.parametrize("kind", [sort, bytetrack, ocsort, trackline])
def test_a_camera_that_jerks_keeps_its_tracks(kind):
    """A small box and a jerk of more than its size: lost without a look at the picture."""
    land, kept = scenery(), {}
    for camera_motion in ("auto", "off"):
        options = kind.Options(camera_motion=camera_motion, coast_s=0)
        tracker = kind.build(options)
        for k in range(12):
            jerk = 40 if k >= 8 else 0
            picture = view(land, 700 + jerk, 450)
            frame = Frame(picture, "test", k, k / 30, 0.0)
            tracks = tracker.update(frame, boxes((300 - jerk, 200, 325 - jerk, 240), score=0.95))
        kept[camera_motion] = tracks.track_id.tolist()
        assert bool(tracker.stage_ms) == (camera_motion == "auto")
    assert kept == {"auto": [1], "off": [2]}


def people(n: int = 8):
    left = np.linspace(50, 900, n)
    return np.stack((left, np.full(n, 100.0), left + 40, np.full(n, 220.0)))


def test_what_all_boxes_miss_by_is_the_camera():
    """Two of eight walk their own way; the shift of the others counts."""
    there = people() + np.array([[25.0], [-8], [25], [-8]])
    there[::2, :2] += 30
    motion = shared_motion(people(), there)
    np.testing.assert_allclose(motion.shift, [25, -8], atol=0.1)
    assert motion.scale == 1


def test_few_boxes_or_no_agreement_are_no_camera():
    rng = np.random.default_rng(0)
    assert shared_motion(people(3), people(3) + 10) is None
    assert shared_motion(people(), NOBODY) is None
    noise = np.tile(rng.normal(0, 8, (2, 8)), (2, 1))
    noise -= np.median(noise, 1)[:, None]
    assert shared_motion(people(), people() + noise) is None
