"""The command when things go wrong half-way: full disks, lost terminals, kills, broken files."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from support.paths import ROOT
from support.tiny_networks import one_box_network
from support.tiny_videos import cut, noise_picture, write_video

from pipeline.cli._summary import print_summary
from pipeline.cli.main import main
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import load_config
from pipeline.core.data import Result
from pipeline.core.errors import WriteError
from pipeline.report import run_config

AT_ONCE = {"tracker.confirm_s": 0.0}


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return one_box_network(tmp_path / "one.onnx")


@pytest.fixture
def settings(tmp_path: Path, network: Path) -> Callable[..., Path]:
    """Writes a configuration file for small synthetic sources with these names and options."""

    def write(*names: str, sinks: str = "csv", **options: Any) -> Path:
        small = {"kind": "synthetic", "width": 64, "height": 48, "frames": 5, **options}
        path = tmp_path / "small.yaml"
        tree = {
            "sources": [{**small, "name": name} for name in names or ("scene",)],
            "detector": {"kind": "yolo", "model": str(network)},
            "tracker": {"kind": "sort", "confirm_s": 0.0},
            "sinks": sinks.split(","),
        }
        path.write_text(json.dumps(tree))
        return path

    return write


def report_of(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "tracks.csv").open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


# -- the summary ----------------------------------------------------------------------------------

ODD_NAMES = ["a [/bold] x", "cam [front]", "[red]", ":smile:", "b" * 150]


def test_names_are_printed_as_they_are(
    tmp_path: Path, settings: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """ "a [/bold] x" ended a complete run in a traceback, "cam [front]" was printed as "cam".

    A pipe has no width: what a script reads must not be cut to 80 columns with an ellipsis.
    """
    out = tmp_path / ("long " * 20) / "[link]" / "out"
    assert main(["run", "-c", str(settings(*ODD_NAMES)), "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    for name in [*ODD_NAMES, f"written to {out}\n"]:
        assert name in shown
    assert "\u2026" not in shown


def test_a_long_name_is_folded_on_a_terminal_and_not_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    books = {"grabbed": 1, "delivered": 1, "dropped": 0}
    report = {"sources": {"b" * 150: books}, "stages": {}, "frames": 1, "elapsed_s": 1.0}
    print_summary({**report, "fps": 1.0, "limited_by": "infer"}, Path("out"))
    shown = capsys.readouterr().out
    assert shown.count("b") >= 150
    assert max(map(len, re.findall("b+", shown))) < 60, "a terminal has a width"


def test_a_failed_run_shows_its_frame_counts(
    tmp_path: Path, network: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that broke off after an hour told nothing of the hour: no table with exit code 1."""
    broken = cut(write_video(tmp_path / "b.mkv", [noise_picture(n) for n in range(50)]), 0.5)
    arguments = ["run", str(broken), "--model", str(network), "--save", "csv"]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 1
    shown = capfd.readouterr()
    assert len(shown.err.strip().splitlines()) == 1
    delivered = report_of(tmp_path / "out")["sources"]["cut-b"]["delivered"]
    assert f"{delivered} frames in" in shown.out
    assert "median ms" in shown.out


def test_a_run_that_never_began_shows_no_frame_counts(
    tmp_path: Path, network: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "absent.mp4", "--model", str(network), "-o", str(tmp_path / "o")]) == 2
    assert not capfd.readouterr().out


# -- outputs that cannot be written ---------------------------------------------------------------


def test_a_report_that_cannot_be_written_is_a_failure_and_no_mistake(
    tmp_path: Path, settings: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """The disk filled up at the end: exit code 2 said the arguments were wrong."""
    out = tmp_path / "out"
    (out / "report.json").mkdir(parents=True)
    assert main(["run", "-c", str(settings()), "-o", str(out)]) == 1
    shown = capfd.readouterr()
    assert shown.err.strip().splitlines() == [
        f"trackline: {out / 'report.json'}: cannot be written: Is a directory"
    ]
    assert "5 frames in" in shown.out
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "tracks.csv"]


@pytest.mark.slow
def test_a_report_that_cannot_be_written_hides_no_error_before_it(
    tmp_path: Path, network: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a full disk the report's failure took the place of the one that ended the run."""
    broken = cut(write_video(tmp_path / "b.mkv", [noise_picture(n) for n in range(50)]), 0.5)
    out = tmp_path / "out"
    (out / "report.json").mkdir(parents=True)
    arguments = ["run", str(broken), "--model", str(network), "--save", "csv", "-o", str(out)]
    assert main(arguments) == 1
    logged, last = capfd.readouterr().err.strip().splitlines()
    assert "report.json: cannot be written" in logged
    assert "breaks off" in last
    assert not list(out.glob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "mot"])
