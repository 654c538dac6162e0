"""Times of live pictures: they follow the camera's stamps where those are good, and always grow."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pipeline.sources._stream.clock import Pacer, StreamClock

HZ = 90_000
BASE = Fraction(1, HZ)


def times(stamps: list[float | None], arrivals: list[float]) -> np.ndarray:
    clock = StreamClock(BASE)
    pairs = zip(stamps, arrivals, strict=True)
    return np.array([clock.seconds(None if s is None else round(s * HZ), a) for s, a in pairs])


def test_jitter_of_the_network_is_not_in_the_times() -> None:
    rng = np.random.default_rng(3)
    filmed = np.arange(250) / 25
    arrived = filmed + rng.uniform(0, 0.03, 250)
    found = times([*filmed], [*np.maximum.accumulate(arrived)])
    steps = np.diff(found)
    assert np.abs(steps - 0.04).max() < 0.002
    assert np.abs(found - filmed).max() < 0.05


def test_pictures_held_up_and_flushed_at_once_keep_their_times() -> None:
    filmed = np.arange(250) / 25
    arrived = np.where((filmed > 3) & (filmed < 5), 5.0 + filmed / 1e3, filmed)
    found = times([*filmed], [*arrived])
    assert (np.diff(found) > 0).all()
    assert np.abs(found[130:] - filmed[130:]).max() < 0.6
    assert np.diff(found).max() < 0.1


@pytest.mark.parametrize("late_s", [0.2, 1.2, 4.0])
def test_pictures_left_out_while_they_were_late_take_their_time(late_s: float) -> None:
    """After a second left out to catch up, all times were most of it behind for many seconds."""
    filmed = np.delete(np.arange(200) / 25, slice(10, 10 + round(late_s * 25)))
    arrived = np.concatenate([filmed[:10] * (1 + late_s / 0.36), np.maximum(filmed[10:], late_s)])
    found = times([*filmed], [*arrived])
    np.testing.assert_allclose(found, filmed, atol=0.3)


@pytest.mark.parametrize("rate", [12.5, 50.0])
def test_stamps_of_a_wrong_rate_are_followed_at_the_real_one(rate: float) -> None:
    """Cameras that stamp 25 pictures a second and send 12 are common at night."""
    stamps = np.arange(1000) / 25
    arrived = np.arange(1000) / rate
    found = times([*stamps], [*arrived])
    late = arrived - found
    assert np.abs(late[-200:] - late[-1]).max() < 0.3, "it runs away"
    assert np.abs(late).max() < 5


@pytest.mark.parametrize(
    "bad",
    [
        lambda n: None,
        lambda n: 7.0,
        lambda n: n / 25 + (3600 if n > 50 else 0),
        lambda n: n / 25 - (3600 if n > 50 else 0),
        lambda n: 100 - n / 25,
        lambda n: (n * 7919 % 100) / 3,
    ],
    ids=["missing", "same", "jump ahead", "jump back", "backwards", "random"],
)
def test_bad_stamps_leave_the_arrivals(bad) -> None:
    arrivals = [n / 25 for n in range(100)]
    found = times([bad(n) for n in range(100)], arrivals)
    assert (np.diff(found) > 0).all()
    assert np.abs(found - arrivals).max() < 0.8


def test_a_segment_is_paced_and_a_late_one_is_not_hurried() -> None:
    pacer = Pacer(BASE)
    due = [pacer.due(round(n / 25 * HZ), 10.0) for n in range(25)]
    np.testing.assert_allclose(np.diff(due), 0.04, atol=1e-4)
    assert pacer.due(HZ, 12.0) == 12.0
    assert pacer.due(HZ * 500, 12.01) == 12.01
    assert pacer.due(None, 12.02) == 12.02


def test_pictures_that_are_far_apart_on_request_are_paced() -> None:
    """Key frames of a segment, two seconds apart, came at once: all but one were dropped."""
    pacer = Pacer(BASE, 10.0)
    due = [pacer.due(round(2 * n * HZ), 5.0) for n in range(4)]
    np.testing.assert_allclose(np.diff(due), 2.0, atol=1e-4)
