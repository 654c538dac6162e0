"""Cameras: what is lost and counted, reconnects, and that nobody else notices."""

from __future__ import annotations

import threading
import time

import pytest
from support.fakes import FakeDetector, FakeSink, FakeSource, Setup, camera, frames
from support.live_fakes import until
from support.threads import Latch

from pipeline.core.backoff import Backoff
from pipeline.core.errors import SourceLostError
from pipeline.core.ring_buffer import RingBuffer
from pipeline.engine.camera_monitor import CameraMonitor
from pipeline.engine.grabber import Grabbed, Grabber, GrabRules
from pipeline.engine.stats import SourceStats

pytestmark = pytest.mark.timeout(60)

LOST = SourceLostError("door: no answer")


def test_dropped_frames_are_counted_and_show_as_gaps() -> None:
    all_read = Latch()
    setup = Setup(
        camera("door", [*frames(50), all_read.open]),
        detector=FakeDetector(lambda *_: all_read()),
    )
    indices = [result.frame.index for result in setup.pipeline.results()]
    setup.check_end()
    stats = setup.stats("door")
    assert stats.grabbed == 50
    assert indices[-1] == 49, "the newest frame was not the one that was kept"
    assert stats.delivered == len(indices) <= 2
    assert set(+stats.dropped) <= {"overrun", "stale"}


def test_a_slow_sink_makes_a_camera_drop_and_not_wait() -> None:
    all_read = Latch()
    setup = Setup(
        camera("door", [*frames(300), all_read.open]),
        sinks={"slow": FakeSink(all_read, heavy=True)},
    )
    results = list(setup.pipeline.results())
    setup.check_end()
    assert setup.stats("door").grabbed == 300
    # Behind the ring: one being written, four queued, one in hand, one result, one inferred.
    assert len(results) <= 1 + 4 + 1 + 1 + 1 + 1


@pytest.mark.parametrize(
    ("sources", "capacity"),
    [
        ([camera("a")], 1),
        ([camera("a"), camera("b"), camera("c")], 3),
        ([camera("a"), FakeSource("b")], 8),
    ],
)
def test_results_of_cameras_do_not_grow_old_in_a_queue(
    sources: list[FakeSource], capacity: int
) -> None:
    """Eight results waited behind a camera where a sink was slow: at 5 fps, 1.6 s of delay."""
    assert Setup(*sources).pipeline.result_queue_limit == capacity


def test_a_slow_camera_does_not_set_the_pace_of_the_others() -> None:
    """Lock-step batching lets the slowest camera hold up everybody."""
    file_done = Latch()
    setup = Setup(camera("slow", [file_done, *frames(1)]), FakeSource("a", frames(100)))
    for result in setup.pipeline.results():
        if result.frame.source == "a" and result.frame.index == 99:
            file_done.open()
    setup.check_end()
    assert setup.stats("a").delivered == 100
    assert setup.stats("slow").delivered == 1


def test_a_lost_camera_comes_back_in_a_new_epoch_and_its_tracker_starts_anew() -> None:
    seen = [Latch() for _ in range(3)]
    door = camera(
        "door",
        [*frames(1), seen[0], *frames(1), seen[1], LOST],
        LOST,
        [LOST],
        [*frames(1), seen[2]],
    )
    setup = Setup(door, FakeSource("a", frames(40)))
    epochs = []
    for result in setup.pipeline.results():
        if result.frame.source == "door":
            epochs.append((result.frame.index, result.frame.epoch))
            seen[len(epochs) - 1].open()
    setup.check_end()
    assert epochs == [(0, 0), (1, 0), (2, 1)]
    assert setup.trackers[0].calls == ["update 0", "update 1", "reset", "update 2"]
    assert "reset" not in setup.trackers[1].calls
    assert setup.sinks["table"].written["a"] == list(range(40))
    assert setup.stats("door").reconnects == 1
    assert door.opened == 4


def test_a_camera_that_opens_and_gives_nothing_is_not_back() -> None:
    """Each `open` after a loss counted as a reconnect and was logged as "back again", though a
    camera that restarts opens and loses a dozen times before its first frame."""
    seen = [Latch(), Latch()]
    door = camera("door", [*frames(1), seen[0], LOST], [LOST], [LOST], [*frames(1), seen[1]])
    setup = Setup(door)
    for count, _ in enumerate(setup.pipeline.results()):
        seen[count].open()
    assert setup.stats("door").reconnects == 1
    assert door.opened == 4


