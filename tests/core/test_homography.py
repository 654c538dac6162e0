"""homography.yaml: pixels, metres, degrees, and files that are refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.homography import Homography, Origin, read_homography
from pipeline.core.yaml_file import dump

# A camera 5 m above the ground, looking ahead with the horizon at y = 300.
MATRIX = ((0.01, 0.0, -5.0), (0.0, 0.0, 10.0), (0.0, 0.002, -0.6))


@pytest.mark.parametrize("sign", [1, -1])
def test_pixels_to_metres_and_back(sign: int) -> None:
    rows = tuple(tuple(sign * n for n in row) for row in MATRIX)
    homography = Homography(matrix=rows, size=(1000, 800))
    pixels = np.array([[500.0, 800.0], [100.0, 500.0], [900.0, 301.0]])
    plane = homography.plane_of(pixels)
    np.testing.assert_allclose(plane[0], [0.0, 10.0])
    np.testing.assert_allclose(homography.pixel_of(plane), pixels)


@pytest.mark.parametrize("y", [300.0, 299.0, -50.0])
def test_at_and_above_the_horizon_there_is_no_place(y: float) -> None:
    homography = Homography(matrix=MATRIX, size=(1000, 800))
    assert np.isnan(homography.plane_of(np.array([[500.0, y]]))).all()


def test_a_place_behind_the_camera_is_in_no_picture() -> None:
    homography = Homography(matrix=MATRIX, size=(1000, 800))
    assert np.isnan(homography.pixel_of(np.array([[0.0, -20.0]]))).all()


@pytest.mark.parametrize(
    ("bearing", "north", "east"), [(0, 100, 0), (90, 0, 100), (180, -100, 0), (270, 0, -100)]
)
def test_the_y_axis_points_to_the_bearing(bearing: float, north: float, east: float) -> None:
    origin = Origin(lat=52.0, lon=13.0, bearing=bearing)
    lon, lat = origin.lon_lat_of(np.array([[0.0, 100.0]]))[0]
    # A minute of latitude at 52 degrees is 1854.6 m, one of longitude 1144.1 m (WGS84 tables).
    assert (lat - 52) * 60 * 1854.6 == pytest.approx(north, abs=0.05)
    assert (lon - 13) * 60 * 1144.1 == pytest.approx(east, abs=0.05)


def test_degrees_to_metres_and_back() -> None:
    origin = Origin(lat=-33.9, lon=151.2, bearing=37)
    plane = np.array([[3.0, 4.0], [-200.0, 150.0]])
    np.testing.assert_allclose(origin.plane_of(origin.lon_lat_of(plane)), plane, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix": [[1, 0, 0], [0, 1, 0]]}, "matrix"),
        ({"matrix": [[1, 0, 0], [0, 1, 0], [0, 1, 0]]}, "can be inverted"),
        ({"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, float("nan")]]}, "matrix"),
        ({"size": [0, 5]}, "size"),
        ({"origin": {"lat": 91, "lon": 0}}, "origin.lat"),
        ({"covariance": [[1.0]]}, "nine rows"),
        ({"homography": 1}, "unknown key 'homography'"),
        ({"points": [{"pixel": [0, 0], "ground": [0, 0], "error_m": 0, "error_px": 0},
                     {"pixel": [0, 799], "ground": [0, 0], "error_m": 0, "error_px": 0}]},
         "above the horizon"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "homography.yaml"
    tree = {"matrix": [list(row) for row in MATRIX], "size": [1000, 800]}
    path.write_text(dump({**tree, **change}))
    with pytest.raises(ConfigError) as error:
        read_homography(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
