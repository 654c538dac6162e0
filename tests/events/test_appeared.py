"""Events "appeared" of the whole picture: what is one, what never is, and when it happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.core.data import Event, Frame, Tracks
from pipeline.core.errors import ConfigError, UsageError
from pipeline.core.options import validated
from pipeline.events.zones.count_table import count_rows
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher

NAMES = {0: "person", 2: "car", 3: "dog"}
PICTURE = np.broadcast_to(np.uint8(0), (480, 640, 3))
Box = tuple[float, float, float, float]
STANDING: Box = (300, 200, 340, 300)
ZONE = {"name": "yard", "points": [[0, 0], [600, 0], [600, 400]]}


def watcher(rules: object = True, **more: object) -> ZoneWatcher:
    return ZoneWatcher(CameraZones.model_validate({"appeared": rules, **more}))


def tracks(*boxes: Box, ids: Sequence[int] = (1,), class_id: int = 0) -> Tracks:
    n = len(boxes)
    return Tracks(
        np.array(boxes, np.float32).reshape(n, 4),
        np.full(n, 0.9, np.float32),
        np.full(n, class_id, np.int32),
        np.array(ids[:n], np.int64),
        np.zeros(n, np.int32),
        np.zeros(n, np.float32),
    )


def frame(t: float, index: int) -> Frame:
    return Frame(PICTURE, "cam", index, t, t + 50)


def events_of(
    watched: ZoneWatcher, box: Callable[[float], Box | None], seconds: float = 5, **more: int
) -> list[Event]:
    """The events of one track with the box box(t), None while it is not seen."""
    found: list[Event] = []
    for k in range(round(seconds * 10)):
        at = box(k / 10)
        seen = Tracks.empty() if at is None else tracks(at, **more)
        found += watched.watch(frame(k / 10, k), seen, NAMES)
    return found


def walk(t: float, speed: float = 40) -> Box:
    x1, y1, x2, y2 = STANDING
    return x1 - 200 + speed * t, y1, x2 - 200 + speed * t, y2


def test_who_walks_through_the_picture_appears_once() -> None:
    (event,) = events_of(watcher(), walk)
    assert (event.kind, event.area, event.direction, event.class_name) == (
        "appeared", "", "", "person",
    )  # fmt: skip
    assert event.pts_s <= 0.3, "when it came, not when it was certain"
    assert event.captured_at == event.pts_s + 50


FLICKER = [(0, 0), (1, -2), (-2, 1), (2, 2), (0, -1)]


def jitter(t: float) -> Box:
    x, y = FLICKER[round(t * 10) % 5]
    x1, y1, x2, y2 = STANDING
    return x1 + x, y1 + y, x2 + x, y2 + y


def half_hidden(t: float) -> Box:
    return (*STANDING[:3], STANDING[3] - (50 if 1 < t < 3 else 0))


NEVER: dict[str, tuple[object, Callable[[float], Box | None], int]] = {
    "stands and jitters": (True, jitter, 0),
    "stands, its lower half is hidden": (True, half_hidden, 0),
    "gone too soon": (True, lambda t: walk(t, 300) if t < 0.8 else None, 0),
    "too small": ({"min_height": 0.3}, walk, 0),
    "not of the default classes": (True, walk, 3),
    "not of these classes": ({"classes": ["dog"]}, walk, 0),
    "in a mask": ({"masks": [[[0, 250], [640, 250], [640, 480], [0, 480]]]}, walk, 0),
    "switched off": (False, walk, 0),
    "nothing is said": (None, walk, 0),
}


@pytest.mark.parametrize("case", NEVER)
def test_what_does_not_appear(case: str) -> None:
    rules, box, class_id = NEVER[case]
    assert events_of(watcher(rules), box, class_id=class_id) == []


def comes_nearer(t: float) -> Box:
    grown = 1 + 0.2 * t  # its feet stay where they are: a camera that looks along the road
    return 320 - 20 * grown, 300 - 100 * grown, 320 + 20 * grown, 300


ALWAYS: dict[str, tuple[object, Callable[[float], Box | None], int]] = {
    "comes nearer": (True, comes_nearer, 0),
    "stands, where no move is asked for": ({"min_move": 0}, jitter, 0),
    "any class": ({"classes": None}, walk, 3),
    "hidden for a moment": (True, lambda t: None if 0.4 < t < 1.2 else walk(t), 0),
    "comes out of a mask": ({"masks": [[[0, 0], [200, 0], [200, 480], [0, 480]]]}, walk, 0),
    "at once": ({"seen_s": 0, "min_move": 0}, lambda t: STANDING if t < 0.05 else None, 0),
}


@pytest.mark.parametrize("case", ALWAYS)
def test_what_appears(case: str) -> None:
    rules, box, class_id = ALWAYS[case]
    (event,) = events_of(watcher(rules), box, class_id=class_id)
    assert event.kind == "appeared"


def test_a_parked_car_that_sets_off_appears_when_it_does() -> None:
    """And not when it was first seen, whatever clip would show it standing."""
    (event,) = events_of(watcher(), lambda t: walk(max(0, t - 20)), 25)
    assert 19.9 <= event.pts_s <= 20.6


def test_the_same_over_a_checkpoint_and_with_other_rules_a_refusal() -> None:
    whole = events_of(watcher(), walk)
    first, second = watcher(), watcher()
    found: list[Event] = []
    for k in range(50):
        if k == 6:
            second.load_state(first.save_state())
        active = first if k < 6 else second
        found += active.watch(frame(k / 10, k), tracks(walk(k / 10)), NAMES)
    assert found == whole
    with pytest.raises(UsageError, match="whole picture"):
        watcher(None, zones=[ZONE]).load_state(first.save_state())


def test_masks_are_scaled_like_zones() -> None:
    rules = {"masks": [[[0, 125], [320, 125], [320, 240], [0, 240]]]}
    assert events_of(watcher(rules, size=[320, 240]), walk) == []
    drawn = CameraZones.model_validate({"appeared": rules, "size": [320, 240]})
    assert drawn.scaled_masks((640, 480)).appeared_rules.masks[0][1] == (640, 250)
    assert drawn.scaled_masks(None) == drawn


def test_rules_change_while_watching() -> None:
    """Tracks that were seen go on; who appeared does not appear again."""
    watched = watcher()
    found = [event.kind for event in events_of(watched, walk, 2)]
    watched.change(CameraZones.model_validate({"appeared": {"seen_s": 0.5}}))
    for k in range(20, 40):
        found += [e.kind for e in watched.watch(frame(k / 10, k), tracks(walk(k / 10)), NAMES)]
    assert found == ["appeared"]


def test_counts_say_what_never_appeared() -> None:
    camera = CameraZones(appeared=True)
    assert count_rows({}, camera) == [
        {"area": "", "kind": "appeared", "direction": "", "class_name": "", "count": 0}
    ]


def test_only_a_live_camera_without_anything_has_the_default() -> None:
    for tree, expected in (
        ({}, True),
        ({"appeared": False}, False),
        ({"zones": [ZONE]}, False),
        ({"zones": [ZONE], "appeared": {}}, True),
    ):
        live = CameraZones.model_validate(tree).with_live_default()
        assert (live.appeared_rules is not None) is expected, tree


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"masks": [[[0, 0], [1, 1]]]}, "want 3 points or more"),
        ({"masks": [[[0, 0], [9, 9], [9, 0], [0, 9]]]}, "cross each other"),
        ({"masks": [[[i, i * i] for i in range(65)]]}, "want at most 64 points"),
        ({"seen_s": -1}, "appeared.seen_s: want 0.0 or more"),
        ({"min_height": 2}, "appeared.min_height: want 1.0 or less"),
        ({"class": ["car"]}, "unknown key 'class'"),
        ({"classes": []}, "appeared.classes"),
        ("yes", "appeared"),
    ],
)
def test_rules_that_are_refused(rules: object, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        validated(CameraZones, {"appeared": rules}, "")


def test_classes_that_the_network_lacks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "trackline")
    events_of(watcher({"classes": ["tiger"]}), walk, 0.2)
    assert "there is no class 'tiger'" in caplog.text
    caplog.clear()
    events_of(watcher(), walk, 0.2)
    assert caplog.text == "", "of the default classes some are there"