def test_a_camera_that_is_down_at_the_start_comes_up_later() -> None:
    door = camera("door", LOST, LOST, frames(1))
    setup = Setup(door, FakeSource("a", frames(10)))
    results = list(setup.pipeline.results())
    setup.check_end()
    assert [(r.frame.index, r.frame.epoch) for r in results if r.frame.source == "door"] == [(0, 0)]
    assert setup.stats("door").reconnects == 0
    assert setup.trackers[0].calls == ["update 0"]


def test_max_frames_counts_over_reconnects() -> None:
    door = camera("door", [*frames(3), LOST], [*frames(3), LOST], frames(9))
    setup = Setup(door, max_frames=5)
    setup.pipeline.run()
    setup.check_end()
    assert setup.stats("door").grabbed == 5
    assert door.opened == 2


def test_a_camera_that_never_answers_can_be_stopped() -> None:
    tried = threading.Event()

    class Dead(FakeSource):
        def open(self):  # type: ignore[no-untyped-def]
            self.opened += 1
            if self.opened == 3:
                tried.set()
            raise LOST

    setup = Setup(Dead("door", live=True))
    runner = threading.Thread(target=setup.pipeline.run)
    runner.start()
    assert tried.wait(15)
    setup.pipeline.stop()
    runner.join(15)
    assert not runner.is_alive()
    setup.check_end()


def test_stop_ends_the_longest_wait_for_a_camera() -> None:
    door = camera("door", [lambda: setup.pipeline.stop(), LOST])
    setup = Setup(door, retry_first_s=3600, retry_longest_s=3600)
    setup.pipeline.run()
    setup.check_end()


# -- back-off -----------------------------------------------------------------------------------


def test_waits_double_up_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(0.5, 30.0)
    nominal = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    waits = [backoff.next_s() for _ in nominal]
    for wait, expected in zip(waits, nominal, strict=True):
        assert expected * 0.8 <= wait <= expected * 1.2
    assert len({wait / expected for wait, expected in zip(waits, nominal, strict=True)}) > 1
    backoff.reset()
    assert backoff.next_s() <= 0.6


def test_the_longest_wait_bounds_the_first_too() -> None:
    assert Backoff(60.0, 1.0).next_s() <= 1.2


class NoTime(threading.Event):
    """A `stop` that never waits and notes how long it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def test_only_a_frame_makes_the_waits_short_again() -> None:
    """A camera that accepts connections and drops them at once must not be asked twice a second
    for ever."""
    door = camera("door", LOST, [LOST], [LOST], [*frames(1), LOST], [LOST], frames(0))
    stop, errors = NoTime(), []
    ring: RingBuffer[Grabbed] = RingBuffer(2, "drop_oldest")
    monitor = CameraMonitor("door", live=True, stale_after_s=1, frozen_after_s=1)
    grabber = Grabber(door, ring, SourceStats(live=True), monitor, GrabRules(1.0, 100.0), stop)
    grabber.start(errors.append)
    while ring.take() is not None:
        pass
    grabber.close(15)
    assert not errors
    nominal = [1, 2, 4, 1, 2]
    assert [round(w / n) for w, n in zip(stop.waits, nominal, strict=True)] == [1] * 5


def test_a_lost_camera_is_tried_at_once_when_that_is_asked_for() -> None:
    """Who plugged a camera in again had to wait up to half a minute.

    What was asked for while the lost camera was still being closed was forgotten.
    """
    door = camera("door", LOST, LOST, frames(2))
    close_at_once = door.close
    door.close = lambda: (time.sleep(0.1), close_at_once())[1]  # type: ignore[method-assign]
    ring: RingBuffer[Grabbed] = RingBuffer(2, "drop_oldest")
    monitor = CameraMonitor("door", live=True, stale_after_s=1, frozen_after_s=1)
    errors: list[BaseException] = []
    stats = SourceStats(live=True)
    grabber = Grabber(door, ring, stats, monitor, GrabRules(3600.0, 3600.0))
    grabber.start(errors.append)
    for tries in (1, 2):
        until(lambda n=tries: door.opened == n and monitor.status(stats, 0).state == "lost")  # type: ignore[misc]
        grabber.retry_now()
    assert ring.take() is not None
    grabber.close(15)
    assert not errors
