"""The stacked filters beside filterpy's, and what time must not change about them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reference_sort import published_filter

from pipeline.trackers import _kalman as sort
from pipeline.trackers._kalman import KalmanFilters


def sort_tracks(measured) -> KalmanFilters:
    tracks = KalmanFilters(4)
    tracks.append(measured, sort.SORT_START, sort.SORT_VELOCITY_START)
    return tracks


def seven_states(tracks: KalmanFilters, row: int):
    """The paper's state f64[7] and covariance f64[7,7] of one track."""
    x, v, pp, pv, vv = tracks.block[:, :, row]
    mean = np.concatenate((x, v[:3]))
    covariance = np.diag(np.concatenate((pp, vv[:3])))
    for axis in range(3):
        covariance[axis, axis + 4] = covariance[axis + 4, axis] = pv[axis]
    return mean, covariance


def step(tracks: KalmanFilters, frames: float = 1.0) -> None:
    tracks.predict(frames, sort.SORT_DRIFT, sort.SORT_VELOCITY_DRIFT)


def random_measurements(rng, n: int):
    return np.stack(
        (
            rng.uniform(0, 1920, n),
            rng.uniform(0, 1080, n),
            rng.uniform(100, 40000, n),
            rng.uniform(0.2, 4, n),
        )
    )


def test_states_equal_filterpy_over_a_random_sequence():
    """A covariance kept as blocks must be the whole 7x7 filter, not an approximation of it."""
    rng = np.random.default_rng(1)
    start = random_measurements(rng, 5)
    ours = sort_tracks(start)
    theirs = [published_filter(column) for column in start.T]
    for _ in range(200):
        step(ours)
        for one in theirs:
            one.predict()
        rows = np.flatnonzero(rng.random(5) < 0.7)
        measured = start[:, rows] * rng.normal(1, 0.05, (4, len(rows)))
        ours.update(rows, measured, sort.SORT_MEASURED)
        for row, z in zip(rows, measured.T, strict=True):
            theirs[row].update(z.reshape(4, 1))
        for row, one in enumerate(theirs):
            mean, covariance = seven_states(ours, row)
            np.testing.assert_allclose(mean, one.x[:, 0], rtol=1e-9, atol=1e-6)
            np.testing.assert_allclose(covariance, one.P, rtol=1e-9, atol=1e-6)


def test_noise_of_each_track_its_own_equals_filterpy():
    """ByteTrack's noise grows with the box: [D,n] noise must do what a filter of its own does."""
    from filterpy import kalman

    heights = np.array([40.0, 200.0])
    noise, drift, velocity_drift = (heights / 20) ** 2, (heights / 15) ** 2, (heights / 160) ** 2
    at, seen = np.array([[100.0, 300.0]]), np.array([[107.0, 290.0]])
    ours = KalmanFilters(1)
    ours.append(at, 4 * noise, 100 * velocity_drift)
    ours.predict(1, drift, velocity_drift)
    ours.update(np.array([0, 1]), seen, noise)
    for row in range(2):
        one = kalman.KalmanFilter(dim_x=2, dim_z=1)
        one.x[0] = at[0, row]
        one.F[0, 1] = one.H[0, 0] = 1
        one.P = np.diag([4 * noise[row], 100 * velocity_drift[row]])
        one.Q = np.diag([drift[row], velocity_drift[row]])
        one.predict()
        one.update(seen[0, row], R=noise[row])
        np.testing.assert_allclose(ours.block[:2, 0, row], one.x[:, 0])
        np.testing.assert_allclose(ours.block[2:, 0, row], one.P[[0, 0, 1], [0, 1, 1]])


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 5))
def test_one_prediction_over_n_frames_equals_n_predictions(n, updates):
    """A dropped frame must leave the filter as a frame without detections does."""
    rng = np.random.default_rng(n)
    start = random_measurements(rng, 3)
    many, once = sort_tracks(start), sort_tracks(start)
    for tracks in (many, once):
        for k in range(updates):
            step(tracks)
            tracks.update(np.arange(3), start + k, sort.SORT_MEASURED)
    for _ in range(n):
        step(many)
    step(once, n)
    np.testing.assert_allclose(once.block, many.block, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(0, 300), max_size=20))
@pytest.mark.slow
def test_covariances_stay_positive_at_any_frame_interval(intervals):
    start = random_measurements(np.random.default_rng(0), 2)
    tracks = sort_tracks(start)
    for frames in intervals:
        step(tracks, frames)
        _, _, pp, pv, vv = tracks.block
        assert (pp > 0).all()
        assert (vv >= 0).all()
        assert (pp * vv - pv**2 >= -1e-6 * pp * vv).all()
        tracks.update(np.array([1]), start[:, 1:], sort.SORT_MEASURED)


def test_a_step_of_no_time_changes_nothing():
    tracks = sort_tracks(random_measurements(np.random.default_rng(0), 4))
    step(tracks)
    before = tracks.block.copy()
    step(tracks, 0.0)
    np.testing.assert_array_equal(tracks.block, before)


def test_rows_survive_growing_and_leaving():
    """Tracks keep their numbers while others come and go around them."""
    rng = np.random.default_rng(3)
    tracks = KalmanFilters(4)
    kept = np.empty((4, 0))
    for _ in range(60):
        fresh = random_measurements(rng, int(rng.integers(0, 9)))
        tracks.append(fresh, sort.SORT_START, sort.SORT_VELOCITY_START)
        kept = np.concatenate((kept, fresh), 1)
        rows = np.flatnonzero(rng.random(kept.shape[1]) < 0.9)
        tracks.keep(rows)
        kept = kept[:, rows]
        np.testing.assert_array_equal(tracks.position, kept)
        assert len(tracks) == kept.shape[1]


@pytest.mark.parametrize("n", [0, 3])
def test_updating_no_rows_changes_nothing(n):
    tracks = sort_tracks(random_measurements(np.random.default_rng(0), n))
    before = tracks.block.copy()
    tracks.update(np.empty(0, np.intp), np.empty((4, 0)), sort.SORT_MEASURED)
    np.testing.assert_array_equal(tracks.block, before)
