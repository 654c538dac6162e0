"""`trackline bench`: what is measured, how medians are taken, and what is said about them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pipeline.cli.main import main
from pipeline.tools.bench.cases import Case, cases
from pipeline.tools.bench.jobs import (
    Job,
    Measurement,
    MeasurementError,
    Side,
    Stopwatch,
    warm_frames,
)
from pipeline.tools.bench.rounds import Rounds, Row
from pipeline.tools.bench.trackline_run import run
from pipeline.tools.bench.verdict import verdict


def measurement(fps: float, limit: str = "infer", cpu_ms: float = 30, **stages: float):
    report = {"limited_by": limit, "stages": {k: {"median_ms": v} for k, v in stages.items()}}
    return Measurement(fps, cpu_ms, 300.0, 100, report)


def row(case: Case, fps: float, side: Side = "ours", **more) -> Row:
    return Row(side, case, measurement(fps, **more), fps, fps)


BASE = Case(640)


def test_cases_are_smaller_sizes_saving_and_other_precisions():
    labels = [each.label for each in cases(640, "auto", ["fp32"])]
    assert labels == [
        "imgsz 640",
        "imgsz 640, saving video",
        "imgsz 480",
        "imgsz 320",
        "imgsz 640, fp32",
    ]
    assert [each.label for each in cases(None, "auto", [])] == ["as it is", "saving video"]
    assert len(cases(32, "fp32", ["fp32"])) == 2  # nothing is smaller, nothing else is asked for
    assert all(each.imgsz is None or each.imgsz % 32 == 0 for each in cases(416, "auto", []))


class Scripted:
    """Measures by a script: frames per second by side and case, one after the other."""

    def __init__(self, **rates: list[float]) -> None:
        self.rates: dict[str, Iterator[float]] = {key: iter(each) for key, each in rates.items()}
        self.order: list[str] = []

    def __call__(self, side: Side, job: Job) -> Measurement:
        key = f"{side}_{'save' if job.save else 'track'}"
        self.order.append(key)
        rate = next(self.rates[key])
        if rate < 0:
            raise MeasurementError("it broke")
        return measurement(rate)


def rounds() -> Rounds:
    return Rounds("clip.mp4", "net.onnx", "auto", 100)


def test_cases_are_measured_in_turn_and_the_median_counts():
    """Measured one case after the other, a busy minute would decide who wins."""
    scripted = Scripted(ours_track=[10, 30, 20], theirs_track=[5, 6, 7])
    rows = rounds().run([("ours", BASE), ("theirs", BASE)], 3, scripted)
    assert scripted.order == ["ours_track", "theirs_track"] * 3
    assert [(each.side, each.median.fps) for each in rows] == [("ours", 20), ("theirs", 6)]
    assert (rows[0].lowest_fps, rows[0].highest_fps) == (10, 30)
    assert rows[0].as_plain()["fps_range"] == [10, 30]


def test_another_program_that_fails_does_not_cost_the_own_figures():
    tried = rounds()
    scripted = Scripted(ours_track=[10, 11], theirs_track=[-1])
    rows = tried.run([("ours", BASE), ("theirs", BASE)], 2, scripted)
    assert [each.side for each in rows] == ["ours"]
    assert tried.trouble == "it broke"
    with pytest.raises(MeasurementError):
        rounds().run([("ours", BASE)], 1, Scripted(ours_track=[-1]))


@pytest.mark.parametrize(
    ("limit", "stages", "says"),
    [
        ("infer", {"infer": 10, "track": 1}, "the network"),
        ("track", {"infer": 3, "camera": 4, "track": 1}, "following objects"),
        ("decode", {"decode": 10, "infer": 1}, "decoding the video"),
        ("sinks", {"write": 10}, "drawing and encoding"),
        ("camera", {"infer": 1}, "in time"),
    ],
)
def test_verdict_names_what_limits(limit, stages, says):
    said = "\n".join(verdict([row(BASE, 50, limit=limit, cpu_ms=6, **stages)], 2))
    assert says in said
    assert "enough for 2 cameras" in said


def test_a_network_that_works_while_the_tracker_does_is_not_overlooked():
    """Batches overlap: most frames' answers are there at once, and yet the network limits."""
    said = verdict([row(BASE, 75, cpu_ms=26, infer=0.1, camera=4, track=1)], 2)
    assert any("What limits is the network" in each for each in said)
    assert not any("--tracker" in each for each in said)


def test_figures_of_a_busy_machine_are_doubted():
    """Medians of 12 to 77 frames a second say nothing, however neat the table is."""
    busy = Row("ours", BASE, measurement(17), 11.7, 77.2)
    assert "differ by up to 6.6x" in verdict([busy], 2)[0]
    assert "differ" not in verdict([row(BASE, 50)], 2)[0]


def test_verdict_says_what_changes_gain_and_cost():
    rows = [
        row(BASE, 50),
        row(Case(640, save=True), 40),
        row(Case(480), 80),
        row(Case(320), 52),
        row(Case(640, "fp32"), 25),
        row(BASE, 20, side="theirs"),
    ]
    said = verdict(rows, 4)
    assert any("Saving video costs 20 %" in each for each in said)
    assert any(each.startswith("imgsz 480 is 1.60x as fast; small") for each in said)
    assert not any("imgsz 320" in each for each in said)  # gains next to nothing
    assert any("fp32 takes 2.00x as long" in each for each in said)
    assert any(each.startswith("2.50x ultralytics") for each in said)
    assert any("something waits" in each for each in said)
    assert not any("something waits" in each for each in verdict([row(BASE, 66)], 2))


def test_warm_frames_are_not_counted():
    assert warm_frames(200) == 32
    assert warm_frames(20) == 5
    stopwatch = Stopwatch(5)
    stopwatch.count(range(20))
    told = stopwatch.measurement({})
    assert told.frames == 20
    assert told.fps > 0
    few = Stopwatch(5)
    few.count(range(3))
    assert few.measurement({}).fps > 0


@pytest.mark.slow
def test_our_own_job_is_run_and_timed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = {"kind": "synthetic", "width": 160, "height": 120, "frames": None, "objects": 2}
    told = run(Job(source, "builtin", {"imgsz": 64}, save=True, max_frames=8))
    assert told.frames == 8
    assert told.fps > 0
    assert {"decode", "infer", "track", "write"} <= set(told.stages)
    assert [path.suffix for path in (tmp_path / "out").glob("*.mp4")] == [".mp4"]


@pytest.mark.slow
def test_the_command_measures_and_prints_json(capsys):
    code = main(["bench", "--imgsz", "64", "--repeats", "1", "--max-frames", "6", "--json"])
    assert code == 0
    tree = json.loads(capsys.readouterr().out)
    assert [each["setting"] for each in tree["rows"]][:2] == ["imgsz 64", "imgsz 64, saving video"]
    assert all(each["fps"] > 0 and each["frames"] == 6 for each in tree["rows"])
    assert tree["verdict"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["nothing.mp4"], "nothing.mp4: no such file"),
        (["--repeats", "0"], "--repeats: want 1 or more"),
        (["--model", "no-such-name"], "no-such-name"),
        (["--imgsz", "7"], "detector.imgsz"),
    ],
)
def test_mistakes_are_one_line(argv, says, capsys):
    assert main(["bench", *argv]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
