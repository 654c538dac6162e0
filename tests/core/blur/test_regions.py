"""Regions to blur stay on what they are of: over misses, before the first box, at any speed."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.blur.regions import HOLD_S, HeldRegions, classes_of, planned_regions
from pipeline.core.errors import UsageError

FPS = 25.0
FRAMES = 100
NAMES = {0: "person", 2: "car", 7: "truck", 9: "dog"}


def truth(speed: tuple[float, float], frames: int = FRAMES) -> np.ndarray:
    """The boxes of an object that moves evenly: f64[N,4]."""
    t = np.arange(frames) / FPS
    x, y = 300 + speed[0] * t, 200 + speed[1] * t
    return np.stack([x, y, x + 40, y + 90], axis=1)


def covers(regions: np.ndarray, box: np.ndarray) -> bool:
    inside = (regions[:, :2] <= box[:2] + 1e-6) & (regions[:, 2:] >= box[2:] - 1e-6)
    return bool(inside.all(axis=1).any())


@pytest.mark.parametrize("speed", [(0, 0), (60, -10), (700, 300)])
@pytest.mark.parametrize("missing", [slice(40, 46), slice(20, 90), slice(0, 10), slice(90, 100)])
def test_a_known_track_is_covered_in_every_frame(
    speed: tuple[float, float], missing: slice
) -> None:
    """Incident of others' tools: a face is seen whenever the detector misses it for a frame."""
    boxes = truth(speed)
    seen = np.ones(FRAMES, bool)
    seen[missing] = False
    frame = np.flatnonzero(seen)
    plan = planned_regions(frame, np.full(len(frame), 3), boxes[frame], FPS)
    for index in range(FRAMES):
        assert covers(plan.at(index), boxes[index]), index


@pytest.mark.parametrize("speed", [(0, 0), (60, -10), (700, 300)])
def test_while_frames_come_a_lost_track_is_covered_for_half_a_second(
    speed: tuple[float, float],
) -> None:
    boxes, held = truth(speed), HeldRegions()
    lost = set(range(50, 50 + int(HOLD_S * FPS)))
    for index, box in enumerate(boxes):
        seen = index not in lost
        regions = held.update(index / FPS, [4] if seen else [], box[None] if seen else boxes[:0])
        assert covers(regions, box), index


def test_a_held_region_ends() -> None:
    held = HeldRegions()
    held.update(0.0, [1], truth((0, 0))[:1])
    assert len(held.update(HOLD_S, [], np.empty((0, 4)))) == 1
    assert len(held.update(HOLD_S + 0.04, [], np.empty((0, 4)))) == 0


def test_a_track_that_was_away_for_long_is_not_filled() -> None:
    frame, boxes = np.array([0, 1, 400, 401]), truth((0, 0))[:4]
    plan = planned_regions(frame, np.full(4, 3), boxes, FPS)
    assert len(plan.at(5)) == len(plan.at(395)) == 1
    assert len(plan.at(200)) == 0


def test_boxes_without_identity_are_covered_in_their_frame_only() -> None:
    boxes = truth((0, 0))[:2]
    plan = planned_regions(np.array([5, 9]), np.zeros(2, int), boxes, FPS)
    assert [len(plan.at(index)) for index in (4, 5, 6, 9, 10)] == [0, 1, 0, 1, 0]
    held = HeldRegions()
    assert len(held.update(0.0, [0, 0], boxes)) == 2
    assert len(held.update(0.04, [], boxes[:0])) == 0


def test_the_margin_grows_with_speed_and_over_misses() -> None:
    def width(speed: float, index: int) -> float:
        boxes = truth((speed, 0))
        frame = np.r_[0:40, 60:FRAMES]
        plan = planned_regions(frame, np.full(len(frame), 3), boxes[frame], FPS)
        (region,) = plan.at(index)
        return float(region[2] - region[0])

    assert 40 * 1.1 < width(0, 20) < width(200, 20) < width(900, 20)
    assert width(0, 20) < width(0, 41) < width(0, 50)


def test_broken_boxes_are_left_out_and_none_is_fine() -> None:
    boxes = np.array([[0, 0, np.nan, 9], [0, 0, np.inf, 9], [5, 5, 5, 9], [0, 0, 9, 9.0]])
    plan = planned_regions(np.arange(4), np.zeros(4, int), boxes, FPS)
    assert [len(plan.at(index)) for index in range(4)] == [0, 0, 0, 1]
    assert len(HeldRegions().update(0.0, [1, 2, 3, 4], boxes)) == 1
    empty = planned_regions(np.empty(0, int), np.empty(0, int), np.empty((0, 4)), FPS)
    assert len(empty.at(0)) == 0


def test_groups_hold_the_classes_by_name() -> None:
    assert classes_of(["person"], NAMES, "here") == {0}
    assert classes_of(["person", "vehicle", "face"], NAMES, "here") == {0, 2, 7}
    with pytest.raises(UsageError, match=r"here: nothing there is a vehicle \(there is: dog\)"):
        classes_of(["vehicle"], {9: "dog"}, "here")
