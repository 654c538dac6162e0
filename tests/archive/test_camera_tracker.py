"""One camera over its recordings: what is cut into pieces is tracked as if it were whole."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.walkers import boxes

from pipeline.archive.batch.camera_tracker import CameraTracker
from pipeline.core.data import Frame, Result, Tracks
from pipeline.core.state_json import from_json, to_json
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher
from pipeline.trackers import trackline

FPS = 10.0
PICTURE = np.zeros((480, 640, 3), np.uint8)
ZONES = CameraZones.model_validate(
    {"lines": [{"name": "gate", "points": [[300, 0], [300, 480]]}],
     "zones": [{"name": "yard", "points": [[200, 0], [400, 0], [400, 480], [200, 480]]}]}
)  # fmt: skip


def camera_tracker() -> CameraTracker:
    return CameraTracker(
        "door", lambda: trackline.build(trackline.Options()), lambda: ZoneWatcher(ZONES)
    )


def found(k: int):
    left = 60 + 9 * k
    return boxes((left, 100, left + 40, 220), (500 - 5 * k, 250, 540 - 5 * k, 380))


def result(index: int, k: int, name: str = "piece") -> Result:
    frame = Frame(PICTURE, name, index, index / FPS, 0.0, file=f"{name}.mp4")
    return Result(frame, found(k), Tracks.empty(), {0: "person"})


def rows(one: Result):
    return [getattr(one.tracks, name).tolist() for name in Tracks.__slots__]


def pieces(count: int, length: int):
    """(place in the piece, frame of the whole), piece by piece."""
    return [[(k - at, k) for k in range(at, min(at + length, count))]
            for at in range(0, count, length)]  # fmt: skip


@pytest.mark.parametrize("length", [7, 20, 60])
def test_in_pieces_as_in_one(length):
    """Ids, ages and boxes, and events with the recording's own times and numbers."""
    whole, cut = camera_tracker(), camera_tracker()
    want = [whole.track(result(k, k)) for k in range(60)]
    got = []
    for number, piece in enumerate(pieces(60, length)):
        cut.begin(gap_s=0.0 if number else None, last_id=0)
        for index, k in piece:
            one = cut.track(result(index, k))
            assert (one.frame.source, one.frame.index, one.frame.pts_s) == (
                "door", index, index / FPS,
            )  # fmt: skip
            got.append(one)
    assert [rows(one)[1:5] for one in got] == [rows(one)[1:5] for one in want]
    np.testing.assert_allclose(
        np.concatenate([one.tracks.xyxy for one in got]),
        np.concatenate([one.tracks.xyxy for one in want]), atol=1e-3,
    )  # fmt: skip
    events = [(k, e) for k, one in enumerate(want) for e in one.events]
    kinds = [event.kind for _, event in events]
    assert {"enter", "leave", "cross"} <= set(kinds)
    shifted = []
    for k, one in enumerate(got):
        start = k - k % length
        shifted += [
            (k, e.kind, e.track_id, e.index + start, round(e.pts_s + start / FPS, 6))
            for e in one.events
        ]
    assert shifted == [(k, e.kind, e.track_id, e.index, e.pts_s) for k, e in events]


def test_an_event_from_before_the_seam_has_a_negative_time():
    """It is decided once it has held for a while, and by then the next recording has begun."""
    whole = camera_tracker()
    decided = [(k, e.index) for k in range(60) for e in whole.track(result(k, k)).events]
    after, happened = next((k, index) for k, index in decided if index < k)
    cut = camera_tracker()
    for k in range(after):
        cut.track(result(k, k))
    cut.begin(gap_s=0.0, last_id=0)
    (event, *_) = cut.track(result(0, after)).events
    assert event.index == happened - after < 0
    assert event.pts_s == pytest.approx((happened - after) / FPS)


def test_a_gap_takes_its_time():
    """Two people stand still: over a gap longer than the tracker's memory they are new ones."""
    for gap_s, same in ((0.0, True), (0.6, True), (2.5, False)):
        tracker = camera_tracker()
        before = [tracker.track(result(index, 0)) for index in range(20)][-1]
        tracker.begin(gap_s=gap_s, last_id=0)
        after = [tracker.track(result(index, 0)) for index in range(5)][-1]
        assert (before.tracks.track_id.tolist() == after.tracks.track_id.tolist()) == same


def test_where_tracks_end_ids_go_on():
    tracker = camera_tracker()
    for index in range(10):
        tracker.track(result(index, 0))
    assert tracker.last_id == 2
    tracker.begin(gap_s=None, last_id=40)
    ids = [tracker.track(result(index, 0)) for index in range(5)][-1].tracks.track_id
    assert ids.tolist() == [41, 42]
    assert tracker.last_id == 42


@pytest.mark.parametrize("cut", [0, 1, 13, 19, 20, 21, 33])
def test_saved_anywhere_it_goes_on_the_same(cut):
    """In the middle of a recording and at a seam, through JSON."""
    steps = [step for piece in pieces(45, 20) for step in piece]

    def run(tracker, first, last):
        done = []
        for index, k in steps[first:last]:
            if index == 0:
                tracker.begin(gap_s=0.2 if k else None, last_id=0)
            one = tracker.track(result(index, k))
            done.append((rows(one), one.events, tracker.ended_at_s))
        return done

    first, second = camera_tracker(), camera_tracker()
    run(first, 0, cut)
    state = json.loads(json.dumps(to_json(first.save_state())))
    want = run(first, cut, None)
    second.load_state(from_json(state))
    assert run(second, cut, None) == want


def test_the_step_is_the_recordings_own():
    tracker = camera_tracker()
    assert tracker.ended_at_s == 0.0
    for index in range(3):
        tracker.track(result(index, 0))
    assert tracker.ended_at_s == pytest.approx(0.3)
    tracker.begin(gap_s=1.0, last_id=0)
    assert (tracker.ended_at_s, tracker.offset_s) == (0.0, pytest.approx(1.3))
    one = tracker.track(replace(result(0, 0), dropped_before={"undecoded": 3}))
    assert one.dropped_before == {"undecoded": 3}
    assert tracker.ended_at_s == pytest.approx(0.1)
