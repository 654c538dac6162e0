"""The file homography.yaml: maps a camera's pixels to metres on the ground, and to the Earth.

`trackline calibrate` writes it; speeds, GeoJSON and reports read it.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from pipeline.core.errors import ConfigError
from pipeline.core.options import OptionsModel, validated
from pipeline.core.yaml_file import read_yaml

Floats = NDArray[np.float64]
Row = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Pair = tuple[FiniteFloat, FiniteFloat]
Size = tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]

# WGS84 ellipsoid: semi-major axis in metres and first eccentricity squared.
_AXIS_M = 6378137.0
_ECCENTRICITY2 = 6.69437999014e-3
# Pixel coordinates exceed 1, the third coordinate, by about this factor: a determinant depends on
# it.
_PIXELS = 1000.0
_MIN_DETERMINANT = 1e-12


class Origin(OptionsModel):
    """Place of the plane's (0, 0) on the Earth, and the direction of its y axis."""

    lat: float = Field(ge=-90, le=90)
    """Degrees north, WGS84."""
    lon: float = Field(ge=-180, le=180)
    """Degrees east, WGS84."""
    bearing: FiniteFloat = 0.0
    """Compass direction of the plane's y axis in degrees: 0 north, 90 east."""

    def lon_lat_of(self, plane: Floats) -> Floats:
        """Return f64[N,2] longitude and latitude in degrees of f64[N,2] metres on the plane.

        The plane touches the WGS84 ellipsoid at the origin and is good to centimetres within a
        kilometre: metres per degree follow from the radii of curvature there.
        """
        degrees: Floats = plane @ self._rotation() / self._metres_per_degree()
        degrees += (self.lon, self.lat)
        degrees[:, 0] = (degrees[:, 0] + 180) % 360 - 180
        return degrees

    def plane_of(self, lon_lat: Floats) -> Floats:
        """Return f64[N,2] metres on the plane of f64[N,2] longitude and latitude in degrees."""
        away = lon_lat - (self.lon, self.lat)
        away[:, 0] = (away[:, 0] + 180) % 360 - 180  # the short way across the date line
        east_north = away * self._metres_per_degree()
        plane: Floats = east_north @ self._rotation().T
        return plane

    def _rotation(self) -> Floats:
        """Return the matrix that turns a row (x, y) into (east, north)."""
        angle = math.radians(self.bearing)
        sine, cosine = math.sin(angle), math.cos(angle)
        return np.array(((cosine, -sine), (sine, cosine)))

    def _metres_per_degree(self) -> Floats:
        """Return metres per degree of longitude and of latitude."""
        lat = math.radians(self.lat)
        curve = 1 - _ECCENTRICITY2 * math.sin(lat) ** 2
        meridian = _AXIS_M * (1 - _ECCENTRICITY2) / curve**1.5
        parallel = _AXIS_M / math.sqrt(curve) * max(math.cos(lat), 1e-9)
        return np.array((math.radians(parallel), math.radians(meridian)))


class CalibrationPoint(OptionsModel):
    """One point the matrix was made from, and how well it fits."""

    pixel: Pair
    """Position in the picture, in pixels."""
    ground: Pair
    """Measured position on the plane, in metres."""
    error_m: float
    """Distance in metres on the ground between the measured position and the pixel's."""
    error_px: float
    """The same distance in pixels of the picture."""
    left_out_m: float | None = None
    """Distance with a matrix fitted without this point; none with four points."""


class CalibrationLength(OptionsModel):
    """A length on the ground the matrix was made from or checked with."""

    start: Pair
    """One end in the picture."""
    end: Pair
    """The other end."""
    metres: float = Field(gt=0)
    """Measured length."""
    error_m: float
    """Length by the matrix minus the measured one."""


