"""Detectors that begin a batch before the last one is answered: order, ends and failures."""

from __future__ import annotations

import pytest
from support.fakes import FakeDetector, FakeOverlapping, FakeSource, Setup, camera, fails, frames
from support.threads import Latch

from pipeline.core.errors import StageError

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(("in_flight", "batch_size"), [(1, 1), (3, 1), (2, 4)])
def test_every_frame_comes_once_in_order_with_its_own_boxes(
    in_flight: int, batch_size: int
) -> None:
    detector = FakeOverlapping(in_flight, batch_size=batch_size)
    setup = Setup(FakeSource("a", frames(41)), FakeSource("b", frames(7)), detector=detector)
    seen: dict[str, list[int]] = {"a": [], "b": []}
    for result in setup.pipeline.results():
        seen[result.frame.source].append(result.frame.index)
        assert result.detections.xyxy[0, 3] == 2 + result.frame.index
    setup.check_end()
    assert seen == {"a": list(range(41)), "b": list(range(7))}
    assert [tracker.seen for tracker in setup.trackers] == [
        [("a", 0, i) for i in range(41)],
        [("b", 0, i) for i in range(7)],
    ]


def test_the_next_batches_begin_before_the_oldest_is_collected() -> None:
    """With the queue empty at each batch's end the cores ran dry there."""
    all_read = Latch()
    detector = FakeOverlapping(3, on_submit=all_read)
    setup = Setup(FakeSource("a", [*frames(9), all_read.open]), detector=detector)
    setup.pipeline.run()
    begun = [f"submit {i}" for i in range(9)]
    ended = [f"collect {i}" for i in range(9)]
    pairs = [step for pair in zip(begun[3:], ended[:6], strict=True) for step in reversed(pair)]
    assert detector.log == [*begun[:3], *pairs, *ended[6:]]


@pytest.mark.parametrize("live", [True, False])
def test_what_is_in_flight_is_not_held_back_for_more_to_come(live: bool) -> None:
    """A camera's next frame is far away: its last one must not wait for it in the detector."""
    delivered = Latch()
    source = FakeSource("a", ["frame", delivered, "frame"], live=live)
    setup = Setup(source, detector=FakeOverlapping(3))
    for _ in setup.pipeline.results():
        delivered.open()
    setup.check_end()
    assert setup.stats("a").delivered == 2


def test_two_cameras_share_what_is_in_flight() -> None:
    both_read = [Latch(), Latch()]

    def wait(_: object) -> None:
        for latch in both_read:
            latch()

    setup = Setup(
        camera("door", [*frames(50), both_read[0].open]),
        camera("yard", [*frames(50), both_read[1].open]),
        detector=FakeOverlapping(3, on_submit=wait),
    )
    last = {r.frame.source: r.frame.index for r in setup.pipeline.results()}
    setup.check_end()
    assert last == {"door": 49, "yard": 49}


def test_stop_delivers_what_is_in_flight() -> None:
    def stop(count: int) -> None:
        if count == 4:
            setup.pipeline.stop()

    detector = FakeOverlapping(3, on_submit=stop)
    setup = Setup(FakeSource("a", frames(500)), detector=detector)
    setup.pipeline.run()
    setup.check_end()
    assert setup.sinks["table"].written["a"] == [0, 1, 2, 3, 4]
    assert not detector.flying


@pytest.mark.parametrize("where", ["submit", "collect"])
def test_a_failure_drops_what_is_in_flight_and_counts_it(where: str) -> None:
    def break_down(count: int) -> None:
        if count == 9:
            raise RuntimeError("out of memory")

    detector = FakeOverlapping(
        3,
        batch_size=2,
        on_submit=break_down if where == "submit" else None,
        on_collect=break_down if where == "collect" else None,
    )
    setup = Setup(FakeSource("a", frames(500)), detector=detector)
    fails(setup, StageError, "^detector FakeOverlapping: RuntimeError: out of memory$")
    collected = sum(step.startswith("collect") for step in detector.log) - (where == "collect")
    delivered = sum(len(batch) for batch in detector.batches[:collected])
    assert setup.sinks["table"].written["a"] == list(range(delivered))
    lost = sum(len(batch) for batch in detector.batches[collected:])
    assert setup.stats("a").dropped["failed"] == lost > 0


def test_a_batch_with_the_wrong_number_of_answers_fails() -> None:
    detector = FakeOverlapping(3, on_collect=lambda _: [])
    fails(
        Setup(FakeSource("a", frames(9)), detector=detector),
        StageError,
        "^detector FakeOverlapping: want 1 results, got 0$",
    )


# -- what the thread waits for ------------------------------------------------------------------


def test_waiting_for_the_last_answers_is_want_of_frames() -> None:
    """Where the network is done before the next frame is read, reports said that it limits."""
    delivered = [Latch() for _ in range(5)]
    script = [step for latch in delivered for step in ("frame", latch)]
    setup = Setup(FakeSource("a", script), detector=FakeOverlapping(3))
    for result in setup.pipeline.results():
        delivered[result.frame.index].open()
    setup.check_end()
    stats = setup.pipeline.stats
    assert stats.detector_s == 0 < stats.starved_s
    assert stats.blocked_s == 0


def test_waiting_for_a_full_detector_is_reported() -> None:
    all_read = Latch()
    detector = FakeOverlapping(2, on_submit=all_read)
    setup = Setup(FakeSource("a", [*frames(9), all_read.open]), detector=detector)
    setup.pipeline.run()
    assert setup.pipeline.stats.detector_s > 0


@pytest.mark.parametrize("detector", [FakeDetector(), FakeOverlapping(1)])
def test_a_detector_that_works_on_the_thread_s_time_is_not_waited_for(
    detector: FakeDetector,
) -> None:
    """A lone camera's frame is detected on at once: that the camera gives no more limits then."""
    setup = Setup(FakeSource("a", frames(9)), detector=detector)
    setup.pipeline.run()
    assert setup.pipeline.stats.detector_s == 0
