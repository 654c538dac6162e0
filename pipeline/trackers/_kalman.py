"""Motion models: constant-velocity Kalman filters for the boxes of all tracks at once.

The trackers' filters (SORT, OC-SORT, ByteTrack) measure D numbers of a box and let each drift with
a velocity. Their transition, noise and starting covariances couple a number with its own velocity
and with nothing else, and so does every later covariance: the 2D x 2D filter decomposes exactly
into D filters of two states. Those have closed forms of a few products, so a step for every track
costs a few array operations and no matrix inverse.

A subclass of `BoxFilters` says which four numbers of a box are filtered and with how much noise:
centre, area and ratio (SORT), centre, aspect and height (ByteTrack), centre, width and height.
"""

from __future__ import annotations

import numpy as np

from pipeline.core.boxes import (
    cxcyah_from_xyxy,
    cxcysr_from_xyxy,
    cxcywh_from_xyxy,
    xyxy_from_cxcyah,
    xyxy_from_cxcysr,
    xyxy_from_cxcywh,
)
from pipeline.trackers._camera_motion import Similarity
from pipeline.trackers._track_table import Columns, Float64, Rows

POSITION, VELOCITY, VARIANCE, COVARIANCE, VELOCITY_VARIANCE = range(5)


class KalmanFilters:
    """n tracks of D axes: mean (x, v) and covariance ((pp, pv), (pv, vv)) of each axis.

    Noise is passed with each call, [D,1] for all tracks alike or [D,n] per track, so that filters
    whose noise grows with the box fit as well as those with constant matrices.
    """

    def __init__(self, axes: int) -> None:
        self._axes = axes
        self._columns = Columns(5 * axes)
        self._view()

    def _view(self) -> None:
        self.block: Float64 = self._columns.table.reshape(5, self._axes, len(self))

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def position(self) -> Float64:
        """f64[D,n], a view."""
        position: Float64 = self.block[POSITION]
        return position

    @property
    def velocity(self) -> Float64:
        """f64[D,n] per nominal frame, a view."""
        velocity: Float64 = self.block[VELOCITY]
        return velocity

    def append(self, measured: Float64, variance: Float64, velocity_variance: Float64) -> None:
        """Start tracks at `measured` [D,m], at rest, with the given initial variances."""
        fresh = np.zeros((5, *measured.shape))
        fresh[POSITION] = measured
        fresh[VARIANCE] = variance
        fresh[VELOCITY_VARIANCE] = velocity_variance
        self._columns.append(fresh.reshape(5 * self._axes, -1))
        self._view()

    def keep(self, rows: Rows) -> None:
        """Keep only `rows`, in that order."""
        self._columns.keep(rows)
        self._view()

    def save(self) -> Float64:
        """Return a copy of all the tracks' numbers, f64[5D,n]."""
        return self._columns.table.copy()

    def take(self, rows: Rows) -> Float64:
        """Return f64[5D,m], all the numbers of `rows`."""
        return self._columns.table.take(rows, 1)

    def put(self, rows: Rows, table: Float64) -> None:
        """Set all the numbers of `rows` to f64[5D,m]."""
        self._columns.table[:, rows] = table

    def load(self, table: Float64) -> None:
        """Restore what `save` returned; raises ValueError for another number of axes."""
        self._columns.load(table)
        self._view()

    def predict(self, steps: float | Float64, noise: Float64, velocity_noise: Float64) -> None:
        """Predict every track `steps` >= 0 nominal frames ahead (may be fractional).

        With f64[n] each track has its own number of steps. `noise` and `velocity_noise` are the
        variances that one frame adds. What n frames add is summed in closed form, so that one
        prediction over n frames equals n predictions over one: a dropped frame leaves the filter as
        if nothing had been seen in it. Frames of zero length add nothing. (Kalman 1960; the sums
        over k < n of 1, k and k^2.)
        """
        position, velocity, variance, covariance, velocity_variance = self.block
        position += steps * velocity
        moved = steps * velocity_variance
        moved += covariance
        covariance += moved
        covariance *= steps
        variance += covariance
        covariance[:] = moved
        if isinstance(steps, float | int) and steps == 1:
            variance += noise
        else:
            once = steps * (steps - 1) / 2
            variance += steps * noise + (once * (2 * steps - 1) / 3) * velocity_noise
            covariance += once * velocity_noise
        velocity_variance += steps * velocity_noise

    def update(self, rows: Rows, measured: Float64, variance: Float64) -> None:
        """Correct `rows` with `measured` [D,m] of the given measurement variance.

        The scalar form of K = P H' (H P H' + R)^-1; the posterior is written as K R, equal to
        (I - K H) P but never negative by rounding.
        """
        part = self.block.take(rows, 2)
        gain = part[VARIANCE : COVARIANCE + 1] / (part[VARIANCE] + variance)
        part[:VARIANCE] += gain * (measured - part[POSITION])
        part[VELOCITY_VARIANCE] -= gain[1] * part[COVARIANCE]
        np.multiply(gain, variance, out=part[VARIANCE : COVARIANCE + 1])
        self.block[:, :, rows] = part


Steps = float | Float64


