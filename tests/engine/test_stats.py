"""What the report is made of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.engine.stats import Histogram, Stats


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("percent", [1, 50, 95, 99])
@pytest.mark.parametrize("shape", ["exponential", "lognormal", "uniform"])
@pytest.mark.slow
def test_percentiles_are_within_the_buckets_of_numpys(seed: int, percent: int, shape: str) -> None:
    rng = np.random.default_rng(seed)
    values = {
        "exponential": rng.exponential(20, 5000),
        "lognormal": rng.lognormal(2, 1.5, 5000),
        "uniform": rng.uniform(0.01, 40, 5000),
    }[shape]
    histogram = Histogram()
    for value in values:
        histogram.add(float(value))
    expected = np.percentile(values, percent, method="inverted_cdf")
    assert histogram.percentile(percent) == pytest.approx(expected, rel=0.021)
    assert histogram.summary()["mean_ms"] == pytest.approx(values.mean(), abs=1e-3)


def test_an_empty_histogram_says_zero() -> None:
    assert Histogram().summary() == {"median_ms": 0.0, "p95_ms": 0.0, "mean_ms": 0.0}


def test_a_single_value_is_every_percentile() -> None:
    histogram = Histogram()
    histogram.add(12.0)
    for percent in (0, 1, 50, 100):
        assert histogram.percentile(percent) == pytest.approx(12.0, rel=0.021)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0, 0.0, 1e30, -float("inf")])
def test_no_value_breaks_the_histogram(value: float) -> None:
    """A stage time of infinity raised OverflowError in the middle of a run, and NaN or a negative
    one spoilt the mean for good: plug-ins report their own times."""
    histogram = Histogram()
    histogram.add(value)
    histogram.add(5.0)
    assert histogram.count == 2
    assert np.isfinite(list(histogram.summary().values())).all()
    json.dumps(histogram.summary(), allow_nan=False)
    assert histogram.summary()["mean_ms"] >= 2.5


def test_the_report_has_what_people_are_promised() -> None:
    stats = Stats({"file": False, "door": True})
    stats.sources["file"].grabbed = 10
    stats.sources["file"].delivered = 8
    stats.drop("file", "stopped", 2)
    stats.drop("door", "stale", 0)
    stats.sources["door"].reconnects = 3
    stats.sources["file"].broken = "a.mp4: breaks off at 0.4 s"
    stats.sources["door"].age.add(40.0)
    stats.add_stages({"decode": 1.0, "infer": 8.0})
    report = stats.report()
    assert report["frames"] == 8
    assert report["sources"]["file"] == {
        "grabbed": 10,
        "delivered": 8,
        "dropped": 2,
        "dropped_by_cause": {"stopped": 2},
        "rejected_boxes": 0,
        "broken": "a.mp4: breaks off at 0.4 s",
    }
    door = report["sources"]["door"]
    assert (door["reconnects"], door["dropped_by_cause"]) == (3, {})
    assert set(door["age"]) == {"p50_ms", "p95_ms", "p99_ms"}
    assert set(report["stages"]) == {"decode", "infer"}
    assert set(report["stages"]["infer"]) == {"median_ms", "p95_ms", "mean_ms"}
    assert set(report["inference_waited"]) == {"for_frames", "for_detector", "for_sinks"}
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize(
    ("held_up", "in_flight", "stage"),
    [(0, 0, "decode"), (0, 3, "decode"), (3, 0, "sinks"), (3, 1, "sinks"), (3, 2, "infer")],
)
def test_a_file_that_is_not_read_on_is_not_what_limits(
    held_up: int, in_flight: int, stage: str
) -> None:
    """With few large pictures on their way no queue is ever full: each run in 4K was said to be
    limited by decoding."""
    times = iter((0.0, 1.0))
    stats = Stats({"a": False}, clock=lambda: next(times))
    stats.add_starved(0.8, held_up, in_flight)
    assert stats.limiting_stage() == stage


@pytest.mark.parametrize(
    ("frames", "detector", "sinks", "following", "live", "stage"),
    [
        (0.02, 0.6, 0.02, 0.1, [False], "infer"),
        (0.7, 0.1, 0.02, 0.1, [False], "decode"),
        (0.7, 0.1, 0.02, 0.1, [True], "camera"),
        (0.7, 0.1, 0.02, 0.1, [True, False], "decode"),
        (0.02, 0.1, 0.7, 0.1, [False], "sinks"),
        (0.02, 0.1, 0.7, 0.1, [True], "sinks"),
        # A detector that is waited for is busy, even if the thread is busier with tracks.
        (0.02, 0.2, 0.02, 0.7, [False], "infer"),
        (0.02, 0.2, 0.25, 0.5, [False], "sinks"),
        (0.2, 0.02, 0.02, 0.7, [True], "camera"),
        # It hardly waits: its own work sets the pace.
        (0.02, 0.05, 0.02, 0.7, [False], "track"),
        (0.02, 0.05, 0.02, 0.2, [False], "infer"),
        (0.0, 0.0, 0.0, 0.1, [True], "infer"),
    ],
)
def test_the_limiting_stage_is_what_inference_waited_for(
    frames: float, detector: float, sinks: float, following: float, live: list[bool], stage: str
) -> None:
    """Whoever took most of the thread's time is not whoever limits: work overlaps."""
    seconds = 100.0
    times = iter((0.0, 0.0, seconds))
    stats = Stats({str(index): one for index, one in enumerate(live)}, lambda: next(times))
    stats.begin()
    stats.end()
    stats.starved_s, stats.detector_s = frames * seconds, detector * seconds
    stats.blocked_s, stats.tracking_s = sinks * seconds, following * seconds
    assert stats.limiting_stage() == stage
    waited = stats.report()["inference_waited"]
    assert waited == {"for_frames": frames, "for_detector": detector, "for_sinks": sinks}
