"""Measurements for a calibration: a file points.yaml, or the same as command-line options.

points:
  - {pixel: [812, 640], ground: [0, 0]}                # metres: to the right, ahead
  - {pixel: [1310, 655], lat: 52.516272, lon: 13.3777} # or degrees, for all points
lengths:
  - {start: [400, 900], end: [1500, 910], metres: 10.5}
rectangle: {corners: [[400, 900], [1500, 910], [1100, 500], [700, 495]], width: 3.5, length: 12}
origin: {lat: 52.516, lon: 13.377, bearing: 30}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from pipeline.archive.ground.calibration import (
    MIN_POINTS,
    Calibration,
    Errors,
    calibrate_points,
    leave_one_out,
)
from pipeline.archive.ground.camera_model import calibrate_lengths, lengths_by
from pipeline.core.errors import UsageError
from pipeline.core.homography import CalibrationLength, CalibrationPoint, Homography, Origin, Pair
from pipeline.core.options import OptionsModel, validated

Floats = NDArray[np.float64]

_NUMBER = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
_POINT = re.compile(rf"{_NUMBER},{_NUMBER}={_NUMBER},{_NUMBER}")
_LENGTH = re.compile(rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}={_NUMBER}m?\s*")
_CORNER = rf"{_NUMBER},{_NUMBER}"
_RECTANGLE = re.compile(rf"{_CORNER};{_CORNER};{_CORNER};{_CORNER}={_NUMBER}[x×]{_NUMBER}m?\s*")
_SIGNIFICANT = 10


class MeasuredPoint(OptionsModel):
    """One place in the picture and on the ground, in metres or in degrees."""

    pixel: Pair
    """x and y in the picture."""
    ground: Pair | None = None
    """Metres to the right and ahead, from any place you like."""
    lat: float | None = Field(None, ge=-90, le=90)
    """Degrees north, instead of `ground`."""
    lon: float | None = Field(None, ge=-180, le=180)
    """Degrees east."""

    @model_validator(mode="after")
    def _check_place(self) -> MeasuredPoint:
        degrees = (self.lat is not None) + (self.lon is not None)
        if degrees == 1 or (self.ground is None) == (degrees == 0):
            raise ValueError("want either 'ground' or both 'lat' and 'lon'")
        return self


class MeasuredLength(OptionsModel):
    """A length on the ground, such as a lane's width, and its ends in the picture."""

    start: Pair
    """One end in pixels."""
    end: Pair
    """The other end."""
    metres: FiniteFloat = Field(gt=0)
    """How long it is."""


class MeasuredRectangle(OptionsModel):
    """Four corners of a rectangle on the ground: near left, near right, far right, far left."""

    corners: tuple[Pair, Pair, Pair, Pair]
    """Corners in pixels."""
    width: FiniteFloat = Field(gt=0)
    """Metres from near left to near right."""
    length: FiniteFloat = Field(gt=0)
    """Metres from near right to far right."""


class Measured(OptionsModel):
    """All that was measured: point pairs or a rectangle, or lengths alone."""

    points: tuple[MeasuredPoint, ...] = ()
    """Four or more; the more, the better their errors are known."""
    lengths: tuple[MeasuredLength, ...] = ()
    """Three or more where there are no points, else they check the result."""
    rectangle: MeasuredRectangle | None = None
    """Instead of points."""
    origin: Origin | None = None
    """Where (0, 0) is on the Earth. Points in degrees have theirs in their middle."""

    @model_validator(mode="after")
    def _check_kinds(self) -> Measured:
        if self.rectangle and self.points:
            raise ValueError("want points or a rectangle, not both")
        in_degrees = [point.ground is None for point in self.points]
        if any(in_degrees) and not all(in_degrees):
            raise ValueError("want points in metres or in degrees, not both")
        return self


def measured_of_options(
    points: Sequence[str], lengths: Sequence[str], rectangle: str | None, *, degrees: bool
) -> dict[str, Any]:
    """Return what --point, --length and --rectangle say as points.yaml would; raises UsageError."""
    found: dict[str, Any] = {}
    for text in points:
        want = "x,y=LAT,LON with --degrees" if degrees else "x,y=X,Y (pixels=metres)"
        x, y, first, second = _numbers(_POINT, text, "--point", want)
        place = {"lat": first, "lon": second} if degrees else {"ground": (first, second)}
        found.setdefault("points", []).append({"pixel": (x, y), **place})
    for text in lengths:
        *ends, metres = _numbers(_LENGTH, text, "--length", "x1,y1,x2,y2=3.5m")
        one = {"start": ends[:2], "end": ends[2:], "metres": metres}
        found.setdefault("lengths", []).append(one)
    if rectangle is not None:
        want = "x,y;x,y;x,y;x,y=3.5x12m, near left, near right, far right, far left"
        *corners, width, length = _numbers(_RECTANGLE, rectangle, "--rectangle", want)
        found["rectangle"] = {
            "corners": [corners[n : n + 2] for n in (0, 2, 4, 6)], "width": width, "length": length,
        }  # fmt: skip
    return found


