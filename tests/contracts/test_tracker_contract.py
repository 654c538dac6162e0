"""What every tracker plug-in found in the room owes its callers, whatever comes in."""

from __future__ import annotations

import importlib
import json
import pkgutil

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.trackers
from pipeline.core.data import Detections, Frame, Tracks
from pipeline.core.errors import UsageError
from pipeline.core.options import descriptions
from pipeline.core.state_json import from_json, to_json

NAMES = [
    name
    for _, name, _ in pkgutil.iter_modules(pipeline.trackers.__path__)
    if not name.startswith("_")
]
PICTURE = np.zeros((1, 1, 3), np.uint8)

ANY_NUMBER = st.floats(width=32, allow_nan=True, allow_infinity=True)
NEAR = st.floats(0, 300, width=32)
ANY_TIME = st.floats() | st.floats(0, 3)


@st.composite
def detection_sets(draw):
    """Boxes near one another, so that tracks form, among any four numbers at all."""
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 3)):
            x, y = draw(NEAR), draw(NEAR)
            rows.append((x, y, x + draw(NEAR), y + draw(NEAR)))
        else:
            rows.append(tuple(draw(ANY_NUMBER) for _ in range(4)))
    n = len(rows)
    score = [draw(st.floats(0, 1, width=32)) for _ in range(n)]
    class_id = [draw(st.integers(0, 2)) for _ in range(n)]
    return Detections(
        np.array(rows, np.float32).reshape(n, 4),
        np.array(score, np.float32),
        np.array(class_id, np.int32),
    )


@st.composite
def streams(draw):
    """Frames that mostly show the same few pictures at sensible times, so that tracks live."""
    pictures = draw(st.lists(detection_sets(), min_size=1, max_size=3))
    at_s, frames = 0.0, []
    for _ in range(draw(st.integers(0, 12))):
        at_s += draw(st.sampled_from([0.0, 1 / 30, 1 / 30, 0.2, 3.0]))
        odd = draw(st.integers(0, 9)) == 0
        frames.append((draw(ANY_TIME) if odd else at_s, draw(st.sampled_from(pictures))))
    return frames


def build(name: str):
    module = importlib.import_module(f"pipeline.trackers.{name}")
    return module.build(module.Options())


def frame_at(pts_s: float, index: int = 0) -> Frame:
    return Frame(PICTURE, "test", index, pts_s, 0.0)


def walk(frames: int, fps: float = 30.0):
    """Two objects crossing a picture, one of class 0 and one of class 1."""
    for k in range(frames):
        at = 300 * k / fps
        xyxy = np.array([[at, 50, at + 60, 200], [600 - at, 300, 700 - at, 340]], np.float32)
        yield (
            frame_at(k / fps, k),
            Detections(xyxy, np.array([0.9, 0.8], np.float32), np.array([0, 1], np.int32)),
        )


def as_lists(tracks: Tracks) -> list[list]:
    return [getattr(tracks, name).tolist() for name in Tracks.__slots__]


@pytest.mark.parametrize("name", NAMES)
def test_options_are_frozen_documented_and_know_their_keys(name):
    options = importlib.import_module(f"pipeline.trackers.{name}").Options
    with pytest.raises(pydantic.ValidationError, match="no_such_option"):
        options(no_such_option=1)
    assert descriptions(options).keys() == options.model_fields.keys()
    for key in options.model_fields:
        with pytest.raises(pydantic.ValidationError):
            setattr(options(), key, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(stream=streams())
def test_any_input_gives_finite_tracks_with_ids_and_rows_once(name, stream):
    """NaN, infinite, inside-out and far-away boxes, at times that repeat, jump or are no number:
    one of them in a filter would poison its track, or every track, for the rest of the run."""
    tracker = build(name)
    for index, (pts_s, detections) in enumerate(stream):
        tracks = tracker.update(frame_at(pts_s, index), detections)
        assert np.isfinite(tracks.xyxy).all()
        assert (tracks.xyxy[:, 2:] >= tracks.xyxy[:, :2]).all()
        assert np.isfinite(tracks.age_s).all()
        assert (tracks.age_s >= 0).all()
        assert (tracks.track_id >= 0).all()
        ids = tracks.track_id[tracks.track_id > 0]
        assert len(set(ids.tolist())) == len(ids)
        rows = tracks.detection[~tracks.coasting]
        assert len(set(rows.tolist())) == len(rows)
        assert (rows < len(detections)).all()
        assert set(tracks.class_id.tolist()) <= {0, 1, 2}  # the track's own, by vote
        np.testing.assert_array_equal(tracks.score[~tracks.coasting], detections.score[rows])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sides", [(1.0, 0.9), (0.9, 1.0), (0.8, 0.8)])
@pytest.mark.parametrize("gap_s", [1 / 30, 0.3, 0.9])
@pytest.mark.slow
def test_a_box_that_shrank_does_not_turn_inside_out_over_a_gap(name, sides, gap_s):
    """ByteTrack's height went through zero over some lost frames: the box was inside out, and with
    enough others about, the search for overlapping boxes raised ValueError and ended the run."""
    tracker = build(name)
    at_s, size = 0.0, np.array([200.0, 200.0])
    for k in range(24):
        at_s += gap_s if k == 18 else 1 / 30
        size *= sides
        xyxy = np.array([[50, 50, *(50 + size)], [300, 50, 400, 200]], np.float32)
        found = Detections(xyxy, np.full(2, 0.9, np.float32), np.zeros(2, np.int32))
        tracks = tracker.update(frame_at(at_s, k), found if k < 20 else Detections.empty())
        assert (tracks.xyxy[:, 2:] >= tracks.xyxy[:, :2]).all()


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=25)
@given(one=streams(), other=streams())
@pytest.mark.slow
def test_instances_share_nothing(name, one, other):
    """A tracker between whose frames another one runs reports what it reports alone: original
    SORT and its heirs number tracks in a class variable, so two cameras disturb each other."""
    alone = build(name)
    want = [as_lists(alone.update(frame_at(pts_s), boxes)) for pts_s, boxes in one]
    first, second = build(name), build(name)
    got = []
    for k in range(max(len(one), len(other))):
        if k < len(other):
            second.update(frame_at(other[k][0]), other[k][1])
        if k < len(one):
            got.append(as_lists(first.update(frame_at(one[k][0]), one[k][1])))
    assert got == want


