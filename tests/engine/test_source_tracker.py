"""Tracker and watcher of a source: when both forget, and that no id is ever given twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest
from support.fakes import boxes

from pipeline.core.data import ClassNames, Detections, Event, Frame, Tracks
from pipeline.core.errors import ModelError, UsageError
from pipeline.core.interfaces import Tracker
from pipeline.engine.source_tracker import SourceTracker, SourceTrackers
from pipeline.trackers import bytetrack, none, sort


class Watching:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def watch(self, frame: Frame, tracks: Tracks, class_names: ClassNames) -> Sequence[Event]:
        self.calls.append(f"watch {frame.index}")
        row = (0.0, 0.0, 1.0, 1.0)
        event = Event("enter", frame.source, "yard", "", 1, 0, "person", frame.index, 0, 0, row)
        return [event] if frame.index == 1 else []

    def reset(self) -> None:
        self.calls.append("reset")


class Remembering:
    """A tracker that keeps what it does not see for a second."""

    memory_s = 1.0

    def __init__(self) -> None:
        self.calls: list[str] = []

    def update(self, frame: Frame, detections: Detections) -> Tracks:
        self.calls.append(f"update {frame.index}")
        return Tracks.empty()

    def reset(self) -> None:
        self.calls.append("reset")


def frame(index: int, pts_s: float, epoch: int = 0, height: int = 48) -> Frame:
    return Frame(np.zeros((height, 64, 3), np.uint8), "door", index, pts_s, pts_s, epoch)


def followed(tracker: Tracker, frames: Sequence[Frame]) -> tuple[Watching, list[Event]]:
    watcher = Watching()
    follower = SourceTracker("door", tracker, watcher, 0)
    events = [e for each in frames for e in follower.update(each, boxes(), {}).events]
    return watcher, events


@pytest.mark.parametrize(
    ("frames", "resets"),
    [
        ([frame(i, i / 10) for i in range(9)], []),
        ([frame(0, 0), frame(1, 0.1), frame(2, 0.2), frame(3, 1.3)], [3]),
        ([frame(0, 0), frame(1, 0.1), frame(2, 0.2), frame(3, 1.1)], []),
        ([frame(0, 9), frame(1, 9.1), frame(2, 0.1, epoch=1), frame(3, 0.2, epoch=1)], [2]),
        ([frame(0, 0), frame(1, 0.1, height=32), frame(2, 0.2, height=32)], [1]),
        ([frame(i, 2.0 * i) for i in range(9)], []),
        ([frame(0, 0), frame(1, 0.1), frame(2, float("nan")), frame(3, 0.3)], []),
        ([frame(0, 5, epoch=3), frame(1, 5.1, epoch=3)], []),
    ],
    ids=["steady", "gap", "short gap", "epoch", "size", "slow source", "no time", "late start"],
)
def test_tracker_and_watcher_forget_together(frames: list[Frame], resets: list[int]) -> None:
    tracker = Remembering()
    watcher, _ = followed(tracker, frames)
    for calls, step in ((tracker.calls, "update"), (watcher.calls, "watch")):
        expected = [
            c for f in frames for c in ["reset"] * (f.index in resets) + [f"{step} {f.index}"]
        ]
        assert calls == expected


def test_a_camera_that_was_slowed_down_is_not_reset_for_ever() -> None:
    """At one picture every two seconds each is later than the tracker's memory."""
    tracker = Remembering()
    times = [i / 30 for i in range(60)] + [2 + 2.0 * i for i in range(1, 20)]
    followed(tracker, [frame(i, t) for i, t in enumerate(times)])
    assert 1 <= tracker.calls.count("reset") <= 4
    assert "reset" not in tracker.calls[-10:]


@pytest.mark.parametrize("tracker", [none.build(none.Options())])
def test_a_tracker_that_says_nothing_of_its_memory_is_not_reset(tracker: Tracker) -> None:
    watcher, events = followed(tracker, [frame(0, 0), frame(1, 0.1), frame(2, 500)])
    assert "reset" not in watcher.calls
    assert [event.index for event in events] == [1]


def test_a_watcher_has_a_stage_of_its_own() -> None:
    follower = SourceTracker("door", Remembering(), Watching(), 0)
    assert set(follower.update(frame(0, 0), boxes(), {}).stage_ms) == {"track", "watch"}
    follower.set_watcher(None)
    assert set(follower.update(frame(1, 0.1), boxes(), {}).stage_ms) == {"track"}


