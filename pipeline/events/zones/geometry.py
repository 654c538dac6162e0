"""Geometry of zones and lines: which side, inside, crossed, distance; on arrays of points.

The edges of all zones and lines of a camera are one flat list, those of zones first; an axis or
index `zone` counts zones first, then lines. `n` points are
tested against all of them at once; what happens seldom is computed for `k` picked pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.events.zones.schema import CameraZones, Line, Zone

Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]


class Geometry:
    """The zones and lines of one camera on pictures of `size` (width, height)."""

    def __init__(self, camera: CameraZones, size: tuple[int, int]) -> None:
        scale = np.divide(size, camera.size) if camera.size else np.ones(2)
        rings = [_edges(zone, scale) for zone in camera.zones_and_lines]
        counts = [len(ring) for ring in rings]
        edges = np.concatenate(rings) if rings else np.empty((0, 2, 2))
        self._polygons, self.zones = len(camera.zones), len(rings)
        self.zone_of_edge: Rows = np.arange(self.zones).repeat(counts)
        self._a = edges[:, 0]
        self._ax, self._ay = edges[:, 0].T.copy()
        self._bx, self._by = edges[:, 1].T.copy()
        self._dx, self._dy = self._bx - self._ax, self._by - self._ay
        self._polygon_edges = sum(counts[: self._polygons])
        self._starts = np.cumsum([0, *counts])[: self._polygons]
        self._downwards = self._dy[: self._polygon_edges] > 0
        # The same edges by zone, short lists filled up with their last edge.
        longest = max(counts, default=1)
        padded = [ring[np.minimum(np.arange(longest), len(ring) - 1)] for ring in rings]
        self._padded = np.array(padded).reshape(-1, longest, 2, 2)
        way = self._padded[:, :, 1] - self._padded[:, :, 0]
        parts = (*np.moveaxis(self._padded[:, :, 0], 2, 0), *np.moveaxis(way, 2, 0))
        self._legs = np.stack((*parts, (way * way).sum(2)))
        self.reach: Float64 = np.array([_reach(zone, scale) for zone in camera.zones_and_lines])

    def look(self, points: Float64) -> tuple[Bools, Bools]:
        """Return (bool[n,edges] on the right side of each edge, bool[n,zones] inside the zones).

        Inside by the even-odd rule, with edges that hold their upper end but not their lower one.
        Lines have no inside: false.
        """
        x, y = points[:, 0, None], points[:, 1, None]
        cross = self._dx * (y - self._ay) - self._dy * (x - self._ax)
        inside = np.zeros((len(points), self.zones), np.bool_)
        if self._polygons:
            z = self._polygon_edges
            hit = (self._ay[:z] > y) != (self._by[:z] > y)
            hit &= (cross[:, :z] > 0) == self._downwards
            parity = np.add.reduceat(hit, self._starts, axis=1, dtype=np.int16) & 1
            inside[:, : self._polygons] = parity == 1
        return cross >= 0, inside

    def crossed(self, p: Float64, q: Float64, edge: Rows) -> Bools:
        """Return bool[k]: the step p -> q, whose ends are on two sides of `edge`, meets it.

        An end of an edge is on either side of the step, never on it, so that a step through the
        corner of two edges meets exactly one of them.
        """
        a = np.stack([self._ax[edge], self._ay[edge]], 1)
        b = np.stack([self._bx[edge], self._by[edge]], 1)
        step = q - p
        met: Bools = (_cross(step, a - p) >= 0) != (_cross(step, b - p) >= 0)
        return met

    def distance(self, points: Float64, zone: Rows) -> Float64:
        """Return f64[k] pixels from each point to the nearest edge of its zone."""
        ax, ay, dx, dy, length2 = self._legs[:, zone]
        x, y = points[:, 0, None] - ax, points[:, 1, None] - ay
        share = np.minimum(np.maximum((x * dx + y * dy) / length2, 0), 1)
        nearest: Float64 = np.hypot(x - share * dx, y - share * dy).min(axis=1)
        return nearest

    def passes(self, p: Float64, q: Float64, zone: int) -> bool:
        """Return whether the straight way from p to q, both outside, leads through a zone."""
        a, b = self._padded[zone, :, 0], self._padded[zone, :, 1]
        step = q - p
        apart = (_cross(step, a - p) >= 0) != (_cross(step, b - p) >= 0)
        apart &= (_cross(b - a, p - a) >= 0) != (_cross(b - a, q - a) >= 0)
        return bool(apart.any())


def _edges(zone: Zone | Line, scale: Float64) -> Float64:
    """Return f64[edges,2,2], the two ends of each edge."""
    points: Sequence[tuple[float, float]] = zone.points
    ring = [*points, points[0]] if isinstance(zone, Zone) else points
    return np.array([*pairwise(ring)]) * scale


def _reach(zone: Zone | Line, scale: Float64) -> float:
    """Return how far from its border one can surely be inside: a quarter of a narrow zone."""
    if isinstance(zone, Line):
        return float("inf")
    edges = _edges(zone, scale)
    length = np.hypot(*(edges[:, 1] - edges[:, 0]).T).sum()
    surface = abs(_cross(edges[:, 0], edges[:, 1]).sum()) / 2
    return float(surface / length / 2)


def _cross(one: Float64, other: Float64) -> Float64:
    product: Float64 = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return product