class BoxFilters(KalmanFilters):
    """n Kalman filters over four numbers of a box. Boxes are passed as xyxy f64[4,n]."""

    def __init__(self) -> None:
        super().__init__(axes=4)

    sizes: tuple[float, float]
    """Exponents of the scale by which the third and fourth number grow with the box."""

    def start(self, xyxy: Float64) -> None:
        """Start a filter on each box, at rest."""
        raise NotImplementedError

    def predict_boxes(self, steps: Steps, missed: Rows) -> None:
        """Predict `steps` nominal frames ahead; `missed` rows had no detection last frame."""
        raise NotImplementedError

    def update_boxes(self, rows: Rows, xyxy: Float64, score: Float64) -> None:
        """Update `rows` with the boxes of detections with these scores."""
        raise NotImplementedError

    def xyxy(self) -> Float64:
        """Return the boxes f64[4,n] of the filters' current state."""
        return self.boxes(self.position)

    def boxes(self, position: Float64) -> Float64:
        """Return the boxes f64[4,m] of such positions."""
        raise NotImplementedError

    def warp(self, motion: Similarity) -> None:
        """Follow a camera that moved: transforms positions, velocities and their covariances."""
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


class AreaRatioFilters(BoxFilters):
    """State [u, v, s, r, du, dv, ds] of Bewley et al. 2016, section 3.2: noise the same for all."""

    sizes = (2.0, 0.0)

    def start(self, xyxy: Float64) -> None:
        self.append(cxcysr_from_xyxy(xyxy.T).T, SORT_START, SORT_VELOCITY_START)

    def predict_boxes(self, steps: Steps, missed: Rows) -> None:  # noqa: ARG002
        scale, rate = self.position[_SCALE], self.velocity[_SCALE]
        rate *= scale + steps * rate > 0  # as published: an area does not shrink through zero
        self.predict(steps, SORT_DRIFT, SORT_VELOCITY_DRIFT)

    def update_boxes(self, rows: Rows, xyxy: Float64, score: Float64) -> None:  # noqa: ARG002
        self.update(rows, cxcysr_from_xyxy(xyxy.T).T, SORT_MEASURED)

    def boxes(self, position: Float64) -> Float64:
        return xyxy_from_cxcysr(position.T).T


# ByteTrack's filter is DeepSORT's (Wojke et al. 2017): standard deviations in parts of the
# height, except the aspect ratio's, which are numbers of their own.
_POSITION, _VELOCITY = 1 / 20, 1 / 160
_HEIGHT = 3
_MIN_HEIGHT = 1.0
_MIN_SIZE = 1e-3


class AspectHeightFilters(BoxFilters):
    """State [x, y, a, h] and velocities of Zhang et al. 2022: noise in proportion to the height."""

    sizes = (0.0, 1.0)

    def _measure(self, xyxy: Float64) -> Float64:
        """Return the four numbers f64[4,n] of boxes."""
        return cxcyah_from_xyxy(xyxy.T).T

    def _variance(self, height: Float64, part: float, aspect: float) -> Float64:
        """Return f64[4,n]: (part * height)^2, and aspect^2 for the ratio."""
        variance = np.empty((4, len(height)))
        variance[:] = np.square(part * np.maximum(height, _MIN_HEIGHT))
        variance[2] = aspect**2
        return variance

    def start(self, xyxy: Float64) -> None:
        measured = self._measure(xyxy)
        height = measured[_HEIGHT]
        variance = self._variance(height, 2 * _POSITION, 1e-2)
        self.append(measured, variance, self._variance(height, 10 * _VELOCITY, 1e-5))

    def predict_boxes(self, steps: Steps, missed: Rows) -> None:
        self.velocity[_HEIGHT, missed] = 0  # as published: a lost box neither grows nor shrinks
        height = self.position[_HEIGHT]
        noise = self._variance(height, _POSITION, 1e-2)
        self.predict(steps, noise, self._variance(height, _VELOCITY, 1e-5))
        # Unlike the published filter: over a gap, a box that shrank would turn inside out.
        np.maximum(self.position[2:], _MIN_SIZE, out=self.position[2:])

    def update_boxes(self, rows: Rows, xyxy: Float64, score: Float64) -> None:  # noqa: ARG002
        noise = self._variance(self.position[_HEIGHT, rows], _POSITION, 1e-1)
        self.update(rows, self._measure(xyxy), noise)

    def boxes(self, position: Float64) -> Float64:
        return xyxy_from_cxcyah(position.T).T


class WidthHeightFilters(AspectHeightFilters):
    """State [x, y, w, h] and velocities (Aharon et al. 2022, BoT-SORT), all noise by the height.

    The width is filtered directly instead of as a ratio of the height.
    """

    sizes = (1.0, 1.0)

    def _measure(self, xyxy: Float64) -> Float64:
        return cxcywh_from_xyxy(xyxy.T).T

    def _variance(self, height: Float64, part: float, aspect: float) -> Float64:  # noqa: ARG002
        sure: Float64 = np.square(part * np.maximum(height, _MIN_HEIGHT))
        return np.broadcast_to(sure, (4, len(height)))

    def predict_boxes(self, steps: Steps, missed: Rows) -> None:
        self.velocity[2, missed] = 0
        super().predict_boxes(steps, missed)

    def boxes(self, position: Float64) -> Float64:
        return xyxy_from_cxcywh(position.T).T
