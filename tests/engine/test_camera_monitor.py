"""What is said of a camera: its state, whether its picture moves, how old it is, what was lost."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.data import Frame
from pipeline.engine.camera_monitor import MAX_FROZEN_S, CameraMonitor, CameraStatus, FreezeDetector
from pipeline.engine.drops import MAX_RUNS, DropLog
from pipeline.engine.latency import STEP_S, LatencyTrend, LatencyWindow
from pipeline.engine.stats import SourceStats


def frame(at: float, picture: int = 0, shape: tuple[int, int] = (48, 64)) -> Frame:
    image = np.full((*shape, 3), picture, np.uint8)
    return Frame(image, "door", 0, at, at)


class Watched:
    """A monitor with its counters, and a clock that stands until it is set."""

    def __init__(self, *, live: bool = True) -> None:
        self.stats = SourceStats(live=live)
        self.now_s = 1000.0
        self.monitor = CameraMonitor(
            "door",
            live=live,
            stale_after_s=3,
            frozen_after_s=10,
            clock=lambda: self.now_s,
        )

    @property
    def status(self) -> CameraStatus:
        return self.monitor.status(self.stats, 0)

    def check_time(self, name: str, ago_s: float) -> None:
        """Assert that a time of the status, in Unix seconds, was so long ago."""
        before = time.time()
        found = getattr(self.status, name)
        assert before - 1e-3 <= found + ago_s <= time.time() + 1e-3


# -- states ---------------------------------------------------------------------------------------


def test_a_camera_goes_through_its_states() -> None:
    watched = Watched()
    assert watched.status.state == "connecting"
    watched.monitor.set_lost("door: no\nanswer", 7.0)
    lost = watched.status
    assert (lost.state, lost.error) == ("lost", "door: no answer")
    watched.check_time("next_try", -7)
    watched.monitor.add_frame(frame(watched.now_s, shape=(4, 6)))
    live = watched.status
    assert (live.state, live.error, live.next_try) == ("live", None, None)
    assert (live.width, live.height) == (6, 4)
    watched.monitor.set_ended("gone")
    watched.monitor.set_ended()
    assert (watched.status.state, watched.status.error) == ("ended", "gone")


def test_lost_counts_from_the_first_failure() -> None:
    """People ask since when a camera is away, not when it was last tried."""
    watched = Watched()
    watched.monitor.set_lost("first", 1.0)
    watched.now_s += 100
    watched.monitor.set_lost("second", 1.0)
    assert watched.status.error == "second"
    watched.check_time("since", 100)


def test_no_picture_for_long_is_stale_without_any_call() -> None:
    """A read that hangs tells nothing: it is the one who asks that must notice."""
    watched = Watched()
    watched.monitor.add_frame(frame(watched.now_s - 5))
    status = watched.status
    assert (status.state, status.warning) == ("stale", "no picture for 5 s")
    watched.check_time("since", 2)
    watched.monitor.add_frame(frame(watched.now_s))
    assert (watched.status.state, watched.status.warning) == ("live", None)


def test_the_same_picture_for_long_is_stale() -> None:
    watched = Watched()
    now = watched.now_s
    for second in range(13):
        assert watched.monitor.add_frame(frame(now - 12 + second, picture=7)) is False
    assert (watched.status.state, watched.status.warning) == ("stale", "the same picture for 12 s")
    watched.monitor.add_frame(frame(now, picture=8))
    assert watched.status.state == "live"


@pytest.mark.parametrize(("is_chosen", "silent_s"), [(False, 3), (True, 10)])
def test_pictures_that_are_seldom_on_request_are_not_overdue(
    is_chosen: bool, silent_s: float
) -> None:
    """With key frames only, four seconds apart, a camera was stale for a second before each."""
    watched = Watched()
    for n in range(5):
        at = watched.now_s - 16 + 4 * n
        watched.monitor.add_frame(frame(at, picture=n), is_chosen=is_chosen)
    watched.now_s += silent_s
    assert watched.status.state == "live"
    watched.now_s += 1
    assert watched.status.state == "stale"
    watched.check_time("since", ago_s=1)


def test_the_rate_is_what_arrived_lately() -> None:
    watched = Watched()
    now = watched.now_s
    for tenth in range(300, 0, -1):
        watched.monitor.add_frame(frame(now - tenth / 10, picture=tenth % 7))
    assert watched.status.fps == pytest.approx(10, rel=0.02)
    waited = Watched()  # while the camera was opened: a tile said 11.3 fps of a camera with six
    for sixth in range(12, 0, -1):
        filmed = replace(frame(now, picture=sixth % 7), pts_s=100 - sixth / 6)
        waited.monitor.add_frame(filmed)
    assert waited.status.fps == pytest.approx(6, rel=0.02)
    file = Watched(live=False)  # read at four times the rate of its times
    for tenth in range(40, 0, -1):
        file.monitor.add_frame(replace(frame(now - tenth / 40), pts_s=100 - tenth / 10))
    assert file.status.fps == pytest.approx(40, rel=0.05)
    gone = Watched()
    for tenth in range(50):
        gone.monitor.add_frame(frame(now - 9 + tenth / 10))
    assert gone.status.fps == pytest.approx(49 / 9, rel=0.02)


# -- frozen pictures ------------------------------------------------------------------------------


def test_a_picture_that_stands_still_is_reopened_after_ever_longer() -> None:
    freeze = FreezeDetector(60.0)
    reopened, second = [], 0.0
    while second < 4 * MAX_FROZEN_S:
        if freeze.is_reopen_due(freeze.update(frame(second))):
            reopened.append(second)
            freeze.restart(second)
        second += 1.0
    waits = np.diff([0, *reopened])
    assert waits.tolist() == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    freeze.update(frame(second, picture=1))
    assert freeze.is_reopen_due(freeze.update(frame(second + 60, picture=1)))


@pytest.mark.parametrize("shape", [(4, 6), (48, 64), (1080, 1920)])
def test_every_size_can_be_looked_at(shape: tuple[int, int]) -> None:
    freeze = FreezeDetector(60.0)
    for second in range(5):
        assert freeze.update(frame(second, 0, shape)) == second
    assert freeze.update(frame(5, 1, shape)) == 0


def test_a_small_thing_that_moves_is_seen() -> None:
    """A person far away is some twenty pixels high."""
    freeze, image = FreezeDetector(60.0), np.zeros((1080, 1920, 3), np.uint8)
    freeze.update(Frame(image.copy(), "door", 0, 0, 0))
    image[501:521, 700:708] = 200
    assert freeze.update(Frame(image, "door", 1, 1, 1)) == 0


# -- ages -----------------------------------------------------------------------------------------


def test_ages_are_those_of_the_last_minute() -> None:
    fresh = LatencyWindow()
    for second in range(100):
        fresh.add(second, 1000.0 if second < 40 else 50.0, 0.0, 0)
    age = fresh.summary(100)
    assert (age.now, age.p50, age.p99) == (50, 50, 50)
    assert fresh.summary(1000).p95 == 0


def growth(delays: list[float], epochs: list[int] | None = None) -> list[str | None]:
    """Return what is said when each delay lasts for ten seconds."""
    watch, said = LatencyTrend(), []
    for step, delay in enumerate(delays):
        for tenth in range(10):
            now = step * STEP_S + tenth * STEP_S / 10
            said.append(watch.add(now, delay, epochs[step] if epochs else 0))
    return [each for each in said if each]


def test_growing_latency_gives_one_warning() -> None:
    assert growth([100, 300, 500, 700, 900, 1100]) == ["pictures grow older: by 0.6 s within 30 s"]


@pytest.mark.parametrize(
    "delays",
    [
        [100] * 9,
        [100, 2000, 100, 2000, 100, 2000],
        [100, 140, 180, 220, 260, 300, 340],
        [5000, 100, 100, 100, 4000, 4000, 4000],
    ],
)
def test_latency_that_does_not_grow_gives_no_warning(delays: list[float]) -> None:
    assert growth(delays) == []


def test_a_new_epoch_begins_again() -> None:
    """Its timestamps count from elsewhere."""
    assert growth([0, 200, 400, 9000, 9000, 9000, 9000], [0, 0, 0, 1, 1, 1, 1]) == []


def test_the_warning_goes_when_the_pictures_are_fresh_again() -> None:
    watch = LatencyTrend()
    for step, delay in enumerate([100, 300, 500, 700, 900, 900, 120, 120]):
        for tenth in range(10):
            watch.add(step * STEP_S + tenth, delay, 0)
        if step == 5:
            assert watch.warning
    assert watch.warning is None


# -- losses ---------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["overrun", "stale", "old", ""]), max_size=400), st.data())
@pytest.mark.slow
def test_drops_are_reported_once_with_the_next_result(causes: list[str], data: st.DataObject):
    """Empty stands for a frame that was inferred; some of those are looked at late."""
    losses, told, expected = DropLog(), Counter[str](), Counter[str]()
    before = -1
    for index, cause in enumerate(causes):
        if cause:
            losses.add(index, cause)
            expected[cause] += 1
        elif data.draw(st.booleans()):
            now = losses.before(index)
            assert sum(now.values()) <= index - before - 1
            told.update(now)
            before = index
    told.update(losses.before(len(causes)))
    assert told == expected


def test_a_later_drop_is_not_reported_too_early() -> None:
    losses = DropLog()
    for index in (0, 1, 2, 5, 6, 7):
        losses.add(index, "overrun")
    assert losses.before(3) == {"overrun": 3}
    assert losses.before(6) == {"overrun": 1}
    assert losses.before(6) == {}
    assert losses.before(99) == {"overrun": 2}


def test_drops_that_are_never_read_take_no_memory() -> None:
    losses = DropLog()
    for index in range(100_000):
        losses.add(index, "old" if index % 2 else "stale")
    assert len(losses) <= MAX_RUNS
    assert losses.before(100_000) == {"old": 50_000, "stale": 50_000}
