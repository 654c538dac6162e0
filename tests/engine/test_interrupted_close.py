"""What a Ctrl-C must not do while things close: two threads in one sink, a lock held for ever."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from support.fakes import FakeDetector, FakeSink, FakeSource, FakeTracker, Setup, frames
from support.live_fakes import until
from support.threads import PATIENCE_S, Latch, in_thread, interrupt, join

from pipeline.core.ring_buffer import RingBuffer, RingGroup
from pipeline.core.run_info import RunInfo
from pipeline.engine import RunOptions
from pipeline.engine.grabber import Grabbed
from pipeline.engine.inference import Inference
from pipeline.engine.result_builder import ResultQueue
from pipeline.engine.sink_group import SinkGroup
from pipeline.engine.source_tracker import SourceTrackers
from pipeline.engine.stats import Stats

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("ctrl_c")]


def closing_interrupted(sinks: dict[str, FakeSink], results: int) -> list[BaseException]:
    """Hand `results` to a group of sinks, press Ctrl-C while it closes, return what failed."""
    errors: list[BaseException] = []
    setup = Setup(FakeSource("a", frames(results)))
    given = list(setup.pipeline.results())
    group = SinkGroup(sinks, Stats({"a": False}), errors.append)
    for sink in sinks.values():
        sink.group = group  # type: ignore[attr-defined]
    info = setup.sinks["table"].run
    assert isinstance(info, RunInfo)
    group.open(info)
    for result in given:
        group.write(result)
    with pytest.raises(KeyboardInterrupt):
        group.close()
    return errors


def interrupt_closing(sink: FakeSink) -> RingBuffer[Any]:
    """Press Ctrl-C once the group waits for this sink, and return the sink's queue."""
    queue: RingBuffer[Any] = sink.group.queues["video"]  # type: ignore[attr-defined]
    with queue.ready:
        assert queue.ready.wait_for(lambda: queue.is_closed, PATIENCE_S)
    interrupt()
    return queue


def test_a_sink_is_never_closed_in_the_middle_of_a_write() -> None:
    """Up to Python 3.12 a Ctrl-C in `Thread.join` makes a running thread look finished. The
    encoder was closed while its thread was still writing to it, which crashes native code."""
    light = FakeSink()

    def write(_: object) -> None:
        interrupt_closing(video)
        light.was_closed()  # the others are closed meanwhile

    video = FakeSink(write, heavy=True)
    errors = closing_interrupted({"table": light, "video": video}, results=1)
    assert not errors, "write and close met, or a latch never opened"
    assert (light.closed, video.closed, video.written["a"]) == (1, 1, [0])


def test_ctrl_c_does_not_wait_for_what_a_heavy_sink_has_queued() -> None:
    def write(_: object) -> None:
        queue = interrupt_closing(video)
        with queue.ready:
            assert queue.ready.wait_for(lambda: not len(queue), PATIENCE_S)

    video = FakeSink(write, heavy=True)
    errors = closing_interrupted({"video": video}, results=3)
    assert not errors
    assert (video.closed, video.written["a"]) == (1, [0])


def test_the_detector_is_never_closed_in_the_middle_of_a_batch() -> None:
    """After a second Ctrl-C nobody waits for results any more; the batch may still run."""
    stats = Stats({"a": False})
    frames_in: RingBuffer[Grabbed] = RingBuffer(4)
    results = ResultQueue(4, stats)
    rings = RingGroup([frames_in], ready=frames_in.ready)
    running = Latch()

    def detect(*_: object) -> None:
        running.open()
        with results.ready:
            assert results.ready.wait_for(lambda: results.is_closed, PATIENCE_S)

    detector = FakeDetector(detect)
    followers = SourceTrackers(FakeTracker, None)
    followers.add("a")
    inference = Inference(detector, followers, rings, results, stats, RunOptions())
    errors: list[BaseException] = []
    source = FakeSource("a", frames(1))
    source.open()
    frame = source.read()
    assert frame is not None
    frames_in.put(Grabbed(frame, 0.0))
    frames_in.close()
    inference.start(errors.append, only_files=True)
    running()
    inference.close(errors.append)
    assert not errors
    assert detector.closed == 1


@pytest.mark.slow
def test_a_signal_handler_may_stop_what_is_stopping() -> None:
    """The command's handler calls `stop`, on the thread that may be inside `stop` already: its
    event's lock is held then, and the handler waited for itself for ever."""
    line, lines = 0, 1
    while line < lines:
        stopped, detecting = Latch(), Latch()

        def detect(*_: object) -> None:
            detecting.open()  # noqa: B023 - called before the loop goes on
            stopped()  # noqa: B023

        source = FakeSource("a", [*frames(1), detecting, *frames(1), stopped])
        setup = Setup(source, detector=FakeDetector(detect, batch_size=1))
        runner = in_thread(setup.pipeline.run)
        detecting()
        until(lambda: setup.pipeline.cameras()["a"].waiting)  # noqa: B023
        line, lines = line + 1, _stop_with_a_signal_at(line, setup)
        assert setup.pipeline.is_stopping
        assert setup.pipeline.cameras()["a"].waiting == 0
        assert setup.stats("a").drops() == {"stopped": 1}
        stopped.open()
        join(runner)
        setup.check_end()
    assert lines > 20, "the lines of `stop` were not traced"


def _stop_with_a_signal_at(line: int, setup: Setup) -> int:
    """Call `stop`, and once more from its inside at the given line; return how many lines ran."""
    ran = 0

    def trace(frame: FrameType, event: str, arg: object) -> object:
        nonlocal ran
        if event == "line":
            ran += 1
            if ran == line + 1:
                sys.settrace(None)
                setup.pipeline.stop()
                sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        setup.pipeline.stop()
    finally:
        sys.settrace(before)
    return ran