def _invertible(rows: tuple[Row, Row, Row]) -> tuple[Row, Row, Row]:
    matrix = np.array(rows) * (_PIXELS, _PIXELS, 1.0)
    scale = float(np.prod(np.linalg.norm(matrix, axis=1)))
    if not abs(np.linalg.det(matrix)) > _MIN_DETERMINANT * scale:
        raise ValueError("want three rows of three numbers that can be inverted")
    return rows


def _covariance(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    if len(rows) != 9 or any(len(row) != 9 for row in rows):
        raise ValueError("want nine rows of nine numbers")
    return rows


class Homography(OptionsModel):
    """A ground plane seen by a camera.

    `matrix` maps (x, y, 1) in pixels to (X, Y, W); X/W is metres to the right of the plane's y
    axis, Y/W metres along it. Points where W has another sign than on the ground are above the
    horizon.
    """

    matrix: Annotated[tuple[Row, Row, Row], AfterValidator(_invertible)]
    """Three rows of three numbers, from pixels to metres."""
    size: Size | None = None
    """Width and height of the picture the matrix is for; boxes of other sizes are scaled to it."""
    origin: Origin | None = None
    """Place of the plane on the Earth; without it positions are metres on the plane."""
    points: tuple[CalibrationPoint, ...] = ()
    """What the matrix was made from."""
    lengths: tuple[CalibrationLength, ...] = ()
    """Lengths it was made from, or checked with."""
    covariance: (
        Annotated[tuple[tuple[FiniteFloat, ...], ...], AfterValidator(_covariance)] | None
    ) = None
    """9x9 covariance of the matrix's numbers, row by row; without it the matrix is taken as
    exact."""

    @model_validator(mode="after")
    def _check_points(self) -> Homography:
        """Check that the calibration points are on the ground."""
        if not np.isfinite(self.plane_of(np.array([p.pixel for p in self.points]))).all():
            raise ValueError("points: one of them is above the horizon of the matrix")
        return self

    @cached_property
    def h(self) -> Floats:
        """The matrix, with the sign that makes W positive on the ground.

        The first calibration point is on the ground; without points, the bottom middle of the
        picture is assumed to be.
        """
        matrix = np.array(self.matrix)
        if self.points:
            ground = np.array((*self.points[0].pixel, 1.0))
        elif self.size:
            ground = np.array((self.size[0] / 2, self.size[1], 1.0))
        else:
            ground = np.array((0.0, 1e6, 1.0))
        return matrix * (1.0 if ground @ matrix[2] >= 0 else -1.0)

    def plane_of(self, xy: Floats) -> Floats:
        """Return f64[N,2] metres of f64[N,2] pixels; NaN for points at or above the horizon."""
        if not len(xy):
            return np.empty((0, 2))
        points = np.column_stack([xy, np.ones(len(xy))]) @ self.h.T
        seen = points[:, 2] > 1e-12 * np.abs(self.h[2]).max()
        plane = np.full((len(xy), 2), np.nan)
        plane[seen] = points[seen, :2] / points[seen, 2:]
        return plane

    def pixel_of(self, plane: Floats) -> Floats:
        """Return f64[N,2] pixels of f64[N,2] metres; NaN for places behind the camera."""
        if not len(plane):
            return np.empty((0, 2))
        inverse = np.linalg.inv(self.h)
        points = np.column_stack([plane, np.ones(len(plane))]) @ inverse.T
        seen = points[:, 2] > 1e-12 * np.abs(inverse[2]).max()
        pixels = np.full((len(plane), 2), np.nan)
        pixels[seen] = points[seen, :2] / points[seen, 2:]
        return pixels

    def lon_lat_of(self, plane: Floats) -> Floats:
        """Return f64[N,2] longitude and latitude in degrees of f64[N,2] metres.

        Raises ValueError.
        """
        if self.origin is None:
            raise ValueError("Homography.lon_lat_of: has no origin")
        return self.origin.lon_lat_of(plane)


def read_homography(path: Path) -> Homography:
    """Read a homography.yaml; raises ConfigError naming file and key."""
    tree = read_yaml(path)
    try:
        return validated(Homography, tree, "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
