"""Zones and lines: what counts, what never does, and that frame rates make no difference."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.data import Event, Frame, Tracks
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher

NAMES = {0: "person", 1: "car"}
PICTURE = np.broadcast_to(np.uint8(0), (480, 640, 3))
SQUARE = {"name": "square", "points": [[200, 100], [400, 100], [400, 400], [200, 400]]}
STRIP = {"name": "strip", "points": [[300, 0], [304, 0], [304, 480], [300, 480]]}
UPWARDS = {"name": "gate", "points": [[300, 480], [300, 0]]}  # its right side is the picture's
RATES = (30, 10, 5)


def areas(*zones, lines=(), **more) -> ZoneWatcher:
    tree = {"zones": zones, "lines": lines, **more}
    return ZoneWatcher(CameraZones.model_validate(tree))


def tracks(*feet, ids=None, class_id=0, coasting=False, height=100.0) -> Tracks:
    n = len(feet)
    foot = np.array(feet, np.float32).reshape(n, 2)
    xyxy = np.concatenate([foot - np.array([20, height]), foot + np.array([20, 0])], 1).astype(
        np.float32
    )
    return Tracks(
        xyxy,
        np.full(n, 0.9, np.float32),
        np.full(n, class_id, np.int32),
        np.array(ids if ids is not None else np.arange(1, n + 1), np.int64),
        np.full(n, -1 if coasting else 0, np.int32),
        np.zeros(n, np.float32),
    )


def frame(t: float, index: int = 0, picture=PICTURE) -> Frame:
    return Frame(picture, "cam", index, t, t + 50)


def walked(watcher: ZoneWatcher, where, seconds: float, fps: float, quiet_s=3.0) -> list[Event]:
    """Events of one track whose foot is at where(t); then it is gone."""
    events: list[Event] = []
    for k in range(int((seconds + quiet_s) * fps)):
        t = k / fps
        seen = tracks(where(t)) if t <= seconds else Tracks.empty()
        events += watcher.watch(frame(t, k), seen, NAMES)
    return events


def told(events) -> list[str]:
    return [f"{event.area} {event.direction or event.kind}" for event in events]


@pytest.mark.parametrize("fps", RATES)
def test_a_way_through_a_zone_at_every_rate(fps: float) -> None:
    watcher = areas({**SQUARE, "dwell_s": 1.0})
    events = walked(watcher, lambda t: (101 + 100 * t, 250), 4, fps)
    assert told(events) == ["square enter", "square dwell", "square leave"]
    enter, dwell, leave = events
    assert 0.99 <= enter.pts_s <= 0.99 + 1 / fps
    assert 2.99 <= leave.pts_s <= 2.99 + 1 / fps
    assert leave.dwell_s == pytest.approx(leave.pts_s - enter.pts_s)
    assert 1 <= dwell.dwell_s <= 1.01 + 1 / fps
    assert (enter.captured_at, enter.index) == (enter.pts_s + 50, round(enter.pts_s * fps))
    assert enter.xyxy[3] == 250
    assert watcher.inside() == {"square": {}}


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("speed", [30, 150, 500])
def test_fast_ones_pass_a_line_and_a_strip_between_two_frames(fps: float, speed: float) -> None:
    watcher = areas(STRIP, lines=[UPWARDS])
    events = walked(watcher, lambda t: (51 + speed * t, 250), 500 / speed, fps)
    assert sorted(told(events)) == ["gate in", "strip enter", "strip leave"]


def test_the_right_hand_side_of_a_line_is_in() -> None:
    for start, way, direction in ((101, 100, "in"), (501, -100, "out")):
        events = walked(areas(lines=[UPWARDS]), lambda t, s=start, w=way: (s + w * t, 240), 4, 10)
        assert told(events) == [f"gate {direction}"]
    turned = {**UPWARDS, "points": UPWARDS["points"][::-1]}
    assert told(walked(areas(lines=[turned]), lambda t: (101 + 100 * t, 240), 4, 10)) == [
        "gate out"
    ]


@pytest.mark.parametrize("fps", RATES)
def test_only_the_segment_counts_not_the_line_it_lies_on(fps: float) -> None:
    short = {"name": "short", "points": [[300, 480], [300, 300]]}
    assert walked(areas(lines=[short]), lambda t: (101 + 100 * t, 200), 4, fps) == []
    around = areas(lines=[short])  # over it, back past its end, and over it again

    def circle(t: float):
        return 300 + 80 * np.sin(2 * t + 0.3), 300 - 80 * np.cos(2 * t + 0.3)

    assert told(walked(around, circle, 3.1 * 2, fps)) == ["short out"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("fps", RATES)
def test_standing_on_a_line_is_at_most_one_crossing(fps: float) -> None:
    """Counts inflated by boxes that tremble are what people complain about most."""
    for end, expected in ((250, []), (500, ["gate in"])):
        rng = np.random.default_rng(1)

        def where(t: float, end=end, rng=rng):
            x = np.interp(t, [0, 2, 62, 64], [100, 300, 300, end])
            slow = 2 * np.sin(t) * (2 < t < 62)  # trembling that holds a side for seconds
            return x + slow + rng.normal(0, 1), 250 + rng.normal(0, 1)

        events = walked(areas(lines=[UPWARDS]), where, 66, fps)
        assert told(events) == expected


@pytest.mark.slow
@pytest.mark.parametrize("fps", RATES)
def test_standing_on_a_border_is_no_coming_and_going(fps: float) -> None:
    rng = np.random.default_rng(2)

    def where(t: float):
        x = np.interp(t, [0, 2, 30, 31, 33, 35], [100, 200, 200, 300, 300, 100])
        return x + rng.normal(0, 1.5), 250 + rng.normal(0, 1.5)

    assert told(walked(areas(SQUARE), where, 35, fps)) == ["square enter", "square leave"]


def test_a_track_that_appears_on_a_line_has_not_crossed_it() -> None:
    for way in (100, -100):
        assert walked(areas(lines=[UPWARDS]), lambda t, w=way: (300 + w * t, 240), 2, 30) == []
    beside = walked(areas(lines=[UPWARDS]), lambda t: (299 + 200 * t, 240), 2, 5)
    assert beside == []


def test_a_track_that_appears_in_a_zone_enters_it_and_leaves_when_last_seen() -> None:
    watcher = areas(SQUARE)
    events = walked(watcher, lambda t: (300, 250), 1.0, 10, quiet_s=1.8)
    assert (told(events), watcher.inside()) == (["square enter"], {"square": {"person": 1}})
    events = list(watcher.watch(frame(9.0), Tracks.empty(), NAMES))
    assert told(events) == ["square leave"]
    assert (events[0].pts_s, events[0].dwell_s, events[0].index) == (1.0, 1.0, 10)
    assert watcher.inside() == {"square": {}}


def test_a_flicker_never_enters() -> None:
    assert walked(areas(SQUARE), lambda t: (300, 250), 0.1, 30) == []


def test_a_track_that_vanishes_right_behind_a_line_has_crossed_it() -> None:
    events = walked(areas(lines=[UPWARDS]), lambda t: (101 + 200 * t, 240), 1.1, 30)
    assert told(events) == ["gate in"]


def test_predictions_and_boxes_without_identity_never_count() -> None:
    for seen in ({"coasting": True}, {"ids": [0]}):
        watcher = areas(SQUARE, lines=[UPWARDS])
        for k in range(60):
            given = tracks((101 + 10 * k, 240), **seen)
            assert watcher.watch(frame(k / 10), given, NAMES) == []


def test_classes_are_filtered_by_name_and_by_the_class_now() -> None:
    watcher = areas({**SQUARE, "classes": ["car"]}, lines=[{**UPWARDS, "classes": ["person"]}])
    events = []
    for k in range(60):
        kind = 1 if 20 <= k < 40 else 0  # becomes a car in the square, after the gate is crossed
        here = tracks((211 + min(10 * k, 180), 250), class_id=kind)
        events += watcher.watch(frame(k / 10, k), here, NAMES)
    assert told(events) == ["gate in", "square enter", "square leave"]
    assert [event.class_name for event in events] == ["person", "car", "person"]


def test_a_class_that_does_not_exist_is_logged_once(caplog) -> None:
    watcher = areas({**SQUARE, "classes": ["perzon"]})
    for k in range(3):
        watcher.watch(frame(k), Tracks.empty(), NAMES)
    assert [r.getMessage() for r in caplog.records] == [
        "'square': there is no class 'perzon' (known: car, person)"
    ]


def test_points_are_scaled_to_the_picture_and_another_size_begins_anew() -> None:
    watcher = areas(SQUARE, size=[640, 480])
    big = np.broadcast_to(np.uint8(0), (960, 1280, 3))
    for k in range(10):
        watcher.watch(frame(k / 10, k, big), tracks((600, 500)), NAMES)
    assert watcher.inside() == {"square": {"person": 1}}
    assert watcher.watch(frame(1.0, 10), tracks((600, 400)), NAMES) == []
    assert watcher.inside() == {"square": {}}


def test_reset_forgets_positions_but_not_the_counts() -> None:
    watcher = areas(SQUARE)
    for k in range(10):
        watcher.watch(frame(k / 10, k), tracks((300, 250)), NAMES)
    watcher.reset()
    assert watcher.inside() == {"square": {}}
    assert watcher.watch(frame(9.0), Tracks.empty(), NAMES) == []
    assert sum(watcher.counts().values()) == 1


def test_changed_zones_keep_occupancy_and_counts() -> None:
    watcher = areas(SQUARE, STRIP)
    for k in range(10):
        watcher.watch(frame(k / 10, k), tracks((300, 250), (390, 250)), NAMES)
    smaller = {**SQUARE, "points": [[200, 100], [350, 100], [350, 400], [200, 400]]}
    watcher.change(CameraZones.model_validate({"zones": [smaller], "lines": [UPWARDS]}))
    events = []
    for k in range(10, 20):
        events += watcher.watch(frame(k / 10, k), tracks((300, 250), (390, 250)), NAMES)
    assert [(event.track_id, event.kind) for event in events] == [(2, "leave")]
    assert watcher.inside() == {"square": {"person": 1}}
    assert {key.area for key in watcher.counts()} == {"square"}


def test_times_that_go_back_neither_settle_nor_stop_anything() -> None:
    watcher = areas(SQUARE)
    events = []
    for k, t in enumerate([5.0, 5.1, 0.0, 0.1, 0.1, float("nan"), 0.2, 0.3, 0.4, 0.5]):
        events += watcher.watch(frame(t, k), tracks((300, 250)), NAMES)
    assert told(events) == ["square enter"]


# -- whatever way is walked ------------------------------------------------------------------------

LINE = {"name": "bend", "points": [[320, -2000], [300, 200], [340, 300], [320, 3000]]}
steps = st.lists(st.tuples(st.integers(0, 640), st.integers(0, 480)), min_size=2, max_size=25)


def side(point) -> bool:
    """Left of the bent line, by even-odd over the picture's whole left half."""
    x, y = point
    ends = pairwise(LINE["points"])
    return any(
        x < x1 + (x2 - x1) * (y - y1) / (y2 - y1) for (x1, y1), (x2, y2) in ends if y1 <= y < y2
    )


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_net_count_is_the_change_of_sides(points) -> None:
    points = (
        [(150, 100), *points, (500, 90)] if len(points) % 2 else [(150, 100), *points, (90, 90)]
    )
    watcher = areas(lines=[LINE], settle_s=0.0)
    events = []
    for k, point in enumerate([*points, points[-1]]):
        events += watcher.watch(frame(k, k), tracks(point), NAMES)
    outs = sum(event.direction == "out" for event in events)
    ins = len(events) - outs
    assert abs(ins - outs) == (side(points[0]) != side(points[-1]))
    assert len(events) % 2 == abs(ins - outs)
    alternate = [event.direction for event in events]
    assert all(a != b for a, b in pairwise(alternate))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([0.0, 0.3, 2.5]))
