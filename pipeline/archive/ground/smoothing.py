"""Kalman filter and fixed-interval smoother of positions on the plane, many tracks at once.

State (x, y, vx, vy); between rows the velocity drifts by white-noise acceleration (Bar-Shalom, Li &
Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section 6.2.2):
F = [I dt*I; 0 I], Q = q [dt^3/3 I, dt^2/2 I; dt^2/2 I, dt I]. Backwards by Rauch, Tung & Striebel
(the same, section 8.6.2). q is the mean of a few values for each piece of a track, weighted by
their likelihoods (of the innovations, section 5.4), so that steady and braking vehicles both have
true uncertainties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Long tracks are smoothed in pieces that overlap by far more than the smoother remembers.
_CORE, _OVERLAP = 512, 128
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
    covariance = rows.covariance.copy()
    covariance[~rows.measured] = np.eye(2) * _NOT_MEASURED
    rows = Measurements(
        rows.t, rows.xy, covariance, rows.measured, rows.segment, rows.acceleration_psd,
        rows.speed_sd,
    )  # fmt: skip
    pieces = _cut(rows.segment)
    times_q, scale = _best_acceleration(rows, pieces)
    x, p = _filter(rows, pieces, times_q)
    _smooth_back(rows, pieces, times_q, x, p)
    p *= np.repeat(scale, pieces.length)[:, None, None]
    for first, offset, keep_first, keep_end in zip(
        pieces.first, pieces.offset, pieces.keep_first, pieces.keep_end, strict=True
    ):
        at = slice(offset + keep_first - first, offset + keep_end - first)
        states[keep_first:keep_end], covariances[keep_first:keep_end] = x[at], p[at]
    return states, covariances


def _cut(segment: Ints) -> _Pieces:
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
    length = np.array(end) - np.array(first)
    order = np.argsort(-length, kind="stable")
    length = length[order]
    offset = np.concatenate([[0], np.cumsum(length)[:-1]])
    return _Pieces(
        np.array(first)[order], length, offset, np.array(keep_first)[order],
        np.array(keep_end)[order],
    )  # fmt: skip


def _best_acceleration(rows: Measurements, pieces: _Pieces) -> tuple[Floats, Floats]:
    """Return for each piece the factor on the usual q, and one on all covariances.

    The factor on covariances is above 1 where the innovations are larger than stated even so.
    """
    found = []
    for times in _TIMES_Q:
        likelihood, misfit = _likelihood(rows, pieces, np.full(len(pieces.length), times))
        found.append((likelihood - 0.5 * (np.log(times) / _LOG_PRIOR_SD) ** 2, misfit))
    likelihoods, misfits = np.array(found).transpose(1, 0, 2)
    weights = np.exp(likelihoods - likelihoods.max(axis=0))
    weights /= weights.sum(axis=0)
    # The mean, not the likeliest: a q too small makes errors look smaller than they are.
    return np.array(_TIMES_Q) @ weights, np.maximum(1.0, (misfits * weights).sum(axis=0))


def _likelihood(rows: Measurements, pieces: _Pieces, times_q: Floats) -> tuple[Floats, Floats]:
    """Return the log likelihood of each piece and its mean squared innovation (1: as stated)."""
    total, squares, counts = (np.zeros(len(pieces.length)) for _ in range(3))
    x, p = _first(rows, pieces)
    for step in range(1, int(pieces.length[0])):
        n = pieces.active(step)
        x, p = _predicted(rows, pieces, times_q, x[:n], p[:n], step)
        x, p, nis, log_det = _updated(rows, pieces.first[:n] + step, x, p)
        seen = rows.measured[pieces.first[:n] + step]
        total[:n] -= np.where(seen, 0.5 * (nis + log_det), 0.0)
        squares[:n] += np.where(seen, nis / 2, 0.0)
        counts[:n] += seen
    misfit = np.where(counts >= _MIN_FOR_SCALE, squares / np.maximum(counts, 1), 1.0)
    return total, misfit


def _first(rows: Measurements, pieces: _Pieces) -> tuple[Floats, Floats]:
    at, n = pieces.first, len(pieces.first)
    x, p = np.zeros((n, 4)), np.zeros((n, 4, 4))
    x[:, :2] = rows.xy[at]
    p[:, :2, :2] = rows.covariance[at]
    p[:, 2, 2] = p[:, 3, 3] = rows.speed_sd[at] ** 2
    return x, p


def _filter(rows: Measurements, pieces: _Pieces, times_q: Floats) -> tuple[Floats, Floats]:
    """Return filtered states and covariances in the places of the pieces."""
    total = int(pieces.length.sum())
    every_x, every_p = np.empty((total, 4)), np.empty((total, 4, 4))
    x, p = _first(rows, pieces)
    every_x[pieces.offset], every_p[pieces.offset] = x, p
    for step in range(1, int(pieces.length[0])):
        n = pieces.active(step)
        x, p = _predicted(rows, pieces, times_q, x[:n], p[:n], step)
        x, p, _, _ = _updated(rows, pieces.first[:n] + step, x, p)
        every_x[pieces.offset[:n] + step], every_p[pieces.offset[:n] + step] = x, p
    return every_x, every_p


def _smooth_back(
    rows: Measurements, pieces: _Pieces, times_q: Floats, every_x: Floats, every_p: Floats
) -> None:
    """Turn filtered states and covariances into smoothed ones, in place."""
    for step in range(int(pieces.length[0]) - 1, 0, -1):
        n = pieces.active(step)
        here, after = pieces.offset[:n] + step - 1, pieces.offset[:n] + step
        x, p = every_x[here], every_p[here]
        ahead_x, ahead_p = _predicted(rows, pieces, times_q, x, p, step)
        # P F': the columns of position gain dt times those of velocity.
        crossed = p.copy()
        crossed[:, :, :2] += _dt(rows, pieces, n, step)[:, None, None] * p[:, :, 2:]
        gain = crossed @ np.linalg.inv(ahead_p)
        every_x[here] = x + (gain @ (every_x[after] - ahead_x)[:, :, None])[:, :, 0]
        every_p[here] = p + gain @ (every_p[after] - ahead_p) @ gain.transpose(0, 2, 1)


def _dt(rows: Measurements, pieces: _Pieces, n: int, step: int) -> Floats:
    at = pieces.first[:n] + step
    dt: Floats = rows.t[at] - rows.t[at - 1]
    return dt


def _predicted(
    rows: Measurements, pieces: _Pieces, times_q: Floats, x: Floats, p: Floats, step: int
) -> tuple[Floats, Floats]:
    """Return F x and F P F' + Q for the pieces that have row `step`."""
    n = len(x)
    dt = _dt(rows, pieces, n, step)
    q = rows.acceleration_psd[pieces.first[:n]] * times_q[:n]
    ahead_x, ahead_p = x.copy(), p.copy()
    ahead_x[:, :2] += dt[:, None] * x[:, 2:]
    wide = dt[:, None, None]
    ahead_p[:, :, :2] += wide * p[:, :, 2:]
    ahead_p[:, :2, :] += wide * ahead_p[:, 2:, :]
    for axis in (0, 1):
        ahead_p[:, axis, axis] += q * dt**3 / 3
        ahead_p[:, axis, axis + 2] += q * dt**2 / 2
        ahead_p[:, axis + 2, axis] += q * dt**2 / 2
        ahead_p[:, axis + 2, axis + 2] += q * dt
    return ahead_x, ahead_p


def _updated(
    rows: Measurements, at: Ints, x: Floats, p: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return state and covariance with the row's position, its squared innovation, log det S."""
    spread = p[:, :2, :2] + rows.covariance[at]
    a, b, c = spread[:, 0, 0], spread[:, 0, 1], spread[:, 1, 1]
    determinant = a * c - b * b
    inverse = np.empty_like(spread)
    inverse[:, 0, 0], inverse[:, 1, 1] = c / determinant, a / determinant
    inverse[:, 0, 1] = inverse[:, 1, 0] = -b / determinant
    gain = p[:, :, :2] @ inverse
    away = rows.xy[at] - x[:, :2]
    new_x = x + (gain @ away[:, :, None])[:, :, 0]
    new_p = p - gain @ p[:, :2, :]
    new_p = (new_p + new_p.transpose(0, 2, 1)) / 2
    nis = ((inverse @ away[:, :, None])[:, :, 0] * away).sum(axis=1)
    return new_x, new_p, nis, np.log(determinant)
