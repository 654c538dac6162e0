"""Association on the ground: where tracks are in metres, and how far detections are from them.

After Yi, Luo, Luo, Yang, Liu, Chen, Gao: UCMCTrack: Multi-Object Tracking with Uniform Camera
Motion Compensation, AAAI 2024: the middle of a box's lower edge is mapped to the ground by a
homography, its error of some pixels with it by the homography's Jacobian, and a Kalman filter on
the ground compares by the Mahalanobis distance, normalised by the logarithm of the covariance's
determinant. Unlike there, boxes must still overlap in the picture, because feet are hidden too
often to rely on them alone: the ground decides which of the overlapping tracks a detection belongs
to, and where in the picture a lost track has moved to.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.data import Frame
from pipeline.core.errors import ConfigError
from pipeline.core.homography import Homography, read_homography
from pipeline.trackers._association import CandidatePairs
from pipeline.trackers._camera_motion import Similarity
from pipeline.trackers._track_table import Columns, Float64, Rows

log = logging.getLogger("trackline")

GroundFiles = Path | dict[str, Path]
"""homography.yaml of the only source, or one per source."""

# Error of a foot point, as a share of the box's width (across) and height (along): a box's lower
# edge flickers, and feet are hidden now and then. At least this many pixels.
_FOOT = 0.07
_MIN_FOOT_PX = 1.0
# Boxes this close to the picture's edge are cut off there: their feet may be anywhere beyond it.
_EDGE_PX = 2.0
# A foot point with a larger standard deviation than this is too far away.
_MAX_SD_M = 3.0
# By an object's width, as cars are wider than people, and faster: its acceleration (power spectral
# density in m^2/s^3 for a metre) and the standard deviation of a new one's speed (m/s for a metre).
# Bounds of the width, and how much of a new measurement of it counts.
_ACCELERATION = 2.0
_SPEED = 4.0
_WIDTH_M = (0.4, 3.0)
_NEW_WIDTH = 0.1
# A lost track is searched where it has moved to on the ground while that is known to this many of
# its widths (standard deviation); otherwise where it has moved to in the picture.
_SURE = 1.0
# Weight of half the normalised distance in a pair's benefit, and the distance beyond which it does
# not grow any further: a pair is never excluded by the ground, only outranked.
_SHARPNESS = 0.5
_FAR = 50.0
# A camera that has moved by this share of the picture's height is no longer where it was
# calibrated. The accumulated move decays, because the errors of many small moves add up.
_MAX_MOVE = 0.05
_FORGOTTEN_S = 10.0


def read_grounds(files: GroundFiles) -> Homography | dict[str, Homography]:
    """Read the homographies in these files; raises ConfigError naming file and key."""
    if isinstance(files, Path):
        return read_homography(files)
    return {source: read_homography(path) for source, path in files.items()}


def check_ground(files: GroundFiles, sources: Collection[str], where: str) -> None:
    """Raise ConfigError if the files name other sources, or cannot be read."""
    if isinstance(files, Path) and len(sources) > 1:
        raise ConfigError(
            f"{where}: a homography belongs to one camera, and there are several sources "
            f"({', '.join(sorted(sources))}): want a file for each, {{name: file}}"
        )
    if isinstance(files, dict) and sources and not set(files) & set(sources):
        raise ConfigError(
            f"{where}: want a source of this run ({', '.join(sorted(sources))}), "
            f"got {', '.join(sorted(files))}"
        )
    read_grounds(files)


class Standing(NamedTuple):
    """Ground positions of n boxes, with their uncertainty and width.

    `xy` f64[2,n] m, `spread` f64[3,n] m^2 (xx, xy, yy), `wide` f64[n] m. `usable` bool[n] is false
    for boxes whose feet are not on the visible ground; their numbers are meaningless.
    """

    xy: Float64
    spread: Float64
    wide: Float64
    usable: NDArray[np.bool_]

    def take(self, places: Rows) -> Standing:
        """Return the boxes at `places`, in that order."""
        return Standing(
            self.xy.take(places, 1), self.spread.take(places, 1),
            self.wide.take(places), self.usable.take(places),
        )  # fmt: skip


class GroundPlane:
    """The ground plane as seen in pictures of one size."""

    def __init__(self, homography: Homography, size: tuple[int, int] | None) -> None:
        """Take width and height of the pictures; None if there are none (recorded boxes)."""
        size = size or homography.size
        self._matrix = homography.h
        if size and homography.size:
            scale = np.array(homography.size) / size
            self._matrix = self._matrix * (*scale, 1.0)
        self._inverse = np.linalg.inv(self._matrix)
        self._size = size

    def stand(self, xyxy: Float64) -> Standing:
        """Return the ground positions of boxes f64[4,n] in pixels of the pictures."""
        h = self._matrix
        x1, y1, x2, y2 = xyxy
        foot = np.stack(((x1 + x2) / 2, y2, np.ones(len(x1))))
        across, along, depth = h @ foot
        usable = depth > 1e-12 * np.abs(h[2]).max()
        depth = np.where(usable, depth, 1.0)
        xy = np.stack((across, along)) / depth
        # Metres per pixel, f64[2,2,n]: the homography's derivative by x and by y.
        slope = (h[:2, :2, None] - xy[:, None] * h[2, :2, None]) / depth
        size = np.stack((x2 - x1, y2 - y1))
        by_axis = slope * np.maximum(_FOOT * size, _MIN_FOOT_PX)
        (xx, yy), both = (by_axis * by_axis).sum(1), (by_axis[0] * by_axis[1]).sum(0)
        usable &= xx + yy < _MAX_SD_M**2
        if self._size:
            width, height = self._size
            usable &= (x1 > _EDGE_PX) & (x2 < width - _EDGE_PX) & (y2 < height - _EDGE_PX)
        wide = np.hypot(slope[0, 0], slope[1, 0]) * size[0]
        return Standing(xy, np.stack((xx, both, yy)), wide.clip(*_WIDTH_M), usable)

    def move(self, xyxy: Float64, xy: Float64) -> Float64:
        """Return the boxes f64[4,n] with their feet moved to f64[2,n] m, larger when nearer.

        Boxes whose positions are not on the visible ground are NaN.
        """
        across, along, depth = self._inverse @ np.concatenate((xy, np.ones((1, xy.shape[1]))))
        depth = np.where(depth > 0, depth, np.nan)
        foot = np.stack((across, along)) / depth
        x1, y1, x2, y2 = xyxy
        # A pixel's depth is what metres there are divided by: sizes go as one over the distance.
        was = self._matrix[2] @ np.stack(((x1 + x2) / 2, y2, np.ones(len(x1))))
        now = self._matrix[2, :2] @ foot + self._matrix[2, 2]
        scale = np.where(was > 0, now / was, np.nan)
        half, tall = (x2 - x1) / 2 * scale, (y2 - y1) * scale
        return np.stack((foot[0] - half, foot[1] - tall, foot[0] + half, foot[1]))


class GroundView:
    """The ground plane of a source's pictures; none if its camera is not as calibrated."""

    def __init__(self, homographies: Homography | Mapping[str, Homography]) -> None:
        self._homographies = homographies
        self._shown: tuple[str, int, int] | None = None
        self._plane: GroundPlane | None = None
        self._centre, self._height = np.zeros((2, 1)), 1.0
        self._strayed = np.zeros((2, 1))
        self._moved = False

    @property
    def plane(self) -> GroundPlane | None:
        """Return the ground plane; None if there is none to compare on."""
        return None if self._moved else self._plane

    def look_at(self, frame: Frame, seconds: float) -> None:
        """Select the ground of this frame's source and size, `seconds` after the last."""
        self._strayed *= np.exp(-seconds / _FORGOTTEN_S)
        height, width = frame.shape[:2]
        if self._shown == (frame.source, width, height):
            return
        self._shown = frame.source, width, height
        known = self._homographies
        found = known if isinstance(known, Homography) else known.get(frame.source)
        size = (width, height) if min(width, height) > 1 else None
        self._plane = None if found is None else GroundPlane(found, size)
        self._centre, self._height = np.array([[width / 2], [height / 2]]), height

    def move(self, motion: Similarity) -> None:
        """Add a move of the picture; log once if it moved too far."""
        self._strayed += motion.points(self._centre) - self._centre
        far = float(np.hypot(*self._strayed[:, 0])) > _MAX_MOVE * self._height
        if far and self.plane and self._shown:
            log.warning(
                "%s: its camera moves, but a homography needs a fixed one: boxes are matched "
                "without the ground from here on",
                self._shown[0],
            )
        self._moved |= far

    def save(self) -> Float64:
        """Return how far the picture moved, and whether that was too far, f64[3]."""
        return np.append(self._strayed, float(self._moved))

    def load(self, state: Float64) -> None:
        """Restore the state that `save` returned."""
        self._strayed = state[:2, None].copy()
        self._moved = bool(state[2])


