"""Trackers with an embedder: ids after occlusion, contact and breaks; when anything is embedded."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.data import Detections, Frame, Tracks
from pipeline.core.errors import ConfigError, UsageError
from pipeline.core.options import validated
from pipeline.core.state_json import from_json, to_json
from pipeline.core.yaml_file import dump
from pipeline.core.yuv import YuvImage
from pipeline.embedders import appearance

NAMES = ["sort", "bytetrack", "ocsort", "trackline"]
FPS = 20
RED, BLUE, GREEN = (40, 40, 200), (200, 80, 40), (60, 180, 60)
HEIGHT, WIDTH = 60, 24


class Counting:
    """The embedder `appearance`, which counts the boxes it was given."""

    def __init__(self) -> None:
        self._embedder = appearance.build(appearance.Options())
        self.min_similarity = self._embedder.min_similarity
        self.boxes = self.opened = self.closed = 0

    def open(self) -> None:
        self.opened += 1
        self._embedder.open()

    def embed(self, image: Any, xyxy: Any) -> Any:
        self.boxes += len(xyxy)
        return self._embedder.embed(image, xyxy)

    def close(self) -> None:
        self.closed += 1
        self._embedder.close()


def tracker_of(name: str, embedder: Any = None, **options: Any) -> Any:
    module = importlib.import_module(f"pipeline.trackers.{name}")
    if embedder is None:
        return module.build(module.Options(**options))
    tracker = module.build(module.Options(embedder="appearance", **options), embedder)
    tracker.open()
    return tracker


Place = tuple[float, tuple[int, int, int]]
Scene = Callable[[float], list[Place]]


def frames_of(
    scene: Scene, seconds: float, *, begin_s: float = 0.0, epoch: int = 0, captured_s: float = 0.0
) -> Iterator[tuple[Frame, Detections]]:
    """A grey wall before which the objects of `scene` (time to their centres and colours) move."""
    for k in range(round(seconds * FPS)):
        at_s = begin_s + k / FPS
        image = np.full((120, 400, 3), 120, np.uint8)
        boxes = []
        for x, colour in scene(at_s):
            left = round(x - WIDTH / 2)
            image[40 : 40 + HEIGHT, left : left + WIDTH] = colour
            boxes.append((left, 40, left + WIDTH, 40 + HEIGHT))
        n = len(boxes)
        found = Detections(
            np.array(boxes, np.float32).reshape(n, 4),
            np.full(n, 0.9, np.float32),
            np.zeros(n, np.int32),
        )
        yield Frame(image, "test", k, at_s, captured_s + at_s, epoch), found


def turning_back(left: Any, right: Any) -> Scene:
    """Two objects go behind a pillar from both sides, turn round there, and come back out."""

    def scene(at_s: float) -> list[Place]:
        way = 60 * min(at_s, 3.6 - at_s)
        return [] if 1.5 < at_s < 2.1 else [(90 + way, left), (310 - way, right)]

    return scene


def followed(tracker: Any, frames: Any) -> list[Tracks]:
    return [tracker.update(frame, found) for frame, found in frames]


def ids_by_place(tracks: Tracks) -> list[int]:
    """The ids of the detected tracks from left to right."""
    seen = tracks[~tracks.coasting]
    return [int(i) for i in seen.track_id[seen.xyxy[:, 0].argsort()]]


@pytest.mark.parametrize("name", NAMES)
def test_two_that_turn_round_behind_a_pillar_keep_their_ids(name: str) -> None:
    scene = turning_back(RED, BLUE)
    alone = followed(tracker_of(name, max_age_s=2), frames_of(scene, 3.5))
    told_apart = followed(tracker_of(name, Counting(), max_age_s=2), frames_of(scene, 3.5))
    assert ids_by_place(told_apart[28]) == ids_by_place(alone[28]) == [1, 2]
    assert ids_by_place(alone[-1]) == [2, 1], "by motion alone they have changed places"
    assert ids_by_place(told_apart[-1]) == [1, 2]
    after = {tuple(ids_by_place(tracks)) for tracks in told_apart[43:]}
    assert after == {(1, 2)}, "from the first frame on"


def test_a_lost_track_is_looked_for_at_its_own_place_on_the_ground(tmp_path: Path) -> None:
    """Two that had exchanged their motion models kept each other's places there."""
    ground = tmp_path / "ground.yaml"
    ground.write_text(dump({"matrix": [[0.1, 0, 0], [0, 0.1, 0], [0, 0, 1]], "size": [400, 120]}))

    def scene(at_s: float) -> list[Place]:
        """The left one waits for a moment, and comes out first: near where the other would."""
        waited = 26 if at_s > 2 else 0
        left = [] if 1.5 < at_s < 2.09 else [(90 + 60 * at_s - waited, RED)]
        return left + ([] if 1.5 < at_s < 2.29 else [(310 - 60 * at_s, BLUE)])

    tracker = tracker_of("trackline", Counting(), max_age_s=2, ground=ground)
    found = [ids_by_place(tracks) for tracks in followed(tracker, frames_of(scene, 2.4))]
    assert found[43:] == [[1]] * 3 + [[2, 1]] * 2


