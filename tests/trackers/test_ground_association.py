"""Association on the ground: places and their errors, the filter, and scenes that need them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from support.ground_views import SIZE, homography, view, write_homography
from support.scenery import scenery
from support.scenery import view as look
from support.walkers import PICTURE, boxes, feed

from pipeline.core.data import Frame
from pipeline.core.errors import UsageError
from pipeline.trackers import trackline
from pipeline.trackers._association import CandidatePairs
from pipeline.trackers._ground import GroundFilters, GroundPlane, Standing


def standing(places, spread=(0.04, 0.01, 0.09), wide=0.5):
    """Boxes that stand at these metres."""
    xy = np.array(places, float).T
    n = xy.shape[1]
    spreads = np.tile(np.array(spread)[:, None], n)
    return Standing(xy, spreads, np.full(n, wide), np.ones(n, bool))


def person(x: float, y: float, tall: float = 1.7, wide: float = 0.6):
    """The box of what stands there, as the camera of `ground_views` sees it."""
    foot = homography().pixel_of(np.array([[x, y]]))[0]
    per_metre = 1500 / np.hypot(y, 6)
    half, height = wide / 2 * per_metre, tall * per_metre
    return (foot[0] - half, foot[1] - height, foot[0] + half, foot[1])


def test_places_and_their_spread_are_those_of_the_foot_points():
    """The spread is what a foot point that trembles by 7 % of the box does on the ground."""
    xyxy = np.array([person(-3, 12), person(4, 25)])
    plane = GroundPlane(homography(), SIZE)
    found = plane.stand(xyxy.T)
    np.testing.assert_allclose(found.xy.T, [(-3, 12), (4, 25)], atol=1e-9)
    np.testing.assert_allclose(found.wide, 0.6, rtol=0.05)
    rng = np.random.default_rng(0)
    for k, box in enumerate(xyxy):
        size = box[2:] - box[:2]
        error = rng.normal(0, 0.07, (20000, 2)) * size
        foot = np.array([(box[0] + box[2]) / 2, box[3]]) + error
        trembling = homography().plane_of(foot)
        (xx, xy), (_, yy) = np.cov(trembling.T)
        np.testing.assert_allclose(found.spread[[0, 2], k], [xx, yy], rtol=0.1)
        assert abs(found.spread[1, k] - xy) < 0.1 * np.sqrt(xx * yy)


def test_pictures_of_another_size_show_the_same_ground():
    xyxy = np.array([person(-3, 12)]).T
    half = GroundPlane(homography(), (SIZE[0] // 2, SIZE[1] // 2)).stand(xyxy / 2)
    whole = GroundPlane(homography(), SIZE).stand(xyxy)
    np.testing.assert_allclose(half.xy, whole.xy, atol=1e-9)
    np.testing.assert_allclose(half.spread, whole.spread)


@pytest.mark.parametrize(
    ("box", "usable"),
    [
        ((900, 500, 960, 700), True),
        ((900, 900, 1000, 1080), False),  # feet below the picture's edge
        ((0, 500, 60, 700), False),  # half of it beyond the edge
        ((900, 10, 930, 60), False),  # above the horizon
        ((900, 30, 930, 120), False),  # so far away that a pixel is metres
    ],
)
def test_boxes_that_stand_nowhere(box, usable):
    plane = GroundPlane(homography(view(tilt=12.0)), SIZE)
    assert plane.stand(np.array([box], float).T).usable.tolist() == [usable]


def test_a_box_is_moved_along_the_ground():
    plane = GroundPlane(homography(), SIZE)
    there = plane.move(np.array([person(-3, 30)]).T, np.array([[2.0], [15.0]]))
    np.testing.assert_allclose(there.T, [person(2, 15)], rtol=0.02)
    behind = plane.move(np.array([person(-3, 30)]).T, np.array([[2.0], [-40.0]]))
    assert np.isnan(behind).all()


def test_the_filter_is_a_kalman_filter():
    """The same as with whole matrices: random acceleration, and places with their covariance."""
    filters, wide = GroundFilters(), 0.5
    filters.start(1, standing([(1, 2)], wide=wide))
    r = np.array([[0.04, 0.01], [0.01, 0.09]])
    state, p = np.array([1.0, 2, 0, 0]), np.zeros((4, 4))
    p[:2, :2], p[2:, 2:] = r, np.eye(2) * (4 * wide) ** 2
    look_at = np.eye(2, 4)
    for k, t in enumerate((0.1, 0.4, 0.04, 0.3)):
        filters.predict(t)
        move = np.eye(4) + t * np.eye(4, k=2)
        noise = 2 * wide * np.kron([[t**3 / 3, t**2 / 2], [t**2 / 2, t]], np.eye(2))
        state, p = move @ state, move @ p @ move.T + noise
        seen = (1 + 0.5 * k, 2 - 0.3 * k)
        filters.update(np.array([0]), standing([seen], wide=wide))
        gain = p @ look_at.T @ np.linalg.inv(look_at @ p @ look_at.T + r)
        state, p = state + gain @ (seen - state[:2]), (np.eye(4) - gain @ look_at) @ p
    upper = [p[0, 0], p[0, 1], p[1, 1], *p[:2, 2:].ravel(), p[2, 2], p[2, 3], p[3, 3]]
    np.testing.assert_allclose(filters.table[:14, 0], [*state, *upper], rtol=1e-9, atol=1e-9)


def test_a_pair_counts_more_the_nearer_it_is_on_the_ground():
    filters = GroundFilters()
    filters.start(2, standing([(0, 0), (3, 0)]))
    filters.append(np.zeros((16, 1)))  # one that was never seen on the ground
    box = np.array([[0.0, 0, 10, 10]]).T
    pairs = CandidatePairs(np.tile(box, 3), box)
    filters.weigh(pairs, standing([(0.2, 0)]))
    near, far, unknown = pairs.weight
    assert 0 < far < 0.2 * near < near < 1
    assert unknown == 1


def queue(metres: float, speed: float, at_s: float):
    """Two cars, one behind the other, that drive towards the camera, or away from it."""
    places = [(0, metres - speed * at_s), (0, metres + 7 - speed * at_s)]
    return [person(x, y, tall=1.5, wide=1.8) for x, y in places]


@pytest.mark.parametrize(("metres", "speed"), [(40.0, 12.0), (12.0, -12.0)])
@pytest.mark.parametrize("grounded", [False, True])
def test_cars_in_a_queue_keep_their_ids_behind_a_bridge(tmp_path, metres, speed, grounded):
    """Steady on the ground, they are faster and faster in the picture: after 0.7 s the picture's
    filter looks for the first car where the second one is, or loses both."""
    ground = write_homography(tmp_path / "street.yaml") if grounded else None
    tracker = trackline.build(trackline.Options(ground=ground, coast_s=0))
    for k in range(20):
        seen = [] if 10 <= k < 17 else queue(metres, speed, k / 10)
        tracks = feed(tracker, k / 10, boxes(*seen))
    ids = dict(zip(tracks.detection.tolist(), tracks.track_id.tolist(), strict=True))
    assert (ids == {0: 1, 1: 2}) == grounded


def test_a_camera_that_is_driven_away_is_matched_without_its_ground(tmp_path, caplog):
    """A homography of a camera in a car: said once, and the tracks are those without it."""
    land = scenery()
    ground = write_homography(tmp_path / "street.yaml")
    found = []
    with caplog.at_level(logging.WARNING, logger="trackline"):
        for options in (trackline.Options(), trackline.Options(ground=ground)):
            tracker = trackline.build(options)
            for k in range(12):
                frame = Frame(look(land, 400 + 20 * k, 400), "car", k, k / 10, 0.0)
                walking = [(100 + 9 * k - 20 * k, 200, 150 + 9 * k - 20 * k, 380)]
                tracks = tracker.update(frame, boxes(*walking, (500, 220, 540, 360)))
            found.append(tracks)
    np.testing.assert_array_equal(found[0].track_id, found[1].track_id)
    np.testing.assert_allclose(found[0].xyxy, found[1].xyxy)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["car"]


def test_each_source_has_its_own_ground(tmp_path):
    """Another source's pictures show another ground, or one that nobody measured."""
    ground = {"street": write_homography(tmp_path / "street.yaml")}
    kept = {}
    for source in ("street", "yard"):
        tracker = trackline.build(trackline.Options(ground=ground, coast_s=0))
        for k in range(20):
            seen = [] if 10 <= k < 17 else queue(40.0, 12.0, k / 10)
            tracks = tracker.update(Frame(PICTURE, source, k, k / 10, 0.0), boxes(*seen))
        ids = dict(zip(tracks.detection.tolist(), tracks.track_id.tolist(), strict=True))
        kept[source] = ids == {0: 1, 1: 2}
    assert kept == {"street": True, "yard": False}


def test_a_saved_tracker_goes_on_exactly(tmp_path):
    ground = write_homography(tmp_path / "street.yaml")
    options = trackline.Options(ground=ground)
    one, other = trackline.build(options), trackline.build(options)
    for k in range(8):
        feed(one, k / 10, boxes(*queue(40.0, 12.0, k / 10)))
    other.load_state(one.save_state())
    for k in range(8, 16):
        seen = boxes(*([] if k < 13 else queue(40.0, 12.0, k / 10)))
        first, second = feed(one, k / 10, seen), feed(other, k / 10, seen)
        np.testing.assert_array_equal(first.track_id, second.track_id)
        np.testing.assert_array_equal(first.xyxy, second.xyxy)
    with pytest.raises(UsageError, match="ground"):
        trackline.build(trackline.Options()).load_state(one.save_state())
