"""What a camera's figures say of the last ten seconds, rather than of the whole run."""

from __future__ import annotations

import pytest

from pipeline.engine.camera_monitor import CameraMonitor
from pipeline.engine.drops import DropRate
from pipeline.engine.stats import SourceStats, Stats, Waits


def after(seconds: range, delivered: int, dropped: int, recent: DropRate | None = None) -> DropRate:
    """So many frames of each kind in each of these seconds."""
    recent = recent or DropRate()
    for second in seconds:
        recent.add(float(second), delivered=delivered, dropped=dropped)
        recent.check(float(second))
    return recent


def test_frames_that_are_dropped_are_said() -> None:
    """A tile said 10.0 fps while 36 % of the pictures were dropped, and warned of nothing."""
    recent = after(range(30), 64, 36)
    assert recent.dropped_share(29.5) == pytest.approx(0.36)
    warning = recent.warning(29.5) or ""
    assert warning.startswith("36% of pictures dropped")


def test_a_warning_comes_once_and_goes_when_it_is_over() -> None:
    recent, told = DropRate(), []
    for second in range(60):
        recent.add(float(second), delivered=10, dropped=5 if second < 20 else 0)
        told.append(recent.check(float(second)) is not None)
    assert told.count(True) == 1
    assert recent.warning(59.0) is None
    assert recent.dropped_share(59.0) == 0


@pytest.mark.parametrize(
    ("seconds", "delivered", "dropped"),
    [
        (range(8), 5, 5),  # the first batches take longer
        (range(30), 99, 1),
        (range(30), 0, 0),
        (range(0, 40, 20), 1, 1),  # two frames are no share
    ],
)
def test_little_is_no_reason_to_warn(seconds: range, delivered: int, dropped: int) -> None:
    recent = after(seconds, delivered, dropped)
    assert recent.warning(float(seconds[-1])) is None


def test_the_last_seconds_count_and_not_the_run() -> None:
    recent = after(range(30, 45), 10, 0, after(range(20), 1, 9))
    assert recent.dropped_share(44.0) == 0
    assert recent.dropped_share(1000.0) == 0


def test_a_camera_says_how_much_is_analysed() -> None:
    """Both figures come with the status, which page, REST and metrics show."""
    stats = SourceStats(live=True)
    camera = CameraMonitor("door", live=True, stale_after_s=9, frozen_after_s=9)
    for cause in ("overrun", "old", "stale"):
        stats.drop(cause)
    stats.drop_frame(5, "undecoded")
    status = camera.status(stats, 0)
    assert status.analysed_fps <= status.fps
    assert stats.drop_rate.dropped_share(float("-inf")) == 1


def test_frames_that_were_not_asked_for_are_no_loss() -> None:
    stats = SourceStats(live=True)
    stats.drop_frame(1, "unwanted")
    assert stats.drops() == {"unwanted": 1}
    assert stats.drop_rate.dropped_share(float("-inf")) == 0


def test_what_limits_is_asked_of_the_last_seconds() -> None:
    """An hour without pictures at the start made "camera" the limit for the rest of the day."""
    times = iter((0.0, 0.0, 7200.0))
    stats = Stats({"door": True}, lambda: next(times))
    stats.begin()
    stats.end()
    stats.starved_s, stats.detector_s = 3600.0, 3590.0
    assert stats.limiting_stage() == "camera"
    assert stats.limiting_stage(Waits(7190.0, 3600.0, 3581.0)) == "infer"