@pytest.mark.parametrize("name", NAMES)
def test_a_steady_object_is_reported(name):
    reported = run(build(name), 30)[-1]
    assert sorted(reported.detection.tolist()) == [0, 1]
    assert sorted(reported.class_id.tolist()) == [0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_not_given_again_after_reset(name):
    tracker = build(name)
    before = {i for tracks in run(tracker, 30) for i in tracks.track_id.tolist()} - {0}
    tracker.reset()
    after = [tracks.track_id.tolist() for tracks in run(tracker, 30)]
    seen = {i for ids in after for i in ids} - {0}
    assert not before & seen
    assert len(before) == len(seen)


@pytest.mark.parametrize("name", NAMES)
def test_results_belong_to_the_caller(name):
    """A result is read by sinks while later frames are tracked: it must not change under them,
    and the detections must come back unharmed."""
    tracker = build(name)
    kept = []
    for frame, detections in walk(30):
        xyxy = detections.xyxy.copy()
        tracks = tracker.update(frame, detections)
        np.testing.assert_array_equal(detections.xyxy, xyxy)
        kept.append((tracks, as_lists(tracks)))
    assert all(as_lists(tracks) == then for tracks, then in kept)


def run(tracker, frames: int) -> list[Tracks]:
    return [tracker.update(frame, detections) for frame, detections in walk(frames)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
@pytest.mark.parametrize("classes", ["separate", "together"])
@settings(deadline=None, max_examples=25)
@given(stream=streams(), data=st.data())
@pytest.mark.slow
def test_a_run_stopped_and_continued_is_the_same_run(name, classes, stream, data):
    """Ids, ages and boxes go on exactly; the state stays what it was while its owner runs on."""
    module = importlib.import_module(f"pipeline.trackers.{name}")
    options = module.Options(classes=classes)
    first, second = module.build(options), module.build(options)
    stop = data.draw(st.integers(0, len(stream)))
    for pts_s, detections in stream[:stop]:
        first.update(frame_at(pts_s), detections)
    state = first.save_state()
    want = [as_lists(first.update(frame_at(pts_s), boxes)) for pts_s, boxes in stream[stop:]]
    second.load_state(state)
    got = [as_lists(second.update(frame_at(pts_s), boxes)) for pts_s, boxes in stream[stop:]]
    assert got == want


@pytest.mark.parametrize("cut", [0, 1, 2, 7, 30, 59])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_a_state_goes_through_a_file(name, cut, tmp_path):
    """Saved at any frame, as JSON, and loaded elsewhere: rows and ids go on to the last bit."""
    tracker, other = build(name), build(name)
    frames = [*walk(60)]
    for frame, detections in frames[:cut]:
        tracker.update(frame, detections)
    path = tmp_path / "state.json"
    path.write_text(json.dumps(to_json(tracker.save_state()), allow_nan=False))
    other.load_state(from_json(json.loads(path.read_text())))
    for frame, detections in frames[cut:]:
        got, want = (as_lists(each.update(frame, detections)) for each in (other, tracker))
        assert got == want


FOREIGN = [
    (name, other, state)
    for name in NAMES
    for other, state in (
        *((other, None) for other in NAMES if other != name),
        ("nothing", {}),
        ("an older version", {"tracker": f"{name}, version 0"}),
        ("a damaged one", {"tracker": f"{name}, version 1", "clock": np.zeros(4)}),
    )
]


@pytest.mark.parametrize(("name", "other", "state"), FOREIGN)
def test_a_foreign_state_is_refused(name, other, state):
    """In one line that says whose it is: sort's and bytetrack's have the same shapes."""
    if state is None:
        state = build(other).save_state()
    with pytest.raises(UsageError, match="state of a tracker") as error:
        build(name).load_state(state)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_poisons_nothing(name, score):
    """A network gone mad for a frame: what is remembered of scores must not become NaN."""
    tracker = build(name)
    for frame, detections in walk(30):
        if frame.index == 10:
            wrong = np.full(2, score, np.float32)
            detections = Detections(detections.xyxy, wrong, detections.class_id)
        tracks = tracker.update(frame, detections)
    assert sorted(tracks.track_id.tolist()) == [1, 2]
    assert sorted(tracks.detection.tolist()) == [0, 1]
