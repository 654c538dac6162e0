"""Frames that are not detected on: which they are, what boxes they get, that none is lost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from support.fakes import (
    FakeDetector,
    FakeOverlapping,
    FakeSource,
    Setup,
    boxes,
    camera,
    fails,
    frames,
)
from support.threads import Latch

from pipeline.core.data import Detections, Frame
from pipeline.core.errors import StageError
from pipeline.engine.frame_skipper import Every, FrameSkipper

pytestmark = pytest.mark.timeout(60)

PICTURE = np.zeros((4, 4, 3), np.uint8)


def at(index: int, epoch: int = 0, fps: float = 25) -> Frame:
    return Frame(PICTURE, "a", index, index / fps, index / fps, epoch)


def walker(index: int, speed: float = 2.0, score: float = 0.9) -> Detections:
    return boxes((index * speed, 0, index * speed + 20, 40), score=score)


def asked(every: Every, count: int, found, *, fps: float = 25) -> list[int]:  # type: ignore[no-untyped-def]
    skipper, out = FrameSkipper(every), []
    for index in range(count):
        if skipper.wants(at(index, fps=fps)):
            skipper.learn(at(index, fps=fps), found(index))
            out.append(index)
    return out


def test_every_nth_frame_from_the_first() -> None:
    assert asked(1, 4, walker) == [0, 1, 2, 3]
    assert asked(3, 8, walker) == [0, 3, 6]


@pytest.mark.parametrize(
    ("max_fps", "wanted"), [(25, [0, 4, 8]), (10, [0, 10]), (1, [0, 30, 60, 90])]
)
def test_a_rate_of_its_own_skips_at_most_thirty_frames(max_fps: float, wanted: list[int]) -> None:
    """A file's skipped frames are held with their pictures: at a tenth a second all of memory."""
    skipper = FrameSkipper(1)
    asked = [index for index in range(100) if skipper.wants(at(index, fps=100), max_fps)]
    assert asked[: len(wanted)] == wanted


def test_nothing_goes_on_in_a_straight_line_for_long() -> None:
    skipper = FrameSkipper(1)
    for index in (0, 1):
        skipper.learn(at(index), walker(index))
    assert len(skipper.at(at(25))) == 1
    assert len(skipper.at(at(27))) == 0


def test_auto_skips_more_and_more_of_what_goes_straight_but_looks_every_fifth_of_a_second() -> None:
    picked = asked("auto", 60, walker)
    gaps = np.diff(picked)
    assert gaps[0] == 1
    assert gaps[-1] == gaps.max() == 5
    assert np.diff(asked("auto", 60, walker, fps=5)).max() == 1


@pytest.mark.parametrize(
    "surprise",
    [
        lambda i: boxes() if i >= 30 else walker(i),
        lambda i: boxes((0, 0, 20, 40), (50, 0, 70, 40)) if i >= 30 else boxes((0, 0, 20, 40)),
        lambda i: walker(i, 0.0) if i < 30 else walker(i - 30, 6.0),
    ],
    ids=["gone", "another", "starts to run"],
)
def test_auto_looks_closer_after_a_surprise(surprise) -> None:  # type: ignore[no-untyped-def]
    picked = asked("auto", 60, surprise)
    usual = max(b - a for a, b in pairwise(picked) if b < 30)
    closer = min(b - a for a, b in pairwise(picked) if a >= 30)
    assert closer < usual


def test_between_two_detections_objects_go_straight_and_after_the_last_they_go_on() -> None:
    skipper = FrameSkipper(4)
    for index in (0, 4, 8):
        skipper.learn(at(index), walker(index))
    np.testing.assert_allclose(skipper.at(at(6)).xyxy, walker(6).xyxy, atol=1e-4)
    # The speed is averaged with the one before, from standing still: 0, 1, 1.5 of 2.
    np.testing.assert_allclose(skipper.at(at(10)).xyxy[0, 0], 16 + 2 * 1.5, atol=1e-4)


def test_what_only_one_of_two_detections_saw_stays_up_to_the_middle() -> None:
    skipper = FrameSkipper(4)
    skipper.learn(at(0), boxes((0, 0, 20, 40)))
    skipper.learn(at(4), boxes((500, 0, 520, 40)))
    assert [skipper.at(at(i)).xyxy[:, 0].tolist() for i in (1, 3)] == [[0], [500]]


def test_classes_are_not_mixed_up() -> None:
    cat = Detections(walker(4).xyxy, walker(4).score, np.ones(1, np.int32))
    skipper = FrameSkipper(4)
    skipper.learn(at(0), walker(0))
    skipper.learn(at(4), cat)
    assert [skipper.at(at(i)).class_id.tolist() for i in (1, 3)] == [[0], [1]]


def test_a_reconnect_begins_with_a_detection_and_without_old_boxes() -> None:
    skipper = FrameSkipper(5)
    assert skipper.wants(at(0))
    skipper.learn(at(0), walker(0))
    assert not skipper.wants(at(1))
    assert skipper.wants(at(2, epoch=1))
    assert len(skipper.at(at(2, epoch=1))) == 0


@pytest.mark.parametrize("detector", [FakeDetector(batch_size=4), FakeOverlapping(3)])
def test_every_frame_of_a_file_still_comes_once_and_in_order(detector: FakeDetector) -> None:
    sources = FakeSource("a", frames(41)), FakeSource("b", frames(7))
    setup = Setup(*sources, detector=detector, detect_every=3)
    for result in setup.pipeline.results():
        assert len(result.detections) == 1
        assert ("infer" in result.stage_ms) is (result.frame.index % 3 == 0)
    setup.check_end()
    assert setup.sinks["table"].written == {"a": [*range(41)], "b": [*range(7)]}
    asked_for = [each for batch in detector.batches for each in batch]
    assert sorted(asked_for) == [
        *(("a", index) for index in range(0, 41, 3)),
        *(("b", index) for index in range(0, 7, 3)),
    ]


def test_a_cameras_skipped_frame_does_not_wait_for_the_next_detection() -> None:
    delivered = [Latch() for _ in range(4)]
    steps = [step for latch in delivered for step in ("frame", latch)]
    setup = Setup(camera("door", steps), detector=FakeOverlapping(3), detect_every=4)
    for result in setup.pipeline.results():
        delivered[result.frame.index].open()
    setup.check_end()
    assert setup.stats("door").delivered == 4


def test_a_failure_counts_the_frames_that_wait() -> None:
    def break_down(count: int) -> None:
        if count == 3:
            raise RuntimeError("out of memory")

    setup = Setup(
        FakeSource("a", frames(500)),
        detector=FakeOverlapping(1, on_collect=break_down),
        detect_every=5,
    )
    fails(setup, StageError, "out of memory")
    assert setup.sinks["table"].written["a"] == [*range(11)]
    assert setup.stats("a").drops()["failed"] == 5