def test_occupancy_is_entries_less_exits(points, settle_s: float) -> None:
    watcher = areas(SQUARE, STRIP, settle_s=settle_s, gone_s=5.0)
    balance = {"square": 0, "strip": 0}
    events = []
    for k, point in enumerate([(20, 20), *points]):
        events += watcher.watch(frame(k, k), tracks(point), NAMES)
    for event in events:
        balance[event.area] += {"enter": 1, "leave": -1}[event.kind]
        assert balance[event.area] in (0, 1), "nobody enters twice"
        assert event.dwell_s >= 0
    assert {name: sum(inside.values()) for name, inside in watcher.inside().items()} == balance
    watcher.watch(frame(1000.0), Tracks.empty(), NAMES)
    assert watcher.inside() == {"square": {}, "strip": {}}


def test_an_event_has_the_best_score_of_its_track_up_to_then() -> None:
    """Also one that went on from a saved state, and one that has left unseen."""
    watcher, events = areas(SQUARE, settle_s=0), list[Event]()
    places = [(50, 250, 0.7), (300, 250, 0.5), (310, 250, 0.8), (450, 250, 0.6)]
    for k, (x, y, score) in enumerate(places):
        seen = replace(tracks((x, y)), score=np.float32([score]))
        events += watcher.watch(frame(k / 10, k), seen, NAMES)
        state, watcher = watcher.save_state(), areas(SQUARE, settle_s=0)
        watcher.load_state(state)
    events += watcher.watch(frame(9, 90), Tracks.empty(), NAMES)
    assert [(event.kind, event.score) for event in events] == [("enter", 0.7), ("leave", 0.8)]
