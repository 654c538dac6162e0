"""Constant-velocity Kalman filters for all tracks at once, shared by the trackers.

The trackers' filters (SORT, OC-SORT, ByteTrack) measure D numbers of a box and let each drift
with a velocity. Their transition, noise and starting covariances couple a number with its own
velocity and with nothing else, and so does every later covariance: the 2D x 2D filter falls
apart into D filters of two states, exactly. Those have closed forms of a few products, so a
step for every track costs a few array operations and no matrix inverse.
"""

from __future__ import annotations

import numpy as np

from pipeline.trackers._columns import Columns, Float64, Rows

POSITION, VELOCITY, VARIANCE, COVARIANCE, VELOCITY_VARIANCE = range(5)


class KalmanTracks:
    """n tracks of D axes: mean (x, v) and covariance ((pp, pv), (pv, vv)) of each axis.

    Noise is handed in with each call, [D,1] for all tracks alike or [D,n] for each its own, so
    that filters whose noise grows with the box fit as well as those with constant matrices.
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
        """Start tracks at `measured` [D,m], at rest, with the given starting variances."""
        fresh = np.zeros((5, *measured.shape))
        fresh[POSITION] = measured
        fresh[VARIANCE] = variance
        fresh[VELOCITY_VARIANCE] = velocity_variance
        self._columns.append(fresh.reshape(5 * self._axes, -1))
        self._view()

    def keep(self, rows: Rows) -> None:
        """Leave only `rows`, in that order."""
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
        """Hold what `save` returned; raises ValueError for another number of axes."""
        self._columns.load(table)
        self._view()

    def predict(self, steps: float | Float64, noise: Float64, velocity_noise: Float64) -> None:
        """Move every track `steps` >= 0 nominal frames ahead (need not be whole).

        With f64[n] each track has a number of its own.

        `noise` and `velocity_noise` are the variances that one frame adds. What n frames add is
        summed in closed form, so that one prediction over n frames equals n predictions over
        one: a dropped frame leaves the filter as if nothing had been seen in it. Frames of no
        length add nothing. (Kalman 1960; the sums over k < n of 1, k and k^2.)
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