# Rows of the filters' table: the mean and the covariance's three blocks: of places (xx, xy, yy),
# of places with velocities (by rows), of velocities; the width in metres, and whether there is a
# place at all (1) or none was seen yet (0).
_XY, _V = slice(0, 2), slice(2, 4)
_PLACE, _CROSS, _SPEEDS = slice(4, 7), slice(7, 11), slice(11, 14)
_WIDE, _KNOWN = 14, 15
_ROWS = 16


class GroundFilters(Columns):
    """n Kalman filters on the ground: position and velocity, with random acceleration.

    State (x, y, vx, vy), noise as in `archive/ground/smoothing.py` (Bar-Shalom, Li & Kirubarajan
    2001, section 6.2.2), written out by 2x2 blocks for all tracks at once.
    """

    def __init__(self) -> None:
        super().__init__(_ROWS)

    def start(self, tracks: int, seen: Standing | None) -> None:
        """Add tracks, at rest at the positions of their boxes; without a position if None."""
        self.append(np.zeros((_ROWS, tracks)) if seen is None else self._fresh(seen))

    def _fresh(self, seen: Standing) -> Float64:
        entry = np.zeros((_ROWS, len(seen.wide)))
        entry[_XY], entry[_PLACE] = seen.xy, seen.spread
        entry[_SPEEDS][::2] = np.square(_SPEED * seen.wide)
        entry[_WIDE], entry[_KNOWN] = seen.wide, seen.usable
        return entry

    def predict(self, seconds: float) -> None:
        """Predict every track this many seconds ahead."""
        table, t = self.table, seconds
        table[_XY] += t * table[_V]
        place, cross, speeds = table[_PLACE], table[_CROSS], table[_SPEEDS]
        place += t * (cross[[0, 1, 3]] + cross[[0, 2, 3]]) + t * t * speeds
        cross += t * speeds[[0, 1, 1, 2]]
        q = _ACCELERATION * table[_WIDE]
        place[::2] += q * t**3 / 3
        cross[::3] += q * t**2 / 2
        speeds[::2] += q * t

    def update(self, rows: Rows, seen: Standing) -> None:
        """Correct `rows` with the positions of their detections; start those without a position."""
        usable = seen.usable.nonzero()[0]
        rows, seen = rows[usable], seen.take(usable)
        part = self.table.take(rows, 1)
        place, cross, speeds = part[_PLACE], part[_CROSS], part[_SPEEDS]
        inverse = _inverse(place + seen.spread)
        missed = seen.xy - part[_XY]
        a, b = _square(place), cross.reshape(2, 2, -1)
        gain = _times(a, inverse), _times(b.transpose(1, 0, 2), inverse)
        part[_XY] += _applied(gain[0], missed)
        part[_V] += _applied(gain[1], missed)
        part[_SPEEDS] = speeds - _flat(_times(gain[1], b))
        part[_CROSS] = (b - _times(gain[0], b)).reshape(4, -1)
        part[_PLACE] = _flat(_times(gain[0], _square(seen.spread)))
        part[_WIDE] += _NEW_WIDTH * (seen.wide - part[_WIDE])
        new = (part[_KNOWN] == 0).nonzero()[0]
        part[:, new] = self._fresh(seen.take(new))
        self.table[:, rows] = part

    def forget(self, rows: Rows) -> None:
        """Clear the positions of these tracks until they are detected again."""
        self.table[_KNOWN, rows] = 0

    def places(self, rows: Rows) -> tuple[Float64, NDArray[np.bool_]]:
        """Return f64[2,m] m, the positions of these tracks, and bool[m]: known well enough."""
        part = self.table.take(rows, 1)
        sure = (part[_KNOWN] > 0) & (part[_PLACE][::2].sum(0) < np.square(_SURE * part[_WIDE]))
        return part[_XY], sure

    def weigh(self, pairs: CandidatePairs, seen: Standing) -> None:
        """Multiply the weights of pairs by how well the positions agree.

        That is exp(-s d / 2) with d = D + ln(|S| / |R|): the paper's distance, minus the logarithm
        for the detection's own covariance R, so that 0 means a track exactly at that position.
        """
        i, j = pairs.i, pairs.j
        both = (self.table[_KNOWN].take(i) > 0) & seen.usable.take(j)
        own = seen.spread.take(j, 1)
        xx, xy, yy = self.table[_PLACE].take(i, 1) + own
        dx, dy = seen.xy.take(j, 1) - self.table[_XY].take(i, 1)
        determinant = np.where(both, xx * yy - xy * xy, 1.0)
        distance = (yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy) / determinant
        distance += np.log(determinant / np.where(both, own[0] * own[2] - own[1] ** 2, 1.0))
        weight = np.exp(-_SHARPNESS / 2 * distance.clip(0, _FAR))
        weight[~both] = 1.0
        pairs.weight = weight if pairs.weight is None else pairs.weight * weight


def _square(flat: Float64) -> Float64:
    """Return symmetric matrices f64[2,2,n] of (xx, xy, yy) f64[3,n]."""
    return flat[[0, 1, 1, 2]].reshape(2, 2, -1)


def _flat(square: Float64) -> Float64:
    """Return (xx, xy, yy) f64[3,n] of matrices f64[2,2,n], as symmetric as rounding left them."""
    return np.stack((square[0, 0], (square[0, 1] + square[1, 0]) / 2, square[1, 1]))


def _inverse(flat: Float64) -> Float64:
    xx, xy, yy = flat
    return _square(np.stack((yy, -xy, xx)) / (xx * yy - xy * xy))


def _times(a: Float64, b: Float64) -> Float64:
    """Return the products of matrices f64[2,2,n]."""
    product: Float64 = (a[:, :, None] * b[None]).sum(1)
    return product


def _applied(a: Float64, vector: Float64) -> Float64:
    """Return matrices f64[2,2,n] times vectors f64[2,n]."""
    applied: Float64 = (a * vector).sum(1)
    return applied