# -- ids ------------------------------------------------------------------------------------------


def sort_(**options: object) -> Callable[[], Tracker]:
    return lambda: sort.build(sort.Options(confirm_s=0, **options))  # type: ignore[arg-type]


def bytetrack_() -> Tracker:
    return bytetrack.build(bytetrack.Options(confirm_s=0))


def ids(follower: SourceTracker, first: int, count: int = 5) -> set[int]:
    """Follow one object that stands still; return the ids it was given."""
    found = set()
    for index in range(first, first + count):
        box = boxes((10, 10, 30, 40))
        found |= {*follower.update(frame(index, index / 10), box, {}).tracks.track_id.tolist()}
    return found


def test_another_kind_of_tracker_goes_on_above_the_ids_that_were_given() -> None:
    follower = SourceTracker("door", sort_()(), None, 0)
    assert ids(follower, 0) == {1}
    follower.replace_tracker(bytetrack_)
    assert ids(follower, 5) == {2}
    follower.replace_tracker(sort_())
    assert ids(follower, 10) == {3}
    assert follower.last_id == 3


def test_tracks_outlive_a_changed_threshold() -> None:
    follower = SourceTracker("door", sort_()(), Watching(), 4)
    assert ids(follower, 0) == {5}
    follower.replace_tracker(sort_(min_iou=0.2))
    assert ids(follower, 5) == {5}
    watcher = follower.watcher
    assert isinstance(watcher, Watching)
    assert "reset" not in watcher.calls


def test_a_half_loaded_tracker_is_not_used() -> None:
    class Refusing(Remembering):
        made: ClassVar[list[Refusing]] = []

        def __init__(self) -> None:
            super().__init__()
            self.made.append(self)

        def save_state(self) -> None:
            return None

        def load_state(self, state: object) -> None:
            self.calls.append("load")
            raise UsageError("not mine")

    watcher = Watching()
    follower = SourceTracker("door", Refusing(), watcher, 0)
    follower.replace_tracker(Refusing)
    follower.update(frame(0, 0), boxes(), {})
    assert [tracker.calls for tracker in Refusing.made] == [[], ["load"], ["update 0"]]
    assert watcher.calls == ["reset", "watch 0"]


def test_no_identity_stays_none() -> None:
    follower = SourceTracker("door", none.build(none.Options()), None, 7)
    assert ids(follower, 0) == {0}
    assert follower.last_id == 7


def test_a_source_that_comes_back_goes_on_with_its_ids() -> None:
    followers = SourceTrackers(sort_(), None)
    for expected in ({1}, {2}, {3}):
        followers.add("door")
        follower = followers.get("door")
        assert follower is not None
        assert ids(follower, 0) == expected
        followers.remove("door")
        assert followers.get("door") is None


class Opening(Remembering):
    """A tracker that has something to open, and may fail at it."""

    def __init__(self, name: str, log: list[str], *, fails: bool = False) -> None:
        super().__init__()
        self._name, self._log, self._fails = name, log, fails

    def open(self) -> None:
        self._log.append(f"open {self._name}")
        if self._fails:
            raise ModelError("model: not there")

    def close(self) -> None:
        self._log.append(f"close {self._name}")


def test_trackers_that_have_something_to_open_are_opened_and_closed() -> None:
    log: list[str] = []
    numbers = iter("abcdefg")
    trackers = SourceTrackers(lambda: Opening(next(numbers), log), None)
    trackers.add("door")
    assert log == []
    trackers.open()
    trackers.add("yard")
    assert log == ["open a", "open b"]
    trackers.remove("door")
    assert log[2:] == ["close a"]
    trackers.replace_tracker(lambda: Opening("new", log))
    assert log[3:] == ["open new", "close b"]
    trackers.close()
    assert log[5:] == ["close new"]


def test_a_tracker_that_cannot_be_opened_does_not_take_the_old_ones_place() -> None:
    log: list[str] = []
    trackers = SourceTrackers(lambda: Opening("old", log), None)
    trackers.add("door")
    trackers.open()
    with pytest.raises(ModelError, match="not there"):
        trackers.replace_tracker(lambda: Opening("new", log, fails=True))
    trackers.add("yard")
    trackers.close()
    assert log == ["open old", "open new", "open old", "close old", "close old"]
