"""Boxes as the trackers' Kalman filters see them: which four numbers, and how much noise each."""

from __future__ import annotations

import numpy as np

from pipeline.boxes import (
    cxcyah_from_xyxy,
    cxcysr_from_xyxy,
    cxcywh_from_xyxy,
    xyxy_from_cxcyah,
    xyxy_from_cxcysr,
    xyxy_from_cxcywh,
)
from pipeline.trackers._columns import Float64, Rows
from pipeline.trackers._kalman import VARIANCE, KalmanTracks
from pipeline.trackers._similarity import Similarity

Steps = float | Float64


class BoxFilters(KalmanTracks):
    """n Kalman filters over four numbers of a box. Boxes come and go as xyxy f64[4,n]."""

    def __init__(self) -> None:
        super().__init__(axes=4)

    sizes: tuple[float, float]
    """Powers of a scale that the third and the fourth number grow with when the box does."""

    def start(self, xyxy: Float64) -> None:
        """Begin a filter on each box, at rest."""
        raise NotImplementedError

    def move(self, steps: Steps, missed: Rows) -> None:
        """Predict `steps` nominal frames ahead; `missed` rows had no detection last frame."""
        raise NotImplementedError

    def correct(self, rows: Rows, xyxy: Float64, score: Float64) -> None:
        """Update `rows` with the boxes that detections of such scores measured."""
        raise NotImplementedError

    def xyxy(self) -> Float64:
        """Return the boxes f64[4,n] that the filters now stand at."""
        return self.boxes(self.position)

    def boxes(self, position: Float64) -> Float64:
        """Return the boxes f64[4,m] that such positions mean."""
        raise NotImplementedError

    def warp(self, motion: Similarity) -> None:
        """Go along with a camera that moved: places, velocities and how sure both are."""
        self.position[:2] = motion.points(self.position[:2])
        self.velocity[:2] = motion.turn @ self.velocity[:2]
        power = motion.scale ** np.array(self.sizes)[:, None]
        self.position[2:] *= power
        self.velocity[2:] *= power
        self.block[VARIANCE:, :2] *= motion.scale**2
        self.block[VARIANCE:, 2:] *= power**2


# The matrices of the published SORT, for the axes centre x, centre y, scale and ratio; its
# state gives the ratio no velocity, hence the zeros. Variances per frame of 1/30 s.
SORT_MEASURED = np.array([[1.0], [1.0], [10.0], [10.0]])
SORT_DRIFT = np.array([[1.0], [1.0], [1.0], [1.0]])
SORT_VELOCITY_DRIFT = np.array([[1e-2], [1e-2], [1e-4], [0.0]])
SORT_START = np.array([[10.0], [10.0], [10.0], [10.0]])
SORT_VELOCITY_START = np.array([[1e4], [1e4], [1e4], [0.0]])
_SCALE = 2


class ScaleFilters(BoxFilters):
    """State [u, v, s, r, du, dv, ds] of Bewley et al. 2016, section 3.2: noise the same for all."""

    sizes = (2.0, 0.0)

    def start(self, xyxy: Float64) -> None:
        self.append(cxcysr_from_xyxy(xyxy.T).T, SORT_START, SORT_VELOCITY_START)

    def move(self, steps: Steps, missed: Rows) -> None:  # noqa: ARG002
        scale, rate = self.position[_SCALE], self.velocity[_SCALE]
        rate *= scale + steps * rate > 0  # as published: an area does not shrink through zero
        self.predict(steps, SORT_DRIFT, SORT_VELOCITY_DRIFT)

    def correct(self, rows: Rows, xyxy: Float64, score: Float64) -> None:  # noqa: ARG002
        self.update(rows, cxcysr_from_xyxy(xyxy.T).T, SORT_MEASURED)

    def boxes(self, position: Float64) -> Float64:
        return xyxy_from_cxcysr(position.T).T


# ByteTrack's filter is DeepSORT's (Wojke et al. 2017): standard deviations in parts of the
# height, except the aspect ratio's, which are numbers of their own.
_POSITION, _VELOCITY = 1 / 20, 1 / 160
_HEIGHT = 3
_LEAST_HEIGHT = 1.0
_LEAST_SIZE = 1e-3


class HeightFilters(BoxFilters):
    """State [x, y, a, h] and velocities of Zhang et al. 2022: noise in proportion to the height."""

    sizes = (0.0, 1.0)

    def _measure(self, xyxy: Float64) -> Float64:
        """Return the four numbers f64[4,n] of boxes."""
        return cxcyah_from_xyxy(xyxy.T).T

    def _variance(self, height: Float64, part: float, aspect: float) -> Float64:
        """Return f64[4,n]: (part * height)^2, and aspect^2 for the ratio."""
        variance = np.empty((4, len(height)))
        variance[:] = np.square(part * np.maximum(height, _LEAST_HEIGHT))
        variance[2] = aspect**2
        return variance

    def start(self, xyxy: Float64) -> None:
        measured = self._measure(xyxy)
        height = measured[_HEIGHT]
        variance = self._variance(height, 2 * _POSITION, 1e-2)
        self.append(measured, variance, self._variance(height, 10 * _VELOCITY, 1e-5))

    def move(self, steps: Steps, missed: Rows) -> None:
        self.velocity[_HEIGHT, missed] = 0  # as published: a lost box neither grows nor shrinks
        height = self.position[_HEIGHT]
        noise = self._variance(height, _POSITION, 1e-2)
        self.predict(steps, noise, self._variance(height, _VELOCITY, 1e-5))

    def correct(self, rows: Rows, xyxy: Float64, score: Float64) -> None:  # noqa: ARG002
        noise = self._variance(self.position[_HEIGHT, rows], _POSITION, 1e-1)
        self.update(rows, self._measure(xyxy), noise)

    def boxes(self, position: Float64) -> Float64:
        return xyxy_from_cxcyah(position.T).T


class SizeFilters(HeightFilters):
    """State [x, y, w, h] and velocities (Aharon et al. 2022, BoT-SORT), all noise by the height.

    A width does not wait for the height that its ratio is to be multiplied with.
    """

    sizes = (1.0, 1.0)

    def _measure(self, xyxy: Float64) -> Float64:
        return cxcywh_from_xyxy(xyxy.T).T

    def _variance(self, height: Float64, part: float, aspect: float) -> Float64:  # noqa: ARG002
        sure: Float64 = np.square(part * np.maximum(height, _LEAST_HEIGHT))
        return np.broadcast_to(sure, (4, len(height)))

    def move(self, steps: Steps, missed: Rows) -> None:
        self.velocity[2, missed] = 0
        super().move(steps, missed)
        np.maximum(self.position[2:], _LEAST_SIZE, out=self.position[2:])

    def boxes(self, position: Float64) -> Float64:
        return xyxy_from_cxcywh(position.T).T
