"""The system's clock set by an hour while the program runs: who must notice, and who must not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.fakes import boxes
from support.live_fakes import Camera, until
from support.watched_run import OneObjectDetector, WatchedRun

from pipeline.core.data import Detections, Frame
from pipeline.core.run_info import unix_time
from pipeline.events.store.records import EventQuery, StoredEvent

pytestmark = pytest.mark.timeout(60)

HOUR_S = 3600.0
SOON_S = 120.0
"""What may pass on a busy machine; much less than an hour."""


class SystemClock:
    """`time.time`, which somebody may set; the monotonic clock goes on as it does."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._real = time.time

    def __call__(self) -> float:
        return self._real() + self.ahead_s


class Passer(OneObjectDetector):
    """Finds one object until it is gone."""

    there = True

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        found = super().detect(frames)
        return found if self.there else [boxes() for _ in frames]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SystemClock:
    clock = SystemClock()
    monkeypatch.setattr(time, "time", clock)
    return clock


def events(run: WatchedRun, kind: str) -> Sequence[StoredEvent]:
    return run.events.query(EventQuery(camera="door", kind=kind))


@pytest.mark.slow
@pytest.mark.parametrize("by_s", [-HOUR_S, HOUR_S])
def test_a_run_goes_on_as_if_nothing_had_happened(
    by_s: float, clock: SystemClock, tmp_path: Path
) -> None:
    """A small computer finds its time server after the cameras: nobody may be thrown out for it.

    Presentation times, ages, waits and stays are of the monotonic clock; what people are told as a
    time of day is of the system's.
    """
    away = Camera("away")
    away.plugged = False
    passer = Passer(batch_size=8)
    run = WatchedRun(
        tmp_path, Camera("door"), away, detector=passer, retry_first_s=20, retry_longest_s=20
    )
    with run.live as live:
        until(lambda: events(run, "enter") and live.status("away").state == "lost")
        live.wait_more("door", 10)
        tried_in_s = live.status("away").next_try_in_s

        clock.ahead_s = by_s
        live.wait_more("door", 10)
        door, gone = run.camera("door"), live.status("away")
        assert (door.state, gone.state) == ("live", "lost")
        assert abs(door.since - clock()) < SOON_S
        assert 0 <= door.age_ms.now < SOON_S * 1e3
        assert run.backend.healthy()
        assert tried_in_s is not None
        assert gone.next_try_in_s is not None
        assert gone.next_try_in_s <= tried_in_s
        assert gone.next_try == pytest.approx(clock() + gone.next_try_in_s, abs=SOON_S)
        shown = run.hub.latest("door")
        assert shown is not None
        assert abs(shown.time - clock()) < SOON_S
        assert run.inside("door") == 1

        passer.there = False
        left = until_there(run, "leave")
    came = events(run, "enter")[0]
    assert abs(left.time - clock()) < SOON_S, "what happens is told by the clock as it is now"
    assert abs(came.time + by_s - clock()) < SOON_S, "what was told stays as it was told"
    assert 0 < left.dwell_s < SOON_S
    assert left.track_id == came.track_id

    results = live.results["door"]
    steps = np.diff([result.frame.pts_s for result in results])
    assert ((steps >= 0) & (steps < SOON_S)).all()
    assert all(0 <= result.age_ms < SOON_S * 1e3 for result in results)
    assert {result.frame.epoch for result in results} == {0}


def until_there(run: WatchedRun, kind: str) -> StoredEvent:
    until(lambda: events(run, kind))
    return events(run, kind)[0]


@pytest.mark.parametrize("by_s", [-HOUR_S, HOUR_S])
def test_moments_that_are_past_move_with_the_clock(by_s: float, clock: SystemClock) -> None:
    """Times beside each other on the page must be of one clock, or an hour seems to lie between."""
    then = time.monotonic()
    before = unix_time(then)
    clock.ahead_s = by_s
    assert unix_time(then) - before == pytest.approx(by_s, abs=1)