@pytest.mark.parametrize("name", NAMES)
def test_of_two_that_look_the_same_motion_decides(name: str) -> None:
    scene = turning_back(RED, RED)
    alone = followed(tracker_of(name, max_age_s=2), frames_of(scene, 3.5))
    with_looks = followed(tracker_of(name, Counting(), max_age_s=2), frames_of(scene, 3.5))
    for one, other in zip(alone, with_looks, strict=True):
        assert one.track_id.tolist() == other.track_id.tolist()
        np.testing.assert_array_equal(one.xyxy, other.xyxy)


def gone_for(seconds: float, before: Any = RED, after: Any = RED) -> Scene:
    """An object that is hidden from second 2 on, and comes back with this colour."""

    def scene(at_s: float) -> list[Place]:
        if at_s < 2:
            return [(100 + 40 * at_s, before)]
        return [(180, after)] if at_s >= 2 + seconds else []

    return scene


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("gap_s", "colour", "options", "same"),
    [
        (3.0, RED, {}, True),
        (3.0, BLUE, {}, False),
        (3.0, RED, {"remember_s": 2.0}, False),
        (12.0, RED, {}, False),
        (12.0, RED, {"remember_s": 20.0}, True),
    ],
)
def test_who_comes_back_after_a_long_time_is_known_by_looks(
    name: str, gap_s: float, colour: Any, options: dict[str, Any], same: bool
) -> None:
    """Motion forgets a track after a second."""
    frames = [*frames_of(gone_for(gap_s, RED, colour), gap_s + 4)]
    assert ids_by_place(followed(tracker_of(name), frames)[-1]) == [2]
    found = followed(tracker_of(name, Counting(), **options), frames)
    assert ids_by_place(found[-1]) == ([1] if same else [2])
    if same:
        assert {i for tracks in found for i in tracks.track_id.tolist()} <= {0, 1}
        assert found[-1].age_s[0] > gap_s, "it is as old as the object"


def test_who_cannot_have_come_so_far_is_another_one() -> None:
    def scene(at_s: float) -> list[Place]:
        return [(60, RED)] if at_s < 2 else [(360, RED)]

    found = followed(tracker_of("trackline", Counting()), frames_of(scene, 3.5))
    assert ids_by_place(found[-1]) == [2]


def test_no_id_is_given_to_two() -> None:
    """Two of the colour of one that was lost appear: one of them gets its id."""

    def scene(at_s: float) -> list[Place]:
        if at_s < 2:
            return [(200, RED)]
        return [(170, RED), (230, RED)] if at_s > 4 else []

    found = followed(tracker_of("trackline", Counting()), frames_of(scene, 7))
    assert sorted(ids_by_place(found[-1])) == [1, 2]
    for tracks in found:
        ids = tracks.track_id.tolist()
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_embedded_while_every_object_goes_its_own_way(name: str) -> None:
    def scene(at_s: float) -> list[Place]:
        return [(60 + 10 * at_s, RED), (200 + 10 * at_s, BLUE), (330 - 10 * at_s, GREEN)]

    embedder = Counting()
    followed(tracker_of(name, embedder), frames_of(scene, 5))
    assert embedder.boxes == 0