def test_a_disk_that_fills_up_is_a_failure_and_no_mistake(
    tmp_path: Path, settings: Callable[..., Path], kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The arguments were right and frames flowed: that is exit code 1, with books and report."""
    names = {"csv": "tracks.csv", "jsonl": "tracks.jsonl", "mot": "scene.txt"}
    out = tmp_path / "out"
    out.mkdir()
    (out / names[kind]).symlink_to("/dev/full")
    assert main(["run", "-c", str(settings(sinks=kind)), "-o", str(out)]) == 1
    shown = capfd.readouterr()
    (line,) = shown.err.strip().splitlines()
    assert line.endswith(f"{names[kind]}: cannot be written: No space left on device")
    assert "limited by" in shown.out
    assert report_of(out)["error"] in line


def test_a_full_disk_is_still_an_output_error() -> None:
    """Programs that catch OutputError, as the README says, must go on catching this one."""
    from pipeline.core.errors import OutputError

    assert issubclass(WriteError, OutputError)
    assert (OutputError.exit_code, WriteError.exit_code) == (2, 1)


# -- the report -----------------------------------------------------------------------------------


def test_the_report_names_whatever_ended_the_run(
    tmp_path: Path, settings: Callable[..., Path]
) -> None:
    """A caller's own error half-way left a report that looked like one of a complete run."""
    out = tmp_path / "out"
    reports: list[dict[str, Any]] = []

    def give_up(result: Result) -> None:
        if result.frame.index == 2:
            raise OSError("the watcher has gone")

    config = load_config(settings(frames=500), {"run.output": out})
    with pytest.raises(OSError, match="watcher"):
        run_config(resolve_config(config), on_result=give_up, on_report=reports.append)
    report = report_of(out)
    assert report["error"] == "OSError: the watcher has gone"
    assert reports == [report]
    (books,) = report["sources"].values()
    assert books["grabbed"] == books["delivered"] + books["dropped"]
    assert len(rows_of(out)) >= 3


def test_recorded_boxes_have_no_weights_in_the_report(tmp_path: Path) -> None:
    """The report of a run from recorded boxes said {"model": {"path": "None"}}."""
    boxes = tmp_path / "street.txt"
    boxes.write_text("1,-1,10,10,20,20,0.9,-1,-1,-1\n2,-1,11,10,20,20,0.9,-1,-1,-1\n")
    out = tmp_path / "out"
    assert main(["run", "--detections", str(boxes), "--save", "csv", "-o", str(out)]) == 0
    assert "model" not in report_of(out)


# -- whole processes ------------------------------------------------------------------------------


def started(config: Path, out: Path, **streams: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", "run", "-c", str(config), "-o", str(out)]
    environment = {**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=ROOT, text=True, env=environment, **streams)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal that can be taken away")
@pytest.mark.timeout(120)
def test_a_run_outlives_its_terminal(tmp_path: Path, settings: Callable[..., Path]) -> None:
    """A closed window killed runs in mid-video: the progress bar could not be drawn any more."""
    ours, theirs = os.openpty()
    out = tmp_path / "out"
    config = settings(live=True, fps=50.0, frames=150)
    process = started(config, out, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    shown = b""
    while b"tracking" not in shown:  # the bar is drawn
        shown += os.read(ours, 4096)
    os.close(ours)
    assert process.wait(60) == 0
    report = report_of(out)
    assert "error" not in report
    assert report["sources"]["scene"]["grabbed"] == 150


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill means something else")
@pytest.mark.timeout(120)
def test_a_killed_command_leaves_files_readable_up_to_the_last_second(
    tmp_path: Path, settings: Callable[..., Path]
) -> None:
    """kill -9, or memory ran out, with all writers at work: no file may be half a line or frame."""
    out = tmp_path / "out"
    config = settings(live=True, fps=50.0, frames=1_000_000, sinks="video,csv,jsonl,mot")
    process = started(config, out, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    table = out / "tracks.csv"
    while not (table.exists() and table.stat().st_size > 1000):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    time.sleep(2.5)  # the run's own time is the subject here: what is older than a second is safe
    process.kill()
    process.communicate()
    rows = rows_of(out)
    last = float(rows[-1]["pts_s"])
    assert last > 1.5
    assert None not in rows[-1].values()
    lines = [json.loads(line) for line in (out / "tracks.jsonl").read_text().splitlines()]
    boxes = (out / "scene.txt").read_text().splitlines()
    assert all(line.count(",") == 9 for line in boxes)
    with av.open(str(out / "scene.mp4")) as video:
        shown_s = [frame.time for frame in video.decode(video=0)]
    ends = (lines[-1]["pts_s"], int(boxes[-1].split(",")[0]) / 50, shown_s[-1])
    assert min(ends) > last - 1.0
    assert max(ends) < last + 1.0


@pytest.mark.slow
def test_one_broken_file_among_several_costs_the_others_nothing(
    tmp_path: Path, network: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A night's batch must not end with the first bad file; the exit code says there was one."""
    pictures = [noise_picture(n) for n in range(50)]
    first, bad, last = (write_video(tmp_path / f"{name}.mkv", pictures) for name in "abc")
    bad = cut(bad, 0.5)
    out = tmp_path / "out"
    arguments = ["run", *map(str, (first, bad, last)), "--model", str(network), "-o", str(out)]
    changes = [f"--set={key}={value}" for key, value in AT_ONCE.items()]
    assert main([*arguments, *changes, "--save", "video,csv,mot"]) == 1
    shown = capfd.readouterr()
    (line,) = shown.err.strip().splitlines()
    assert str(bad) in line
    books = report_of(out)["sources"]
    assert [books[name]["delivered"] for name in ("a", "c")] == [50, 50]
    assert 10 < books["cut-b"]["delivered"] < 40
    frames = [int(row["frame"]) for row in rows_of(out) if row["source"] == "c"]
    assert frames == list(range(50))
    assert {path.name for path in out.glob("*.mp4")} == {"a.mp4", "cut-b.mp4", "c.mp4"}
    assert "broken:" in shown.out
