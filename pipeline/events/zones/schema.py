"""The schema of a zones file: polygons and lines of each camera, as frozen models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

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
    """Name in events and counts; unique within the camera."""
    points: tuple[Point, ...] = Field(min_length=2, max_length=MAX_POINTS)
    """Corners [x, y] in pixels of the camera's `size`."""
    classes: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] | None = Field(
        None, min_length=1, max_length=100
    )
    """Classes to count, by name; null for all."""


class Zone(ZoneOrLine):
    """A polygon that tracks enter and leave; its last corner is joined to the first."""

    dwell_s: float | None = Field(None, gt=0, le=1e6)
    """Seconds in the zone after which a "dwell" event is emitted, once per stay; null for none."""

    @field_validator("points")
    @classmethod
    def _is_polygon(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        check_polygon(points)
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


DEFAULT_CLASSES = (
    "person", "pedestrian", "bicycle", "car", "van", "truck", "bus", "train", "motorcycle",
)  # fmt: skip
"""People and vehicles, as networks call them."""


class Appeared(OptionsModel):
    """Which objects cause an event "appeared", wherever in the picture they are."""

    enabled: bool = True
    """Whether to emit these events; `appeared: true` and `false` set just that."""
    classes: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] | None = Field(
        DEFAULT_CLASSES, min_length=1, max_length=100
    )
    """Classes to count, by name; null for all."""
    min_height: float = Field(0.03, ge=0, le=1)
    """Minimum height of a box, as a share of the picture's height."""
    seen_s: float = Field(1.0, ge=0, le=3600)
    """Minimum seconds between the first counted detection and the one that causes the event."""
    min_move: float = Field(0.25, ge=0, le=100)
    """How far it must have moved, in sizes of its box (square root of the area); 0 for no move.

    A parked car is a new track whenever it was hidden for a moment, and must be no event.
    """
    masks: tuple[tuple[Point, ...], ...] = Field((), max_length=MAX_ZONES)
    """Polygons of corners [x, y] in pixels of the camera's `size`; foot points inside are
    ignored."""

    @field_validator("masks")
    @classmethod
    def _are_polygons(cls, masks: tuple[tuple[Point, ...], ...]) -> tuple[tuple[Point, ...], ...]:
        for points in masks:
            if len(points) > MAX_POINTS:
                raise ValueError(f"want at most {MAX_POINTS} points, got {len(points)}")
            check_polygon(points)
        return masks


def _rules(value: Any) -> Any:
    """Return the rules that a bare true or false stands for."""
    return {"enabled": value} if isinstance(value, bool) else value


# Built at once: FastAPI, which reads it for routes, hides what Pydantic warns of only meanwhile.
class CameraZones(OptionsModel, defer_build=False):
    """The zones and lines of one camera, and the rules for its whole picture."""

    size: tuple[Annotated[int, Field(ge=1, le=65_536)], Annotated[int, Field(ge=1, le=65_536)]] | (
        None
    ) = None
    """Width and height of the picture the points were drawn on; for other sizes they are scaled.
    null: the points are pixels of any picture."""
    settle_s: float = Field(0.3, ge=0, le=60)
    """Seconds clearly on the new side after which a change of sides counts."""
    gone_s: float = Field(2.0, gt=0, le=3600)
    """Seconds without a detection after which a track has left; more than `tracker.max_age_s`."""
    zones: tuple[Zone, ...] = Field((), max_length=MAX_ZONES)
    """Polygons to enter, stay in and leave."""
    lines: tuple[Line, ...] = Field((), max_length=MAX_ZONES)
    """Lines to cross."""
    appeared: Annotated[Appeared | None, BeforeValidator(_rules)] = None
    """Events of the whole picture; true for the defaults, false for none. null means none as well,
    but a live camera without zones and lines then uses the defaults."""

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
    def appeared_rules(self) -> Appeared | None:
        """Return the rules for the whole picture, None if nothing counts there."""
        return self.appeared if self.appeared is not None and self.appeared.enabled else None

    @property
    def is_empty(self) -> bool:
        """Return whether no event can happen."""
        return not self.zones_and_lines and self.appeared_rules is None

    def with_live_default(self) -> CameraZones:
        """Return a live camera's rules: the defaults of `appeared` if the file says nothing."""
        if self.zones_and_lines or self.appeared is not None:
            return self
        return self.model_copy(update={"appeared": Appeared()})

    def scaled_masks(self, size: tuple[int, int] | None) -> CameraZones:
        """Return the same with masks for points of another `size`."""
        rules = self.appeared_rules
        if rules is None or not rules.masks or not (self.size and size) or self.size == size:
            return self
        x, y = size[0] / self.size[0], size[1] / self.size[1]
        masks = tuple(tuple((px * x, py * y) for px, py in points) for points in rules.masks)
        return self.model_copy(update={"appeared": rules.model_copy(update={"masks": masks})})

    @property
    def zones_and_lines(self) -> tuple[Zone | Line, ...]:
        """Return zones, then lines."""
        return (*self.zones, *self.lines)


class ZonesFile(OptionsModel):
    """A zones file: the zones and lines of each camera, by the name of the source."""

    cameras: dict[Name, CameraZones] = Field({}, max_length=1024)
    """Zones and lines by camera."""

    @classmethod
    def keys_below(cls) -> dict[str, list[str]]:
        """Return nothing: keys are never looked for in another section."""
        return {}

    def with_camera(self, name: str, zones: CameraZones) -> ZonesFile:
        """Return the file with the zones and lines of one camera replaced."""
        return self.model_copy(update={"cameras": {**self.cameras, name: zones}})

    def with_renamed(self, old: str, new: str) -> ZonesFile:
        """Return the file with the zones and lines of one camera under another name."""
        others = {name: each for name, each in self.cameras.items() if name != old}
        return self.model_copy(update={"cameras": {**others, new: self.cameras[old]}})


def plain(model: BaseModel) -> dict[str, Any]:
    """Return a model as plain values without null defaults, as people write it."""
    fields = type(model).model_fields
    return {
        name: _plain_value(value)
        for name, value in model
        if value is not None or fields[name].default is not None
    }


def _plain_value(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return plain(value)
    if isinstance(value, dict):
        return {key: _plain_value(each) for key, each in value.items()}
    return [_plain_value(each) for each in value] if isinstance(value, tuple) else value


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


def check_polygon(points: Sequence[Point]) -> None:
    """Raise ValueError unless these are the corners of a simple polygon with an area."""
    if len(points) < 3:
        raise ValueError(f"want 3 points or more, got {len(points)}")
    _check_steps([*points, points[0]])
    _check_crossings([*pairwise([*points, points[0]])], closed=True)
    if area_of_polygon(points) < 1:
        raise ValueError("want a polygon with an area, all points are on one line")


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
