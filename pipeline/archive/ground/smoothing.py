"""Kalman filter and fixed-interval smoother of positions on the plane, many tracks at once.

State (x, y, vx, vy); between rows the velocity drifts by white-noise acceleration (Bar-Shalom, Li &
Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section 6.2.2):
F = [I dt*I; 0 I], Q = q [dt^3/3 I, dt^2/2 I; dt^2/2 I, dt I]. Backwards by Rauch, Tung & Striebel
(the same, section 8.6.2). q is the mean of a few values for each piece of a track, weighted by
their likelihoods (of the innovations, section 5.4), so that steady and braking vehicles both have
true uncertainties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Long tracks are smoothed in pieces that overlap by far more than the smoother remembers.
_CORE, _OVERLAP = 512, 128
_AT_ONCE = 1024
"""Pieces that are smoothed at the same time: a step works on a few megabytes."""
_NOT_MEASURED = 1e4
"""Variance in m^2 of a row that says nothing; small enough to keep all digits of the others."""
_TIMES_Q = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)
_LOG_PRIOR_SD = np.log(8.0)
_MIN_FOR_SCALE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """N rows in order of segment and time.

    `t` f64[N] seconds; `xy` f64[N,2] metres and `covariance` f64[N,2,2] (any finite numbers where
    not `measured` bool[N]); `segment` i64[N], what belongs together has the same number;
    `acceleration_psd` f64[N] in m^2/s^3 and `speed_sd` f64[N] m/s: usual values, by class.
    """

    t: Floats
    xy: Floats
    covariance: Floats
    measured: NDArray[np.bool_]
    segment: Ints
    acceleration_psd: Floats
    speed_sd: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """Stretches of rows that are smoothed at the same time, the longest first.

    Piece k works on the rows `first[k]` and the `length[k]` - 1 after it, in places `offset[k]` and
    on of the work arrays; what it finds counts for rows `keep_first[k]` up to `keep_end[k]`.
    """

    first: Ints
    length: Ints
    offset: Ints
    keep_first: Ints
    keep_end: Ints

    def active(self, step: int) -> int:
        """Return how many pieces have more than `step` rows."""
        return int(np.searchsorted(-self.length, -step, side="left"))


def smooth(rows: Measurements) -> tuple[Floats, Floats]:
    """Return states f64[N,4] (x, y, vx, vy in m and m/s) and their covariances f64[N,4,4]."""
    count = len(rows.t)
    states, covariances = np.empty((count, 4)), np.empty((count, 4, 4))
    if not count:
        return states, covariances
    arrays = _Arrays.of(rows)
    for pieces in _cut(rows.segment):
        walk = _Walk(arrays, pieces)
        times_q, scale = _best_acceleration(walk)
        x, p = _filter(walk, times_q)
        _smooth_back(walk, times_q, x, p)
        p *= np.repeat(scale, pieces.length)
        # The place of each row that counts in the work arrays.
        kept = pieces.keep_end - pieces.keep_first
        at = np.repeat(pieces.offset + pieces.keep_first - pieces.first, kept)
        at += np.arange(len(at)) - np.repeat(np.cumsum(kept) - kept, kept)
        row = at - np.repeat(pieces.offset - pieces.first, kept)
        states[row], covariances[row] = x[:, at].T, p[:, :, at].transpose(2, 0, 1)
    return states, covariances


def _cut(segment: Ints) -> Iterator[_Pieces]:
    """Yield the pieces of all segments, the longest first, as many as are smoothed at once."""
    starts = np.flatnonzero(np.diff(segment, prepend=segment[0] - 1))
    ends = np.append(starts[1:], len(segment))
    keep_first, keep_end, first, end = [], [], [], []
    for a, b in zip(starts.tolist(), ends.tolist(), strict=True):
        whole = b - a <= _CORE + 2 * _OVERLAP
        for core in (a,) if whole else range(a, b, _CORE):
            stop = b if whole else min(core + _CORE, b)
            keep_first.append(core)
            keep_end.append(stop)
            first.append(max(a, core - _OVERLAP))
            end.append(min(b, stop + _OVERLAP))
    every = np.array((first, end, keep_first, keep_end), np.int64)
    every = every[:, np.argsort(every[0] - every[1], kind="stable")]
    for place in range(0, every.shape[1], _AT_ONCE):
        some = every[:, place : place + _AT_ONCE]
        length = some[1] - some[0]
        offset = np.concatenate([[0], np.cumsum(length)[:-1]])
        yield _Pieces(some[0], length, offset, some[2], some[3])


@dataclass(frozen=True, slots=True, eq=False)
class _Arrays:
    """The measurements with numbers of a kind side by side: `xy` [2,N], `covariance` [2,2,N]."""

    rows: Measurements
    xy: Floats
    covariance: Floats
    dt: Floats

    @classmethod
    def of(cls, rows: Measurements) -> _Arrays:
        """Return them; rows that are not measured say nothing."""
        covariance = np.where(
            rows.measured[:, None, None], rows.covariance, np.eye(2) * _NOT_MEASURED
        )
        xy = np.ascontiguousarray(rows.xy.T)
        columns = np.ascontiguousarray(covariance.transpose(1, 2, 0))
        return cls(rows, xy, columns, np.diff(rows.t, prepend=rows.t[0]))


class _Walk:
    """The measurements of each step of all pieces that have it; pieces are the last axis.

    With numbers of a kind side by side in memory, a step is a few sums over long arrays; small
    matrices one by one took ten times as long.
    """

    def __init__(self, arrays: _Arrays, pieces: _Pieces) -> None:
        self.pieces = pieces
        self.steps = int(pieces.length[0])
        self._rows = arrays.rows
        self._xy, self._covariance, self._dt = arrays.xy, arrays.covariance, arrays.dt
        self._psd = arrays.rows.acceleration_psd[pieces.first]

    def first(self, *shape: int) -> tuple[Floats, Floats]:
        """Return states [4,...,K] and covariances [4,4,...,K] at the first rows of K pieces."""
        at = self.pieces.first
        x, p = np.zeros((4, *shape, len(at))), np.zeros((4, 4, *shape, len(at)))
        wide = (slice(None), *[None] * len(shape))
        x[:2] = self._xy[:, at][wide]
        p[:2, :2] = self._covariance[:, :, at][(slice(None), *wide)]
        p[2, 2] = p[3, 3] = self._rows.speed_sd[at] ** 2
        return x, p

    def measured(self, step: int) -> NDArray[np.bool_]:
        """Return which pieces have a measurement at this step."""
        return self._rows.measured[self.pieces.first[: self.pieces.active(step)] + step]

    def dt(self, step: int) -> Floats:
        """Return the seconds since the step before."""
        dt: Floats = self._dt[self.pieces.first[: self.pieces.active(step)] + step]
        return dt

    def predicted(self, step: int, times_q: Floats, x: Floats, p: Floats) -> tuple[Floats, Floats]:
        """Return F x and F P F' + Q for the pieces that have this step; `times_q` [...,K]."""
        dt = self.dt(step)
        n = len(dt)
        q = self._psd[:n] * times_q[..., :n]
        x, p = x[..., :n].copy(), p[..., :n].copy()
        x[:2] += dt * x[2:]
        p[:, :2] += dt * p[:, 2:]
        p[:2] += dt * p[2:]
        place, both, speed = q * dt**3 / 3, q * dt**2 / 2, q * dt
        for axis in (0, 1):
            p[axis, axis] += place
            p[axis, axis + 2] += both
            p[axis + 2, axis] += both
            p[axis + 2, axis + 2] += speed
        return x, p

    def updated(self, step: int, x: Floats, p: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return state and covariance with the step's positions, squared innovation, log det S."""
        at = self.pieces.first[: x.shape[-1]] + step
        wide = (slice(None), *[None] * (x.ndim - 2))
        away = self._xy[:, at][wide] - x[:2]
        spread = self._covariance[:, :, at][(slice(None), *wide)] + p[:2, :2]
        a, b, c = spread[0, 0], spread[0, 1], spread[1, 1]
        determinant = a * c - b * b
        a, b, c = c / determinant, -b / determinant, a / determinant  # the inverse
        gain_x, gain_y = p[:, 0] * a + p[:, 1] * b, p[:, 0] * b + p[:, 1] * c
        new_x = x + gain_x * away[0] + gain_y * away[1]
        new_p = p - gain_x[:, None] * p[0] - gain_y[:, None] * p[1]
        new_p += new_p.swapaxes(0, 1).copy()
        new_p *= 0.5
        nis = a * away[0] ** 2 + 2 * b * away[0] * away[1] + c * away[1] ** 2
        return new_x, new_p, nis, np.log(determinant)


def _best_acceleration(walk: _Walk) -> tuple[Floats, Floats]:
    """Return for each piece the factor on the usual q, and one on all covariances.

    The factor on covariances is above 1 where the innovations are larger than stated even so.
    """
    times = np.array(_TIMES_Q)[:, None]
    likelihoods, misfits = _likelihoods(walk, times)
    likelihoods -= 0.5 * (np.log(times) / _LOG_PRIOR_SD) ** 2
    weights = np.exp(likelihoods - likelihoods.max(axis=0))
    weights /= weights.sum(axis=0)
    # The mean, not the likeliest: a q too small makes errors look smaller than they are.
    return np.array(_TIMES_Q) @ weights, np.maximum(1.0, (misfits * weights).sum(axis=0))


def _likelihoods(walk: _Walk, times_q: Floats) -> tuple[Floats, Floats]:
    """Return [T,K] log likelihoods of K pieces by [T,1] factors, and mean squared innovations.

    The innovations are as stated where that mean is 1.
    """
    count = len(walk.pieces.length)
    times = np.repeat(times_q, count, axis=1)
    total, squares, counts = np.zeros(times.shape), np.zeros(times.shape), np.zeros(count)
    x, p = walk.first(len(times))
    for step in range(1, walk.steps):
        x, p = walk.predicted(step, times, x, p)
        x, p, nis, log_det = walk.updated(step, x, p)
        n = x.shape[-1]
        seen = walk.measured(step)
        total[:, :n] -= np.where(seen, 0.5 * (nis + log_det), 0.0)
        squares[:, :n] += np.where(seen, nis / 2, 0.0)
        counts[:n] += seen
    misfit = np.where(counts >= _MIN_FOR_SCALE, squares / np.maximum(counts, 1), 1.0)
    return total, misfit


def _filter(walk: _Walk, times_q: Floats) -> tuple[Floats, Floats]:
    """Return filtered states [4,M] and covariances [4,4,M] in the places of the pieces."""
    pieces = walk.pieces
    total = int(pieces.length.sum())
    every_x, every_p = np.empty((4, total)), np.empty((4, 4, total))
    x, p = walk.first()
    every_x[:, pieces.offset], every_p[:, :, pieces.offset] = x, p
    for step in range(1, walk.steps):
        x, p = walk.predicted(step, times_q, x, p)
        x, p, _, _ = walk.updated(step, x, p)
        at = pieces.offset[: x.shape[-1]] + step
        every_x[:, at], every_p[:, :, at] = x, p
    return every_x, every_p


def _smooth_back(walk: _Walk, times_q: Floats, every_x: Floats, every_p: Floats) -> None:
    """Turn filtered states and covariances into smoothed ones, in place."""
    for step in range(walk.steps - 1, 0, -1):
        dt = walk.dt(step)
        after = walk.pieces.offset[: len(dt)] + step
        x, p = every_x[:, after - 1], every_p[:, :, after - 1]
        ahead_x, ahead_p = walk.predicted(step, times_q, x, p)
        # F P: the rows of position gain dt times those of velocity.
        crossed = p.copy()
        crossed[:2] += dt * p[2:]
        gain = _solved(ahead_p, crossed).swapaxes(0, 1)
        every_x[:, after - 1] = x + _product(gain, (every_x[:, after] - ahead_x)[:, None])[:, 0]
        spread = _product(gain, every_p[:, :, after] - ahead_p)
        every_p[:, :, after - 1] = p + _product(spread, gain.swapaxes(0, 1))


def _product(a: Floats, b: Floats) -> Floats:
    """Return the products of matrices [I,J,K] and [J,L,K], as [I,L,K]."""
    found: Floats = a[:, 0, None] * b[0]
    for j in range(1, len(b)):
        found += a[:, j, None] * b[j]
    return found


def _solved(a: Floats, b: Floats) -> Floats:
    """Return x of a x = b for symmetric positive definite `a` [4,4,K] and `b` [4,L,K].

    By the decomposition L D L' (Golub & Van Loan, "Matrix Computations", section 4.1).
    """
    size = len(a)
    low = np.zeros_like(a)
    diagonal = np.empty((size, a.shape[-1]))
    x = b.copy()
    for j in range(size):
        scaled = low[j, :j] * diagonal[:j]
        diagonal[j] = a[j, j] - (low[j, :j] * scaled).sum(axis=0)
        for i in range(j + 1, size):
            low[i, j] = (a[i, j] - (low[i, :j] * scaled).sum(axis=0)) / diagonal[j]
        for k in range(j):
            x[j] -= low[j, k] * x[k]
    x /= diagonal[:, None]
    for j in range(size - 1, -1, -1):
        for k in range(j + 1, size):
            x[j] -= low[k, j] * x[k]
    return x
