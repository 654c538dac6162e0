"""Live cameras: states, frozen and hanging ones, clocks that jump, outages nobody else notices."""

from __future__ import annotations

import random
import threading
import time
from itertools import pairwise

import pytest
from support.fakes import FakeDetector, FakeSource, Setup, camera, frames
from support.live_fakes import Camera, Live, check_gaps, hanging, until
from support.threads import Latch

from pipeline.core.errors import SourceError, SourceLostError

pytestmark = pytest.mark.timeout(60)


# -- what is lost, and how old the rest is ----------------------------------------------------


def test_every_result_has_the_drops_before_it() -> None:
    """Drops were only booked when the run was over; nobody could say which frames they were."""
    busy = Latch()
    seen = 0

    def detect(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            busy()

    setup = Setup(
        camera("door", [*frames(40), busy.open, *frames(40)]), detector=FakeDetector(detect)
    )
    results = list(setup.pipeline.results())
    setup.check_end()
    told = check_gaps(results)
    assert told == setup.stats("door").dropped
    assert sum(told.values()) == 80 - len(results) >= 37


def test_drops_can_be_read_while_they_happen() -> None:
    stuck = Latch()
    all_read = Latch()
    setup = Setup(
        camera("door", [*frames(30), all_read.open, stuck]),
        detector=FakeDetector(lambda *_: stuck()),
    )
    runner = threading.Thread(target=setup.pipeline.run)
    runner.start()
    all_read()
    status = setup.pipeline.cameras()["door"]
    assert (status.grabbed, status.delivered) == (30, 0)
    # One is being looked at, or about to be.
    assert sum(status.dropped.values()) + status.waiting in (29, 30)
    assert sum(status.dropped.values()) >= 27
    stuck.open()
    runner.join(15)
    setup.check_end()


@pytest.mark.slow
def test_no_frame_is_counted_twice_while_frames_flow() -> None:
    """What waited was counted before what was dropped: a frame between the two was in both."""
    over = Latch()
    setup = Setup(camera("door", [*frames(3000), over.open]))
    runner = threading.Thread(target=setup.pipeline.run)
    runner.start()
    seen = []
    while not over.is_open:
        status = setup.pipeline.cameras()["door"]
        counted = status.delivered + sum(status.dropped.values()) + status.waiting
        seen.append(status.grabbed - counted)
    runner.join(15)
    setup.check_end()
    assert min(seen, default=0) >= 0


def test_too_old_a_frame_is_counted_and_not_inferred() -> None:
    slow, other = Camera("slow"), FakeSource("file", frames(20))
    read = slow.read

    def late() -> object:
        frame = read()
        assert frame is not None
        if frame.index % 2:
            object.__setattr__(frame, "captured_at", frame.captured_at - 1.0)
        return frame

    slow.read = late  # type: ignore[method-assign,assignment]
    with Live(slow, other, max_age_ms=500) as live:
        live.wait_more("slow", 20)
        until(lambda: live.count("file") == 20)
    indices = [r.frame.index for r in live.results["slow"]]
    assert not [index for index in indices if index % 2]
    inferred = {i for batch in live.detector.batches for name, i in batch if name == "slow"}
    assert inferred >= set(indices)
    assert not [index for index in inferred if index % 2]
    assert live.pipeline.stats.sources["slow"].drops()["old"] >= 10


def test_a_result_says_how_old_it_is() -> None:
    with Live(Camera("door")) as live:
        live.wait_more("door", 20)
        status = live.status("door")
    ages = [result.age_ms for result in live.results["door"]]
    assert all(age > 0 for age in ages)
    assert min(ages) <= status.age_ms.p50 <= status.age_ms.p95 <= max(ages) + 0.1
    report = live.pipeline.stats.report()["sources"]["door"]["age"]
    assert set(report) == {"p50_ms", "p95_ms", "p99_ms"}


# -- states ---------------------------------------------------------------------------------------


def test_a_camera_is_lost_and_comes_back_with_another_size() -> None:
    door = Camera("door")
    door.plugged = False
    with Live(door, Camera("yard"), retry_first_s=0.01, retry_longest_s=0.02) as live:
        until(lambda: live.status("door").state == "lost")
        assert live.status("door").error == "source door: no answer"
        assert live.status("door").next_try
        door.plugged = True
        live.wait_more("door")
        status = live.status("door")
        assert (status.state, status.error, status.reconnects) == ("live", None, 0)
        assert (status.width, status.height) == (12, 8)
        door.plugged = False
        until(lambda: live.status("door").state == "lost")
        door.shape, door.plugged = (16, 20), True
        live.wait_more("door")
        status = live.status("door")
        assert (status.state, status.width, status.height) == ("live", 20, 16)
        assert status.reconnects == 1
    assert {r.frame.epoch for r in live.results["door"]} == {0, 1}
    assert live.status("door").state == "ended"


def test_a_hanging_read_is_stale_and_blocks_no_other_source() -> None:
    door = Camera("door")
    with Live(door, Camera("yard"), stale_after_s=0.05) as live:
        live.wait_more("door")
        with hanging(door):
            until(lambda: live.status("door").state == "stale")
            assert "no picture for" in (live.status("door").warning or "")
            live.wait_more("yard", 20)
            # 50 ms without a picture are nothing on a busy machine.
            until(lambda: live.status("yard").state == "live")
        live.wait_more("door")
        until(lambda: live.status("door").state == "live")


def test_a_run_ends_though_a_camera_hangs() -> None:
    door = Camera("door")
    live = Live(door, Camera("yard"), patience_s=0.05)
    with hanging(door), live:
        live.wait_more("yard")


@pytest.mark.slow
def test_a_picture_that_stands_still_is_stale_then_opened_again() -> None:
    door = Camera("door")
    door.frozen = True
    with Live(door, frozen_after_s=0.05) as live:
        until(lambda: live.status("door").state == "stale")
        assert "the same picture" in (live.status("door").warning or "")
        live.wait_more("door")
        until(lambda: live.status("door").reconnects)
        door.frozen = False
        until(lambda: live.status("door").state == "live")
    assert door.opened >= 2


def test_time_never_goes_back_within_an_epoch() -> None:
    door = Camera("door")
    with Live(door) as live:
        live.wait_more("door")
        for shift_s in (-0.5, -7.0, 60.0, float("nan"), 0.0):
            door.pts_shift_s = shift_s
            live.wait_more("door", 5)
    results = live.results["door"]
    for before, after in pairwise(results):
        assert after.frame.epoch >= before.frame.epoch
        if after.frame.epoch == before.frame.epoch:
            assert after.frame.pts_s >= before.frame.pts_s
    # Back by 6.5 s, and by 60 s; half a second is nothing.
    assert results[-1].frame.epoch == 2
    assert live.status("door").reconnects == 0


@pytest.mark.parametrize("error", [KeyError("stream"), SourceError("door: unknown codec")])
def test_a_server_tries_a_camera_that_fails_for_whatever_reason_again(error: Exception) -> None:
    """One camera's bug must not take the others from the page."""
    door = FakeSource("door", [*frames(2), error], error, [*frames(3), lambda: latch()], live=True)
    latch = Latch()
    with Live(door, Camera("yard")) as live:
        until(lambda: door.opened == 3 and live.count("door") >= 1)
        live.wait_more("yard")
        latch.open()
    assert live.pipeline.stats.sources["door"].grabbed == 5


def test_the_same_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A camera that is off over a weekend filled the log with a line every half minute."""
    lost = SourceLostError("door: off")
    setup = Setup(camera("door", lost, lost, lost, SourceLostError("door: busy"), frames(1)))
    setup.pipeline.run()
    lines = [r.message.partition(";")[0] for r in caplog.records if r.levelname == "WARNING"]
    assert lines == ["door: off", "door: busy"]


# -- outages --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_outages_of_some_cameras_cost_the_others_no_frame() -> None:
    """Measure 2 in small; benchmarks/outages.py is the large one."""
    cameras = [Camera(f"cam{i}", every_s=0.02) for i in range(8)]
    rng = random.Random(6)
    with Live(*cameras, stale_after_s=0.2, retry_first_s=0.02, retry_longest_s=0.05) as live:
        for each in cameras:
            live.wait_more(each.name)
        for _ in range(12):
            victim = rng.choice(cameras)
            if rng.random() < 0.5:
                victim.plugged = False
            else:
                victim.hung = True
            time.sleep(0.05)
            victim.shape = rng.choice([(8, 12), (16, 20)])
            victim.plugged, victim.hung = True, False
            live.wait_more(victim.name)
        until(lambda: {live.status(each.name).state for each in cameras} == {"live"})
    for each in cameras:
        stats = live.pipeline.stats.sources[each.name]
        assert stats.grabbed in (each.given, each.given - 1), "a frame was read and not counted"