def test_a_few_boxes_are_embedded_about_an_occlusion() -> None:
    embedder = Counting()
    frames = [*frames_of(turning_back(RED, BLUE), 3.5)]
    followed(tracker_of("trackline", embedder, max_age_s=2), frames)
    assert 0 < embedder.boxes <= 16, f"of {sum(len(found) for _, found in frames)} boxes"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [10, 31, 38, 42, 45, 60])
def test_a_saved_state_goes_on_exactly_and_saving_changes_nothing(name: str, at: int) -> None:
    frames = [*frames_of(turning_back(RED, BLUE), 3.5)]
    plain = tracker_of(name, Counting(), max_age_s=2)
    saving = tracker_of(name, Counting(), max_age_s=2)
    want = followed(plain, frames)
    got = followed(saving, frames[:at])
    text = json.dumps(to_json(saving.save_state()))
    loaded = tracker_of(name, Counting(), max_age_s=2)
    loaded.load_state(from_json(json.loads(text)))
    for rest in (followed(saving, frames[at:]), followed(loaded, frames[at:])):
        for one, other in zip(want, [*got, *rest], strict=True):
            for field in Tracks.__slots__:
                np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


@pytest.mark.parametrize(
    ("saved_with", "loaded_with"),
    [(None, "appearance"), ("appearance", None), ("appearance", {"kind": "reid", "model": "a"})],
)
def test_a_state_of_another_embedder_is_refused(saved_with: Any, loaded_with: Any) -> None:
    """Vectors of two embedders cannot be compared."""
    trackline = importlib.import_module("pipeline.trackers.trackline")

    def made(embedder: Any) -> Any:
        options = trackline.Options(embedder=embedder)
        return trackline.build(options, Counting() if embedder else None)

    with pytest.raises(UsageError, match="state of a tracker: want"):
        made(loaded_with).load_state(made(saved_with).save_state())


@pytest.mark.parametrize(
    ("colour", "epoch", "after_s", "same"),
    [
        (RED, 1, 3.0, True),
        (BLUE, 1, 3.0, False),
        (RED, 1, 60.0, False),
        (RED, 0, 3.0, True),
    ],
)
def test_after_a_camera_came_back_who_looks_the_same_keeps_the_id(
    colour: Any, epoch: int, after_s: float, same: bool
) -> None:
    """A camera's times begin at 0 again; how long it was away, only the machine's clock says."""
    tracker = tracker_of("trackline", Counting())
    followed(tracker, frames_of(lambda at_s: [(80 + 10 * at_s, RED)], 3))
    tracker.reset()
    elsewhere = frames_of(lambda _: [(330, colour)], 3, epoch=epoch, captured_s=3 + after_s)
    found = followed(tracker, elsewhere)
    assert ids_by_place(found[-1]) == ([1] if same else [2])
    new = followed(tracker, frames_of(lambda _: [(330, colour), (60, GREEN)], 3, begin_s=3))
    assert max(ids_by_place(new[-1])) == (2 if same else 3), "ids are not given again"


def test_a_gap_that_objects_are_remembered_over_does_not_end_their_tracks() -> None:
    assert tracker_of("trackline").memory_s < 2
    assert tracker_of("trackline", Counting(), remember_s=7.0).memory_s == 7.0
    assert tracker_of("trackline", Counting(), remember_s=0.0).memory_s < 2


