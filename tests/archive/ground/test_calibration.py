"""Calibration of the ground: right within its own stated errors, wrong points in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.ground_views import SIZE, homography, view

from pipeline.archive.ground.calibration import Errors, calibrate_points, leave_one_out
from pipeline.archive.ground.camera_model import calibrate_lengths
from pipeline.archive.ground.grid_picture import draw_grid
from pipeline.archive.ground.points_file import calibrated, measured_of_options
from pipeline.archive.ground.propagation import (
    matrix_jacobian,
    pixel_jacobian,
    propagated,
    velocity_jacobian,
)
from pipeline.core.errors import UsageError
from pipeline.core.homography import Homography, Origin

GROUND = np.array([[-4.0, 12.0], [4.0, 12.0], [4.0, 30.0], [-4.0, 30.0], [0.0, 20.0], [6.0, 40.0]])
PIXELS = homography().pixel_of(GROUND)
PROBE = np.array([[960.0, 800.0], [1200.0, 600.0]])
SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4)]


def plain(matrix: Any) -> Homography:
    return Homography(matrix=matrix.tolist(), size=SIZE)


@pytest.mark.parametrize("count", [4, 5, 6])
def test_exact_points_give_the_exact_matrix(count: int) -> None:
    found = calibrate_points(PIXELS[:count], GROUND[:count], Errors())
    expected = homography().plane_of(PROBE)
    np.testing.assert_allclose(plain(found.matrix).plane_of(PROBE), expected, atol=1e-6)


@pytest.mark.parametrize("count", [4, 6])
@pytest.mark.slow
def test_positions_are_within_the_stated_covariance(count: int) -> None:
    """Mean squared Mahalanobis distance of two coordinates is 2 if the covariance is true."""
    rng = np.random.default_rng(count)
    truth = homography().plane_of(PROBE)
    distances = []
    for _ in range(150):
        pixels = PIXELS[:count] + rng.normal(0, 2, (count, 2))
        ground = GROUND[:count] + rng.normal(0, 0.1, (count, 2))
        found = calibrate_points(pixels, ground, Errors(2, 0.1))
        covariance = propagated(matrix_jacobian(found.matrix, PROBE), found.covariance)
        away = plain(found.matrix).plane_of(PROBE) - truth
        distances.append(np.einsum("ni,nij,nj->n", away, np.linalg.inv(covariance), away))
    assert 1.5 < np.mean(distances) < 2.5


def test_one_wrong_point_stands_out_when_left_out() -> None:
    ground = GROUND.copy()
    ground[4] += (0.0, 3.0)
    found = calibrate_points(PIXELS, ground, Errors())
    assert found.misfit > 4
    left_out = leave_one_out(PIXELS, ground, Errors())
    assert left_out[4] == pytest.approx(3.0, abs=0.1)


def test_jacobians_are_the_derivatives() -> None:
    h = view()
    rate = np.array([[3.0, -2.0], [-5.0, 1.0]])  # pixels a second

    def velocity(matrix: Any) -> Any:
        return (pixel_jacobian(matrix, PROBE) @ rate[:, :, None])[:, :, 0]

    found = velocity_jacobian(h, PROBE, velocity(h))
    for number in range(9):
        step = np.zeros(9)
        step[number] = 1e-6 * abs(h.ravel()[number]) + 1e-12
        high, low = (velocity(h + sign * step.reshape(3, 3)) for sign in (1, -1))
        slope = (high - low) / (2 * step[number])
        np.testing.assert_allclose(found[:, :, number], slope, rtol=2e-3, atol=1e-3)


@pytest.mark.slow
def test_lengths_alone_find_the_ground() -> None:
    pairs = [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (1, 5)]
    ends = np.array([(*PIXELS[a], *PIXELS[b]) for a, b in pairs])
    metres = np.array([np.linalg.norm(GROUND[a] - GROUND[b]) for a, b in pairs])
    found = calibrate_lengths(ends, metres, SIZE, Errors())
    one, other = plain(found.matrix).plane_of(PROBE)
    true_one, true_other = homography().plane_of(PROBE)
    assert np.linalg.norm(one - other) == pytest.approx(
        np.linalg.norm(true_one - true_other), rel=0.02
    )


@pytest.mark.parametrize(
    ("pixels", "ground", "message"),
    [
        (PIXELS[:3], GROUND[:3], "want 4 or more, got 3"),
        (PIXELS[[0, 1, 2, 2]], GROUND[:4], "3 and 4 are at the same place in the picture"),
        (PIXELS[:4], GROUND[[0, 1, 2, 2]], "3 and 4 are at the same place on the ground"),
        ([(0, 0), (100, 0), (200, 0), (50, 90)], SQUARE, "1, 2 and 3 are on one line in the pic"),
        (PIXELS[:4], [(0, 0), (5, 5), (9, 9.01), (0, 9)], "on one line on the ground"),
        ([(0, 0), (99, 1), (200, 0), (300, 1), (50, 90)], [*SQUARE, (9, 9)], "all but one"),
        (PIXELS[[1, 0, 2, 3]], GROUND[:4], "above the horizon"),
        (PIXELS[:5], GROUND[:5, ::-1], "mirrored"),
        (PIXELS[:5], GROUND[:5] * (-1, 1), "mirrored"),
    ],
)  # fmt: skip
def test_points_that_give_no_ground_are_refused(pixels: Any, ground: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        calibrate_points(np.array(pixels, float), np.array(ground, float), Errors())
    assert "\n" not in str(error.value)


def ends_of(*pairs: tuple[int, int]) -> Any:
    return np.array([(*PIXELS[a], *PIXELS[b]) for a, b in pairs])


@pytest.mark.parametrize(
    ("ends", "metres", "message"),
    [
        (ends_of((0, 1), (1, 2)), [8, 18], "want 3 or more"),
        (ends_of((0, 1), (0, 1), (0, 1)), [8, 8, 8], "leave the ground open"),
        (ends_of((0, 1), (1, 2), (2, 3), (3, 0)), [8, 18, 8, 90], "no level ground fits"),
        (ends_of((0, 0), (1, 2), (2, 3)), [8, 18, 8], "same pixel"),
    ],
)
@pytest.mark.slow
def test_lengths_that_give_no_ground_are_refused(ends: Any, metres: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        calibrate_lengths(ends, np.array(metres, float), SIZE, Errors())


POINT = {"pixel": [10, 10], "ground": [0, 0]}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "want --points FILE"),
        ({"points": [{"pixel": [10, 10]}]}, "either 'ground' or both"),
        ({"points": [{"pixel": [10, 10], "lat": 3}]}, "either 'ground' or both"),
        ({"points": [POINT, {"pixel": [10, 10], "lat": 3, "lon": 4}]}, "metres or in degrees"),
        ({"points": [{**POINT, "lat": 99, "lon": 0}]}, "lat"),
        ({"points": [{**POINT, "pixel": [5000, 10]}]}, "outside the picture of 1920x1080"),
        ({"points": [{**POINT, "pixel": [float("inf"), 1]}]}, "pixel"),
        ({"lengths": [{"start": [0, 0], "end": [1, 1], "metres": 0}]}, "metres"),
        ({"point": []}, "unknown key 'point'"),
        ({"rectangle": {"corners": [[0, 0]], "width": 1, "length": 1}}, "corners"),
    ],
)
def test_what_was_measured_wrong_is_refused(tree: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        calibrated(tree, SIZE, Errors(), "points.yaml:")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": ["1,2=3"]}, "--point: want x,y=X,Y"),
        ({"points": ["a,2=3,4"]}, "--point: want"),
        ({"lengths": ["1,2,3=4m"]}, "--length: want"),
        ({"rectangle": "1,2 3,4=5"}, "--rectangle: want"),
    ],
)
def test_options_that_cannot_be_read(options: Any, message: str) -> None:
    given = {"points": [], "lengths": [], "rectangle": None, **options}
    with pytest.raises(UsageError, match=message):
        measured_of_options(**given, degrees=False)


def test_a_rectangle_is_four_points_and_lengths_check_it() -> None:
    corners = ";".join(f"{x:.3f},{y:.3f}" for x, y in PIXELS[:4])
    ends = ",".join(f"{n:.3f}" for n in (*PIXELS[0], *PIXELS[2]))
    tree = measured_of_options([], [f"{ends}=19.7m"], f"{corners}=8x18m", degrees=False)
    found, _ = calibrated(tree, SIZE, Errors(), "calibrate")
    assert found.lengths[0].error_m == pytest.approx(0.0, abs=0.01)
    assert np.ptp(found.plane_of(PIXELS[:4]), axis=0) == pytest.approx((8, 18), abs=0.01)


def test_points_in_degrees_have_an_origin_and_north_is_up() -> None:
    degrees = Origin(lat=52.5, lon=13.4).lon_lat_of(GROUND)
    points = [f"{x},{y}={lat},{lon}" for (x, y), (lon, lat) in zip(PIXELS, degrees, strict=True)]
    tree = measured_of_options(points, [], None, degrees=True)
    found, _ = calibrated(tree, SIZE, Errors(), "calibrate")
    np.testing.assert_allclose(found.lon_lat_of(found.plane_of(PIXELS)), degrees, atol=1e-8)


def test_the_grid_is_drawn_where_the_ground_is() -> None:
    tree = {"points": [{"pixel": p, "ground": g} for p, g in
                       zip(PIXELS.tolist(), GROUND.tolist(), strict=True)]}  # fmt: skip
    found, _ = calibrated(tree, SIZE, Errors(), "points.yaml:")
    black = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    drawn = draw_grid(black, found)
    assert not black.any()
    on, between = (
        [drawn[round(y), round(x)].max() for x, y in found.pixel_of(np.array(places))]
        for places in ([(1.3, 15.0), (5.0, 22.4)], [(1.5, 13.5), (-2.5, 17.5)])
    )
    assert min(on) > 100
    assert max(between) < 30
    assert not drawn[:60].any()  # the sky


@pytest.mark.parametrize("lon", [179.9999, -179.9999, 13.0])
def test_the_plane_goes_on_over_the_date_line(lon: float) -> None:
    """Degrees went on beyond 180, and places on the other side were 40,000 km away."""
    origin = Origin(lat=-17, lon=lon)
    plane = np.array([[100.0, 5.0], [-100.0, 5.0]])
    degrees = origin.lon_lat_of(plane)
    assert (np.abs(degrees[:, 0]) <= 180).all()
    assert origin.plane_of(degrees) == pytest.approx(plane, abs=1e-4)
