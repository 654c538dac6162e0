"""SORT against the published tracker, and what its options promise; the tracker `none`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.mot_scoring import Sequence, score, write_tracks
from support.reference_sort import ObjectSort, crowd, stretches
from support.walkers import boxes, feed, held_tracks, tracker_after, walker

from pipeline.trackers import bytetrack, none, ocsort, sort, trackline

PUBLISHED = sort.Options(frames=sort.FrameRule(max_age=1, min_hits=3), min_iou=0.3, published=True)

# HOTA and MOTA as published (the project's notes on the data), IDF1 from
# `benchmarks/filterpy_sort.py` on the same detections.
FIGURES = {
    "MOT15": {
        "ADL-Rundle-6": (34.3, 38.1, 43.4),
        "ETH-Sunnyday": (54.5, 59.2, 72.4),
        "KITTI-17": (45.4, 60.2, 71.1),
        "TUD-Campus": (45.3, 62.7, 60.7),
        "TUD-Stadtmitte": (53.0, 71.7, 73.5),
    },
    "MOT17-public": {
        "MOT17-02-FRCNN": (31.3, 32.0, 36.4),
        "MOT17-05-FRCNN": (42.3, 45.1, 53.5),
        "MOT17-10-FRCNN": (39.0, 49.6, 43.8),
        "MOT17-13-FRCNN": (43.5, 45.8, 50.3),
    },
    "MOT17-val-half": {
        "MOT17-02-FRCNN": (34.9, 50.5, 39.0),
        "MOT17-05-FRCNN": (56.3, 70.1, 70.8),
        "MOT17-10-FRCNN": (49.9, 63.2, 61.5),
        "MOT17-13-FRCNN": (57.0, 71.0, 71.6),
    },
}


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize("data", FIGURES)
def test_published_figures(shared: Path, tmp_path: Path, data: str):
    """In frame mode with the paper's settings ours is the published tracker."""
    sequences = [Sequence(shared / "mot" / data / name) for name in FIGURES[data]]
    write_tracks(lambda: sort.build(PUBLISHED), sequences, tmp_path / "sort")
    scores = score(sequences, tmp_path / "sort", "MOT15" if data == "MOT15" else "MOT17")
    for name, figures in FIGURES[data].items():
        got = [scores[name][key] for key in ("HOTA", "MOTA", "IDF1")]
        assert got == pytest.approx(figures, abs=0.1), name


@pytest.mark.slow
@pytest.mark.parametrize("people", [3, 40, 150])
def test_equals_one_filterpy_filter_per_object(people: int):
    """Same boxes, same identities, frame by frame, in a crowd with misses and crossings."""
    ours, theirs = sort.build(PUBLISHED), ObjectSort()
    same: dict[float, int] = {}
    for k, xyxy in enumerate(crowd(people, seed=people)):
        tracks = feed(ours, k / 30, boxes(*xyxy))
        want = theirs.update(xyxy.astype(np.float64))
        assert len(tracks) == len(want)
        got = tracks.xyxy[np.lexsort(tracks.xyxy.T)]
        np.testing.assert_allclose(got, want[np.lexsort(want[:, :4].T), :4], atol=1e-2)
        ids = tracks.track_id[np.lexsort(tracks.xyxy.T)]
        for their, our in zip(want[np.lexsort(want[:, :4].T), 4], ids, strict=True):
            assert same.setdefault(their, our) == our
    assert len(set(same.values())) == len(same)


def test_ids_are_given_at_confirmation_without_gaps():
    """Twenty flickers of one frame each used up twenty ids in the original; the two people are
    1 and 2 here."""
    tracker = sort.build(sort.Options(coast_s=None))
    rng = np.random.default_rng(0)
    feed(tracker, -1 / 30, boxes())
    ids: list[int] = []
    for k in range(40):
        x, y = rng.uniform(1000, 5000, 2)
        people = [walker(k / 30)] + ([(100, 600, 160, 800)] if k > 20 else [])
        tracks = feed(tracker, k / 30, boxes(*people, (x, y, x + 20, y + 20)))
        ids += tracks.track_id.tolist()
    assert sorted(set(ids)) == [1, 2]


@pytest.mark.parametrize("kind", [sort, bytetrack, ocsort, trackline])
def test_a_single_picture_has_tracks(kind):
    """One photograph gave an empty table and a picture without boxes: nothing was confirmed."""
    tracks = feed(kind.build(kind.Options()), 0.0, boxes(walker(0), (300, 50, 340, 150)))
    assert tracks.track_id.tolist() == [1, 2]
    assert tracks.detection.tolist() == [0, 1]


@pytest.mark.parametrize("kind", [sort, bytetrack, ocsort])
def test_classes_apart_and_together(kind):
    """A car that a network calls a truck for one frame: one track by default, which stays the car
    that most of its detections, weighed by score, say it is; kept apart on request."""
    for classes, want in (("separate", [-1]), ("together", [0])):
        tracker, _ = tracker_after(1.0, kind.Options(classes=classes, coast_s=None))
        at_s = 1 + 1 / 30
        tracks = feed(tracker, at_s, boxes(walker(at_s), class_id=7, score=0.9))
        assert tracks.detection.tolist() == want
        assert tracks.class_id.tolist() == [0]


def test_the_vote_is_weighed_by_score():
    """Two doubtful looks at a bus do not outvote one clear look at a truck."""
    tracker = sort.build(sort.Options(classes="together", confirm_s=0))
    told = []
    for k, (class_id, sure) in enumerate([(5, 0.3), (5, 0.3), (7, 0.9), (2, 0.1)]):
        tracks = feed(tracker, k / 30, boxes((0, 0, 90, 50), class_id=class_id, score=sure))
        told += tracks.class_id.tolist()
    assert told == [5, 5, 7, 7]