def test_the_time_it_takes_is_a_stage() -> None:
    tracker = tracker_of("sort", Counting())
    followed(tracker, frames_of(turning_back(RED, BLUE), 1))
    assert set(tracker.stage_ms) == {"track", "embed"}
    tracker = tracker_of("trackline", Counting())
    followed(tracker, frames_of(turning_back(RED, BLUE), 1))
    assert set(tracker.stage_ms) == {"camera", "track", "embed"}
    tracker = tracker_of("trackline")
    followed(tracker, frames_of(turning_back(RED, BLUE), 1))
    assert set(tracker.stage_ms) == {"camera", "track"}


def test_frames_without_a_picture_are_refused_in_one_line() -> None:
    """Recorded detections without their video would silently be tracked by motion alone."""
    tracker = tracker_of("trackline", Counting())
    frame = Frame(np.zeros((1, 1, 3), np.uint8), "test", 0, 0.0, 0.0)
    with pytest.raises(UsageError, match=r"tracker\.embedder: wants pictures"):
        tracker.update(frame, Detections.empty())


@pytest.mark.parametrize("name", NAMES)
def test_how_long_to_remember_means_nothing_without_an_embedder(name: str) -> None:
    module = importlib.import_module(f"pipeline.trackers.{name}")
    with pytest.raises(ConfigError, match="remember_s: does nothing without an embedder"):
        validated(module.Options, {"remember_s": 5}, "tracker")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_any_boxes_at_any_times_give_each_id_once(name: str, seed: int) -> None:
    """Crowds that come and go at once, boxes outside the picture and of no size, times that jump,
    cameras that shake and come back: as without looks, and a saved state goes on the same."""
    rng = np.random.default_rng(seed)
    tracker, at_s, epoch = tracker_of(name, Counting()), 0.0, 0
    given: set[int] = set()
    for k in range(60):
        n = int(rng.integers(0, 8))
        left_top = rng.choice([0, 60, 120, 300, 900, -50], (n, 2)) + rng.normal(0, 4, (n, 2))
        xyxy = np.concatenate((left_top, left_top + rng.choice([0, 12, 40, 60], (n, 2))), 1)
        xyxy[rng.random(n) < 0.05] = np.nan
        scores, classes = rng.random(n).astype(np.float32), rng.integers(0, 2, n).astype(np.int32)
        found = Detections(xyxy.astype(np.float32), scores, classes)
        at_s += float(rng.choice([0.0, 0.05, 0.05, 0.05, 3.0, -1.0]))
        image = rng.integers(0, 256, (240, 400, 3)).astype(np.uint8)
        if rng.random() < 0.05:
            tracker.reset()
            at_s, epoch = 0.0, epoch + 1
        if rng.random() < 0.1:
            state = from_json(json.loads(json.dumps(to_json(tracker.save_state()))))
            tracker = tracker_of(name, Counting())
            tracker.load_state(state)
        pts_s = float(rng.choice([at_s, at_s, at_s, np.nan, np.inf]))
        tracks = tracker.update(Frame(image, "test", k, pts_s, k / 20, epoch), found)
        assert np.isfinite(tracks.xyxy).all()
        assert np.isfinite(tracks.age_s).all()
        assert (tracks.age_s >= 0).all()
        ids = [i for i in tracks.track_id.tolist() if i]
        assert len(set(ids)) == len(ids)
        given |= set(ids)
    assert len(given) <= max(given, default=0), "new ids follow each other"


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_becomes_bgr_only_where_something_is_cut_out_of_it(name: str) -> None:
    """Every picture of a video was converted whole, for what is kept twice a second."""
    tracker = tracker_of(name, Counting())
    converted = 0

    def to_bgr(image: Any) -> Any:
        nonlocal converted
        converted += 1
        return image

    for frame, found in frames_of(lambda at_s: [(60 + 20 * at_s, RED)], 4):
        grey = np.full((120, 400), 120, np.uint8)
        chroma = np.full((60, 200), 128, np.uint8)
        planes = YuvImage(grey, (chroma, chroma), to_bgr=lambda image=frame.image: to_bgr(image))
        tracker.update(Frame(planes, "test", frame.index, frame.pts_s, 0.0), found)
    assert 4 <= converted <= 10
