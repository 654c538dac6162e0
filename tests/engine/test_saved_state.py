"""A source's tracker and zones, saved at any frame and loaded elsewhere: the same run goes on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.walkers import boxes

from pipeline.core.data import Frame
from pipeline.core.errors import UsageError
from pipeline.core.state_json import from_json, to_json
from pipeline.engine.source_tracker import SourceTracker
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher
from pipeline.trackers import sort, trackline

ZONES = {
    "zones": [{"name": "yard", "points": [[200, 0], [400, 0], [400, 480], [200, 480]],
               "dwell_s": 0.5}],
    "lines": [{"name": "gate", "points": [[300, 0], [300, 480]]}],
}  # fmt: skip
NAMES = {0: "person"}


def follower(zones=ZONES, module=trackline, last_id=0) -> SourceTracker:
    watcher = None if zones is None else ZoneWatcher(CameraZones.model_validate(zones))
    return SourceTracker("door", module.build(module.Options()), watcher, last_id)


def scene(count=90, fps=15.0):
    """Two people who walk through the zone, one of them hidden for a while; a jump in time, and a
    picture of another size at the end."""
    for k in range(count):
        at_s = k / fps + (5.0 if k > 60 else 0.0)
        size = (480, 640) if k < 80 else (240, 320)
        left = 100 + 8 * k
        there = [(left, 100, left + 40, 220)]
        if not 20 < k < 26:
            there.append((500 - 5 * k, 250, 540 - 5 * k, 380))
        image = np.zeros((*size, 3), np.uint8)
        yield Frame(image, "door", k, at_s, float(k)), boxes(*there)


def rows(one: SourceTracker, frame, found):
    tracks, events, _ = one.update(frame, found, NAMES)
    return [getattr(tracks, name).tolist() for name in type(tracks).__slots__], events


@pytest.mark.parametrize("cut", [0, 1, 2, 20, 23, 40, 60, 61, 62, 79, 80, 81])
@pytest.mark.parametrize("module", [sort, trackline])
@pytest.mark.slow
def test_a_source_stopped_at_any_frame_goes_on_the_same(cut, module):
    """At a gap and at a new size too, where what is reset depends on the frames before."""
    frames = [*scene()]
    first, second = follower(module=module, last_id=4), follower(module=module)
    for frame, found in frames[:cut]:
        rows(first, frame, found)
    saved = json.dumps(to_json(first.save_state()))
    want = [rows(first, *each) for each in frames[cut:]]
    second.load_state(from_json(json.loads(saved)))
    assert [rows(second, *each) for each in frames[cut:]] == want
    assert second.last_id == first.last_id


def test_the_scene_has_events_and_ids_to_lose():
    one = follower()
    kinds = {event.kind for each in scene() for event in rows(one, *each)[1]}
    assert kinds == {"enter", "leave", "dwell", "cross"}
    assert one.last_id > 2


@pytest.mark.parametrize(
    ("zones", "module", "why"),
    [
        (None, trackline, "with zones"),
        ({"lines": ZONES["lines"]}, trackline, "line gate, got"),
        (ZONES, sort, "want sort"),
    ],
)
def test_a_state_of_something_else_is_refused(zones, module, why):
    one = follower()
    for each in scene(30):
        rows(one, *each)
    with pytest.raises(UsageError, match=why):
        follower(zones, module).load_state(one.save_state())


def test_a_tracker_without_a_state_says_so():
    class Plain:
        def update(self, frame, detections):
            raise NotImplementedError

        def reset(self):
            return

    one = SourceTracker("door", Plain(), None, 0)
    assert not one.is_stateful
    with pytest.raises(UsageError, match="cannot save its state"):
        one.save_state()


@pytest.mark.slow
def test_ids_may_begin_higher_from_a_frame_on():
    """A recording that is done anew takes no id that a later one of the camera has."""
    plain, raised = follower(None), follower(None)
    frames = [*scene()]
    for frame, found in frames[:5]:
        assert rows(plain, frame, found) == rows(raised, frame, found)
    assert plain.last_id == 2
    raised.give_ids_above(100)
    raised.give_ids_above(50)
    assert raised.last_id == 100
    for frame, found in frames[5:]:
        want = [each if each <= 2 else each + 98 for each in rows(plain, frame, found)[0][3]]
        state = from_json(json.loads(json.dumps(to_json(raised.save_state()))))
        raised = follower(None)
        raised.load_state(state)
        assert rows(raised, frame, found)[0][3] == want
    assert raised.last_id == plain.last_id + 98