def _numbers(pattern: re.Pattern[str], text: str, option: str, want: str) -> list[float]:
    match = pattern.fullmatch(text)
    if match is None:
        raise UsageError(f"{option}: want {want}, got '{text}'")
    return [float(number) for number in match.groups()]


def calibrated(
    tree: dict[str, Any], size: tuple[int, int], errors: Errors, where: str
) -> tuple[Homography, Calibration]:
    """Return the homography of what was measured in a picture of `size`, and its calibration.

    `tree` is what points.yaml says, `where` stands before errors. Raises UsageError.
    """
    measured = validated(Measured, tree, where)
    _check_inside(measured, size)
    ends = np.array([(*each.start, *each.end) for each in measured.lengths]).reshape(-1, 4)
    metres = np.array([each.metres for each in measured.lengths])
    pixels, ground, origin = _pairs(measured)
    if len(pixels):
        found = calibrate_points(pixels, ground, errors)
        points = _point_residuals(found.matrix, pixels, ground, errors)
    elif measured.lengths:
        found, points = calibrate_lengths(ends, metres, size, errors), ()
    else:
        raise UsageError(
            "calibrate: want --points FILE, four or more --point, a --rectangle or three or more "
            "--length"
        )
    away = np.nan_to_num(lengths_by(found.matrix, ends) - metres, nan=np.inf)
    if len(away) and np.isinf(away).any():
        raise UsageError(f"lengths: number {int(away.argmax()) + 1} is above the horizon")
    lengths = tuple(
        CalibrationLength(start=one.start, end=one.end, metres=one.metres, error_m=round(e, 4))
        for one, e in zip(measured.lengths, away.tolist(), strict=True)
    )
    homography = Homography(
        matrix=_rows(found.matrix), size=size, origin=origin, points=points, lengths=lengths,
        covariance=_rows(found.covariance),
    )  # fmt: skip
    return homography, found


def _pairs(measured: Measured) -> tuple[Floats, Floats, Origin | None]:
    """Return pixels, metres and origin of the points."""
    if (box := measured.rectangle) is not None:
        w, length = box.width, box.length
        corners = np.array(((0, 0), (w, 0), (w, length), (0, length)))
        return np.array(box.corners), corners, measured.origin
    pixels = np.array([point.pixel for point in measured.points]).reshape(-1, 2)
    if not measured.points or measured.points[0].ground is not None:
        ground = np.array([point.ground for point in measured.points]).reshape(-1, 2)
        return pixels, ground, measured.origin
    lon_lat = np.array([(point.lon, point.lat) for point in measured.points], np.float64)
    lon, lat = lon_lat.mean(axis=0).round(7).tolist()
    origin = measured.origin or Origin(lat=lat, lon=lon)
    ground = origin.plane_of(lon_lat)
    if len(ground) >= MIN_POINTS and np.ptp(ground, axis=0).max() > 20_000:
        raise UsageError(
            "points: they are more than 20 km apart: is a latitude or longitude wrong?"
        )
    return pixels, ground, origin


def _point_residuals(
    matrix: Floats, pixels: Floats, ground: Floats, errors: Errors
) -> tuple[CalibrationPoint, ...]:
    plain = Homography(matrix=_rows(matrix), size=None)
    away_m = np.linalg.norm(plain.plane_of(pixels) - ground, axis=1)
    away_px = np.linalg.norm(plain.pixel_of(ground) - pixels, axis=1)
    left_out = leave_one_out(pixels, ground, errors)
    return tuple(
        CalibrationPoint(
            pixel=tuple(pixel), ground=tuple(np.round(place, 4).tolist()), error_m=round(m, 4),
            error_px=round(px, 2), left_out_m=None if left is None else round(left, 4),
        )
        for pixel, place, m, px, left in zip(
            pixels.tolist(), ground, away_m.tolist(), away_px.tolist(), left_out, strict=True
        )
    )  # fmt: skip


def _check_inside(measured: Measured, size: tuple[int, int]) -> None:
    corners = measured.rectangle.corners if measured.rectangle else ()
    ends = [end for each in measured.lengths for end in (each.start, each.end)]
    for what, places in (
        ("point", [each.pixel for each in measured.points]), ("corner", corners), ("end", ends)
    ):  # fmt: skip
        for number, (x, y) in enumerate(places, 1):
            if not (0 <= x <= size[0] and 0 <= y <= size[1]):
                raise UsageError(
                    f"{what} {number}: {x:g},{y:g} is outside the picture of {size[0]}x{size[1]}"
                )


def _rows(matrix: Floats) -> Any:
    """Return an array as rows of numbers with as many digits as mean something."""
    return tuple(tuple(float(f"{n:.{_SIGNIFICANT}g}") for n in row) for row in matrix.tolist())