def test_two_classes_in_one_place_do_not_swap():
    """A rider and a bicycle whose boxes change places: the better overlap is the other's, of
    another class."""
    tracker = sort.build(sort.Options(coast_s=None))
    one, other = (100, 100, 160, 250), (115, 120, 175, 270)
    for k in range(12):
        both = boxes(*([one, other] if k < 10 else [other, one]), class_id=[0, 1])
        tracks = feed(tracker, k / 30, both)
    assert tracks.track_id.tolist() == [1, 2]
    assert tracks.class_id.tolist() == [0, 1]


def test_bad_boxes_are_passed_over_and_rows_still_point_right():
    tracker, _ = tracker_after(1.0, sort.Options(coast_s=None))
    at_s = 1 + 1 / 30
    bad = [(np.nan, 0, 9, 9), (0, 0, np.inf, 9), (5, 5, 5, 9), (9, 9, 1, 1), (-2e7, 0, 9, 9)]
    tracks = feed(tracker, at_s, boxes(*bad, walker(at_s), *bad))
    assert tracks.detection.tolist() == [5]
    assert np.isfinite(tracks.xyxy).all()


@pytest.mark.parametrize(
    "box", [(50, 50, 50, 90), (50, 50, 90, 50), (50, 50, 50, 50), (90, 50, 50, 90)]
)
def test_boxes_without_area_start_no_track(box):
    tracker = sort.build(sort.Options(coast_s=None))
    for k in range(30):
        assert len(feed(tracker, k / 30, boxes(box))) == 0
    assert held_tracks(tracker) == 0


def test_wide_boxes_are_tracked():
    """Cars are wider than tall; a filter for pedestrians' shapes once dropped them all."""
    tracker = sort.build(sort.Options(coast_s=None))
    for k in range(10):
        tracks = feed(tracker, k / 30, boxes((10 * k, 100, 10 * k + 300, 180)))
    assert tracks.track_id.tolist() == [1]


def test_a_shrinking_track_does_not_turn_inside_out():
    """The area's trend is stopped before zero, as published; else its root is NaN."""
    tracker = sort.build(sort.Options(coast_s=None))
    for k in range(12):
        half = 60 - 5 * k
        tracks = feed(tracker, k / 30, boxes((200 - half, 200 - half, 200 + half, 200 + half)))
    for k in range(12, 40):
        tracks = feed(tracker, k / 30, boxes())
        assert np.isfinite(tracks.xyxy).all()
        assert (tracks.xyxy[:, 2:] > tracks.xyxy[:, :2]).all()
        assert len(tracks) == 1


def test_a_track_lost_to_infinity_is_dropped_alone():
    tracker, _ = tracker_after(1.0, sort.Options(coast_s=None))
    feed(tracker, 1.02, boxes(walker(1.02), (500, 500, 540, 560)))
    state = tracker.save_state()
    axes = len(state["filters"]) // 5  # a block each: position, velocity, three of covariance
    state["filters"][axes, 0] = np.inf
    tracker.load_state(state)
    tracks = feed(tracker, 1.04, boxes((500, 500, 540, 560)))
    assert len(tracks) == 0
    for k in range(5):
        tracks = feed(tracker, 1.06 + 0.03 * k, boxes((500, 500, 540, 560)))
    assert tracks.track_id.tolist() == [2]


def test_measured_boxes_on_request():
    """The detection's own box, out of any row; the filter's while coasting."""
    tracker, _ = tracker_after(1.0, sort.Options(box="measured", coast_s=None))
    jump = np.add(walker(1.0), (9, -7, 12, 5))
    tracks = feed(tracker, 1.03, boxes((900, 900, 950, 950), jump))
    np.testing.assert_array_equal(tracks.xyxy, np.float32([jump]))
    coasting = feed(tracker, 1.06, boxes())
    np.testing.assert_allclose(coasting.xyxy, [jump], atol=12)


@pytest.mark.slow
def test_tracks_that_leave_free_their_memory():
    """Lost tracks that are never pruned grow for ever: 20000 short ones must not."""
    tracker = sort.build(sort.Options(max_age_s=0.1, coast_s=None))
    for k in range(1000):
        fresh = [(60 * i, 80 * (k % 9), 60 * i + 50, 80 * (k % 9) + 60) for i in range(20)]
        feed(tracker, k / 30, boxes(*fresh))
        assert held_tracks(tracker) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", [sort, bytetrack, ocsort, trackline])
def test_memory_does_not_grow_with_the_tracks_that_left(kind):
    """100 objects come and go; lists of lost tracks that are never pruned grow for ever. (The
    benchmark runs 100,000 frames with 10,000.)"""
    options = kind.Options(max_age_s=0.2)
    figures = stretches(kind.build(options), frames=500, tracks=100)
    held = [kib for _, kib, _ in figures]
    assert figures[-1][2] >= 100
    assert max(held[5:]) < held[4] + 16


def test_none_gives_every_detection_no_identity():
    tracker = none.build(none.Options())
    tracks = feed(tracker, 0.0, boxes((0, 0, 9, 9), (np.nan, 0, 1, 1), (5, 5, 8, 9), class_id=3))
    assert tracks.track_id.tolist() == [0, 0]
    assert tracks.detection.tolist() == [0, 2]
    assert tracks.class_id.tolist() == [3, 3]
    assert tracks.age_s.tolist() == [0, 0]
