"""The schema of a zones file: polygons and lines of each camera, as frozen models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator

from pipeline.core.options import OptionsModel

MAX_ZONES = 64
MAX_POINTS = 64
_FARTHEST_PX = 100_000.0

Number = Annotated[float, Field(ge=-_FARTHEST_PX, le=_FARTHEST_PX, allow_inf_nan=False)]
Point = tuple[Number, Number]


def _printable(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("want printable text without space at its ends")
    return name


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]


class ZoneOrLine(OptionsModel):
    """A zone or a line: its name, points and classes."""

    name: Name
    """What events and counts call it; different from all others of this camera."""
    points: tuple[Point, ...] = Field(min_length=2, max_length=MAX_POINTS)
    """Corners [x, y] in pixels of the camera's `size`."""
    classes: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] | None = Field(
        None, min_length=1, max_length=100
    )
    """Classes that count, by name; null for all."""


class Zone(ZoneOrLine):
    """A polygon that tracks enter and leave; its last corner is joined to the first."""

    dwell_s: float | None = Field(None, gt=0, le=1e6)
    """Seconds in the zone after which an event tells so, once per stay; null for none."""

    @field_validator("points")
    @classmethod
    def _is_polygon(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        if len(points) < 3:
            raise ValueError(f"want 3 points or more, got {len(points)}")
        _check_steps([*points, points[0]])
        _check_crossings([*pairwise([*points, points[0]])], closed=True)
        if area_of_polygon(points) < 1:
            raise ValueError("want a polygon with an area, all points are on one line")
        return points


class Line(ZoneOrLine):
    """A line that tracks cross: "in" from its left side to its right side, else "out".

    Left and right are those of somebody who walks on the picture from the first point to the
    last. Swapping the ends swaps the directions. More than two points make it bend.
    """

    @field_validator("points")
    @classmethod
    def _is_line(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        _check_steps(points)
        _check_crossings([*pairwise(points)], closed=False)
        return points


class CameraZones(OptionsModel):
    """The zones and lines of one camera."""

    size: tuple[Annotated[int, Field(ge=1, le=65_536)], Annotated[int, Field(ge=1, le=65_536)]] | (
        None
    ) = None
    """Width and height of the picture the points were drawn on; pictures of another size have
    them scaled. null: the points are pixels of whatever picture comes."""
    settle_s: float = Field(0.3, ge=0, le=60)
    """Seconds clearly on the new side after which a change of sides counts."""
    gone_s: float = Field(2.0, gt=0, le=3600)
    """Seconds without a detection after which a track has left; more than `tracker.max_age_s`."""
    zones: tuple[Zone, ...] = Field((), max_length=MAX_ZONES)
    """Polygons to enter, stay in and leave."""
    lines: tuple[Line, ...] = Field((), max_length=MAX_ZONES)
    """Lines to cross."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [one.name for one in self.zones_and_lines]
        if len(names) > MAX_ZONES:
            raise ValueError(f"want at most {MAX_ZONES} zones and lines, got {len(names)}")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the name '{twice[0]}' is there twice")
        return self

    @model_validator(mode="after")
    def _in_the_picture(self) -> Self:
        if self.size and (problem := outside(self, self.size)):
            raise ValueError(problem)
        return self

    @property
    def zones_and_lines(self) -> tuple[Zone | Line, ...]:
        """Return zones, then lines."""
        return (*self.zones, *self.lines)


class ZonesFile(OptionsModel):
    """A zones file: the zones and lines of each camera, by the name of the source."""

    cameras: dict[Name, CameraZones] = Field({}, max_length=1024)
    """What is watched where."""

    @classmethod
    def keys_below(cls) -> dict[str, list[str]]:
        """Return nothing: keys are never looked for in another section."""
        return {}

    def with_camera(self, name: str, zones: CameraZones) -> ZonesFile:
        """Return the file with the zones and lines of one camera replaced."""
        return self.model_copy(update={"cameras": {**self.cameras, name: zones}})


def plain(model: BaseModel) -> dict[str, Any]:
    """Return a model as plain values without what is null, as people write it."""
    return model.model_dump(mode="json", exclude_none=True)


def outside(camera: CameraZones, size: tuple[int, int]) -> str | None:
    """Return an error about zones and lines wholly outside pictures of `size`, None without any.

    `size` is (width, height). Points drawn on another size are scaled, so that one counts then.
    """
    width, height = camera.size or size
    corners: list[Point] = [(0, 0), (width, 0), (width, height), (0, height)]
    names = [
        f"{'line' if isinstance(one, Line) else 'zone'} '{one.name}'"
        for one in camera.zones_and_lines
        if not _touches(one, corners)
    ]
    if not names:
        return None
    lies = "lies" if len(names) == 1 else "lie"
    return f"{', '.join(names)} {lies} wholly outside the picture of {width}x{height}"


def _touches(shape: ZoneOrLine, corners: Sequence[Point]) -> bool:
    """Return whether a zone or line shares a point with the rectangle of these corners."""
    (left, top), (right, bottom) = corners[0], corners[2]
    if any(left <= x <= right and top <= y <= bottom for x, y in shape.points):
        return True
    closed = isinstance(shape, Zone)
    edges = [*pairwise([*shape.points, shape.points[0]] if closed else shape.points)]
    sides = [*pairwise([*corners, corners[0]])]
    if any(_meet(*edge, *side) for edge in edges for side in sides):
        return True
    return closed and _holds(edges, corners[0])


def _holds(edges: Sequence[tuple[Point, Point]], point: Point) -> bool:
    """Return whether a point lies in the polygon of these edges (even-odd rule)."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in edges:
        if (y1 > y) != (y2 > y):
            inside ^= x < x1 + (y - y1) / (y2 - y1) * (x2 - x1)
    return inside


def area_of_polygon(points: Sequence[Point]) -> float:
    """Return the area of a simple polygon in square pixels (Gauss's area formula)."""
    ring = [*points, points[0]]
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring))) / 2


def _check_steps(points: Sequence[Point]) -> None:
    """Raise ValueError where two corners that follow each other are the same."""
    for number, (one, other) in enumerate(pairwise(points), 1):
        if math.dist(one, other) < 0.5:
            following = number % (len(points) - 1) + 1 if points[0] == points[-1] else number + 1
            raise ValueError(f"points {number} and {following} are the same")


def _check_crossings(steps: Sequence[tuple[Point, Point]], *, closed: bool) -> None:
    """Raise ValueError where two edges that are not neighbours meet."""
    for i, (a, b) in enumerate(steps):
        for j in range(i + 2, len(steps)):
            if closed and i == 0 and j == len(steps) - 1:
                continue
            if _meet(a, b, *steps[j]):
                raise ValueError(f"edges {i + 1} and {j + 1} cross each other")


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Return whether segments a-b and c-d share a point (orientation test)."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    touching = zip(turns, ((a, b, c), (a, b, d), (c, d, a), (c, d, b)), strict=True)
    return any(turn == 0 and _between(*points) for turn, points in touching)


def _turn(a: Point, b: Point, c: Point) -> int:
    cross = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (cross > 0) - (cross < 0)


def _between(a: Point, b: Point, c: Point) -> bool:
    inside = (min(a[k], b[k]) <= c[k] <= max(a[k], b[k]) for k in (0, 1))
    return all(inside)
