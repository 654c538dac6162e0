"""What SORT promises about time: seconds by default, at every frame rate, whatever the clock."""

from __future__ import annotations

import numpy as np
import pytest
from support.walkers import boxes, feed, tracker_after, walker

from pipeline.trackers import sort


@pytest.mark.parametrize("fps", [30.0, 29.97, 10.0, 5.0])
def test_seconds_mean_the_same_at_every_frame_rate(fps: float):
    """Confirmed after 0.4 s, coasting for 1 s, then gone: counted in frames, a camera of 5 fps
    would need six times as long for either."""
    tracker, _ = tracker_after(2.0, sort.Options(confirm_s=0.4, coast_s=None), fps)
    fresh = sort.build(sort.Options(confirm_s=0.4, coast_s=None))
    feed(fresh, -1 / fps, boxes())  # what is there in the very first frame is reported at once
    first = next(k / fps for k in range(100) if len(feed(fresh, k / fps, boxes(walker(k / fps)))))
    assert 0.4 - 0.002 <= first < 0.4 + 1 / fps
    last_seen = round(2.0 * fps) / fps
    coasting = []
    for k in range(1, round(2 * fps)):
        tracks = feed(tracker, last_seen + k / fps, boxes())
        assert tracks.coasting.all()
        coasting += [k / fps] * len(tracks)
    assert len(coasting) == len(set(coasting))
    assert 1.0 - 1 / fps < max(coasting) <= 1.0 + 0.002


def test_times_rounded_by_the_container_do_not_shift_a_threshold():
    """Matroska rounds to milliseconds: 0.033, 0.067, 0.1 must confirm with the same frame."""
    exact, rounded = sort.build(sort.Options(coast_s=None)), sort.build(sort.Options(coast_s=None))
    feed(exact, -1 / 30, boxes())
    feed(rounded, 7.0, boxes())
    for k in range(10):
        at_s = k / 30
        a = feed(exact, at_s, boxes(walker(at_s)))
        b = feed(rounded, round(at_s + 7.0333, 3), boxes(walker(at_s)))
        assert a.track_id.tolist() == b.track_id.tolist() == ([1] if k >= 3 else [])


def test_dropped_frames_keep_the_identity():
    """A live source that drops every other frame, then eight in a row, moves as it did."""
    tracker, _ = tracker_after(1.0, sort.Options(coast_s=None))
    for k in [32, 34, 36, 45, 46, 47]:
        tracks = feed(tracker, k / 30, boxes(walker(k / 30)))
        assert tracks.track_id.tolist() == [1]
        assert tracks.detection.tolist() == [0]


def test_prediction_uses_the_real_interval():
    """0.5 s without frames: the box is expected 0.5 s farther, not one frame farther."""
    tracker, _ = tracker_after(2.0, sort.Options(coast_s=None))
    tracks = feed(tracker, 2.5, boxes())
    np.testing.assert_allclose(tracks.xyxy[0], walker(2.5), atol=2)


@pytest.mark.parametrize("times", [[1.0] * 6, [1.0, 0.5, 0.2, 0.1, 0.0, -3.0], [np.nan] * 6])
def test_a_clock_that_stands_or_runs_back_loses_no_track(times):
    tracker, _ = tracker_after(1.0, sort.Options(coast_s=None))
    for at_s in times:
        tracks = feed(tracker, at_s, boxes(walker(1.0)))
        assert tracks.track_id.tolist() == [1]
        assert tracks.detection.tolist() == [0]


def test_after_the_clock_ran_back_time_goes_on():
    """A file that loops starts at 0 again: tracks must still age and leave."""
    tracker, _ = tracker_after(60.0, sort.Options(coast_s=None), fps=5)
    feed(tracker, 0.0, boxes())
    assert len(feed(tracker, 0.9, boxes())) == 1
    assert len(feed(tracker, 1.9, boxes())) == 0


def test_a_clock_gone_mad_leaves_a_standing_track_sound():
    """A camera's clock that leaps by years (a device that first learns the date) must neither
    fling tracks out of the picture nor make an age that is no number."""
    here = (100, 100, 150, 250)
    tracker = sort.build(sort.Options(coast_s=None))
    for k in range(60):
        feed(tracker, k / 30, boxes(np.add(here, (k / 30, 0, k / 30, 0))))
    tracks = feed(tracker, 1e300, boxes(here))
    assert tracks.track_id.tolist() == [1]
    assert tracks.detection.tolist() == [0]
    assert np.isfinite(tracks.age_s).all()


def test_coasting_can_be_reported_for_less_than_it_lasts():
    tracker, _ = tracker_after(1.0, sort.Options(coast_s=0.2))
    shown = [len(feed(tracker, 1 + k / 30, boxes())) for k in range(1, 20)]
    assert shown == [1] * 6 + [0] * 13
    back = feed(tracker, 1 + 20 / 30, boxes(walker(1 + 20 / 30)))
    assert back.track_id.tolist() == [1]


def test_frame_mode_ignores_times():
    options = sort.Options(frames=sort.FrameRule(max_age=2, min_hits=1))
    tracker = sort.build(options)
    times = [-1.0, 0.0, 50.0, 50.0, 49.0, 1000.0, np.inf]
    seen = [False, True, True, False, False, False, True]
    got = [
        feed(tracker, t, boxes((0, 0, 9, 9)) if s else boxes())
        for t, s in zip(times, seen, strict=True)
    ]
    assert [tracks.track_id.tolist() for tracks in got] == [[], [], [1], [1], [1], [], []]
    assert [tracks.detection.tolist() for tracks in got] == [[], [], [0], [-1], [-1], [], []]


def test_age_counts_from_the_first_detection():
    _, tracks = tracker_after(2.0, sort.Options(coast_s=None), fps=10)
    assert tracks.age_s.tolist() == pytest.approx([2.0])
