"""The command as a person meets it: exit codes, one line for a mistake, files and the report."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from support.paths import ROOT
from support.tiny_networks import constant_network
from support.tiny_videos import noise_picture, write_video

from pipeline.cli.main import main

SMALL = {"kind": "synthetic", "width": 64, "height": 48, "frames": 5}


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A tiny network file in the v8 layout that finds one box in the middle of every picture."""
    one_box = np.array([[32], [24], [20], [10], [0.9], [0.0]], np.float32)[None]
    return constant_network(
        tmp_path / "one.onnx", one_box, metadata={"names": "{0: 'person', 1: 'car'}"}
    )


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps({"sources": [SMALL], "sinks": ["csv"]}))
    return path


def test_a_run_writes_its_table_and_report(
    tmp_path: Path, network: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["run", "-c", str(settings), "--model", str(network), "-o", str(out)]
    assert main([*arguments, "--save", "video,csv,jsonl,mot", "--set", "tracker.confirm_s=0"]) == 0
    assert "5 frames" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    (source,) = report["sources"].values()
    assert (source["grabbed"], source["delivered"], source["dropped"]) == (5, 5, 0)
    assert report["model"]["sha256"]
    assert report["versions"]["openvino"]
    assert report["config"]["detector"]["iou"] == 0.7
    expected = {"decode", "preprocess", "infer", "postprocess", "track", "draw", "write"}
    assert expected <= set(report["stages"])
    with (out / "tracks.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert {row["class_name"] for row in rows} == {"person"}
    assert [int(row["frame"]) for row in rows] == [0, 1, 2, 3, 4]


MISTAKES = [
    "missing file", "empty file", "not a video", "folder without images", "no source",
    "missing weights", "unknown kind of weights", "weights that are none", "unknown class",
    "no class left", "filter that leaves nothing", "unknown tracker", "unknown sink",
    "misspelt option", "option without value", "unknown key", "unknown --set key",
    "unwritable output", "unknown device",
]  # fmt: skip


def mistakes(tmp_path: Path, network: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Name -> (arguments, what the line must contain)."""
    empty = tmp_path / "empty.mp4"
    empty.touch()
    text = tmp_path / "notes.mp4"
    text.write_text("no video\n" * 100)
    folder = tmp_path / "folder"
    folder.mkdir()
    odd = tmp_path / "weights.bin"
    odd.write_bytes(b"x" * 100)
    fake = tmp_path / "fake.onnx"
    fake.write_bytes(b"not a network")
    blocked = tmp_path / "blocked"
    blocked.touch()
    wrong_key = tmp_path / "wrong.yaml"
    wrong_key.write_text("detector: {kind: yolo, conff: 0.5}")
    model = ["--model", str(network)]
    good = ["synthetic", *model]
    return {
        "missing file": (["absent.mp4", *model], ["absent.mp4"]),
        "empty file": ([str(empty), *model], ["empty.mp4"]),
        "not a video": ([str(text), *model], ["notes.mp4"]),
        "folder without images": ([str(folder), *model], ["folder"]),
        "no source": (model, ["sources: needed"]),
        "missing weights": (["synthetic", "--model", "absent.onnx"], ["absent.onnx"]),
        "unknown kind of weights": (["synthetic", "--model", str(odd)], ["weights.bin", ".onnx"]),
        "weights that are none": (["synthetic", "--model", str(fake)], ["fake.onnx"]),
        "unknown class": ([*good, "--classes", "persn"], ["persn", "person"]),
        "no class left": ([*good, "--classes", ","], ["classes"]),
        "filter that leaves nothing": ([*good, "--conf", "1.5"], ["detector.conf", "1.5"]),
        "unknown tracker": ([*good, "--tracker", "srt"], ["srt", "sort"]),
        "unknown sink": ([*good, "--save", "vide"], ["vide", "video"]),
        "misspelt option": ([*good, "--modle", "x"], ["--modle", "--model"]),
        "option without value": ([*good, "--conf"], ["--conf"]),
        "unknown key": ([*good, "-c", str(wrong_key)], ["conff", "conf"]),
        "unknown --set key": ([*good, "--set", "run.max_frame=1"], ["max_frame", "max_frames"]),
        "unwritable output": ([*good, "-o", str(blocked)], ["blocked"]),
        "unknown device": ([*good, "--device", "gpu"], ["detector.device", "gpu"]),
    }


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_exit_2_and_nothing_written(
    name: str, tmp_path: Path, network: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, says = mistakes(tmp_path, network)[name]
    out = tmp_path / "out"
    place = [] if "-o" in arguments else ["-o", str(out)]
    assert main(["run", *arguments, *place]) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in says), lines[0]
    assert not list(out.rglob("*")), "half-written outputs"


def test_the_mistakes_are_all_tried(tmp_path: Path, network: Path) -> None:
    assert list(mistakes(tmp_path, network)) == MISTAKES


def test_no_command_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_check_prints_every_default_and_reads_its_own_output(
    tmp_path: Path, settings: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(settings), "--set", f"detector.model={network}"]) == 0
    shown = capsys.readouterr().out
    assert "iou: 0.7" in shown
    again = tmp_path / "again.yaml"
    again.write_text(shown)
    assert main(["check", str(again)]) == 0
    assert capsys.readouterr().out == shown


def test_the_schema_knows_every_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "conf" in schema["$defs"]["detectors.yolo"]["properties"]
    assert {"file", "camera"} <= set(schema["$defs"]["sources"]["anyOf"][0]["enum"])


def test_list_names_every_plugin_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for room in found.values():
        for about in room.values():
            assert about["summary"]
            assert all(option["help"] for option in about["options"])
    assert main(["list"]) == 0
    assert "max_age_s" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["refine", "speeds"])
def test_options_are_there_where_their_descriptions_are_not(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Descriptions are read from the source, and an installation of .pyc files has none: the
    command ended with a KeyError."""
    monkeypatch.setattr(f"pipeline.cli.{command}.descriptions", lambda model: {})
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "(default: " in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_the_shipped_configurations_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAM_PASSWORD", "MAIL_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    assert main(["check", str(path), "--set", "detector.conf=0.25"]) == 0
    assert re.match(r"# [A-Z]\w*( \w+)+", path.read_text()), "the header says what it is for"


def endless(tmp_path: Path, network: Path, out: Path) -> subprocess.Popen[str]:
    """Start a run that would go on for ever, and wait until it writes."""
    arguments = [sys.executable, "-m", "pipeline", "run", "synthetic", "--model", str(network)]
    arguments += ["-o", str(out), "--save", "csv,video"]
    small = ["width=64", "height=48", "frames=1000000000"]
    path = tmp_path / "endless.yaml"
    options = dict(pair.split("=") for pair in small)
    path.write_text(json.dumps({"sources": [{"kind": "synthetic", **options}]}))
    arguments[arguments.index("synthetic") : arguments.index("synthetic") + 1] = ["-c", str(path)]
    process = subprocess.Popen(
        arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    table = out / "tracks.csv"
    while not (table.exists() and table.stat().st_size > 2000):
        assert process.poll() is None, process.communicate()[1]
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    return process


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_complete_files_and_a_report(
    tmp_path: Path, network: Path, sent: signal.Signals, code: int
) -> None:
    out = tmp_path / "out"
    process = endless(tmp_path, network, out)
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    report = json.loads((out / "report.json").read_text())
    (source,) = report["sources"].values()
    assert source["grabbed"] == source["delivered"] + source["dropped"]
    with (out / "tracks.csv").open(newline="") as table:
        last = list(csv.DictReader(table))[-1]
    assert int(last["frame"]) == source["delivered"] - 1


@pytest.mark.slow
def test_a_file_that_breaks_off_is_kept_up_to_the_break(
    tmp_path: Path, network: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write_video(tmp_path / "whole.mkv", [noise_picture(n) for n in range(50)])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    out = tmp_path / "out"
    arguments = ["run", str(cut), "--model", str(network), "-o", str(out), "--save", "csv"]
    assert main([*arguments, "--set", "tracker.confirm_s=0"]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    report = json.loads((out / "report.json").read_text())
    assert report["sources"]["cut"]["broken"] in lines[0]
    delivered = report["sources"]["cut"]["delivered"]
    assert 10 < delivered < 40
    with (out / "tracks.csv").open(newline="") as table:
        assert [int(row["frame"]) for row in csv.DictReader(table)] == list(range(delivered))


@pytest.mark.slow
@pytest.mark.needs_shared
def test_real_weights_on_a_real_video_lose_no_frame(tmp_path: Path, shared: Path) -> None:
    out = tmp_path / "out"
    video = shared / "video" / "junction_cars_truck.mp4"
    weights = shared / "models" / "yolo11n.onnx"
    arguments = [
        "run",
        str(video),
        "--model",
        str(weights),
        "-o",
        str(out),
        "--set",
        "detector.imgsz=320",
    ]
    assert main([*arguments, "--save", "video,csv,jsonl,mot", "--classes", "car,truck"]) == 0
    with av.open(str(out / "junction_cars_truck.mp4")) as written, av.open(str(video)) as read:
        times = [
            [float(f.pts * f.time_base) for f in each.decode(video=0)] for each in (written, read)
        ]
    assert times[0] == pytest.approx(times[1], abs=1e-3)
    with (out / "tracks.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    frames = [int(row["frame"]) for row in rows]
    assert frames == sorted(frames)
    assert {row["class_name"] for row in rows} == {"car", "truck"}
    assert len((out / "tracks.jsonl").read_text().splitlines()) == len(rows)
    matched = [row for row in rows if row["state"] == "matched"]
    assert len((out / "junction_cars_truck.txt").read_text().splitlines()) == len(matched)


@pytest.mark.slow
def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys; from pipeline import *;"
        "heavy = {'cv2', 'av', 'openvino', 'torch', 'ultralytics', 'rich'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_run_with_refine_writes_refined_tables_beside_the_plain_ones(
    tmp_path: Path, network: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["run", "-c", str(settings), "--model", str(network), "-o", str(out), "--refine"]
    assert main([*arguments, "--set", "tracker.confirm_s=0", "--save", "jsonl"]) == 0
    assert "filled boxes" in capsys.readouterr().out
    plain, refined = (
        [json.loads(line)["frame"] for line in (folder / "tracks.jsonl").read_text().splitlines()]
        for folder in (out, out / "refined")
    )
    assert plain == refined == [0, 1, 2, 3, 4]
    # Without a table that can be refined, the CSV table is written as well.
    assert main([*arguments, "--set", "tracker.confirm_s=0", "--save", "mot"]) == 0
    assert (out / "refined" / "tracks.csv").exists()


REFINE_REFUSED = {
    "a camera has no end": ({"kind": "synthetic", "live": True}, "works on files"),
    "without filterpy": (SMALL, "filterpy"),
}


@pytest.mark.parametrize(("source", "said"), REFINE_REFUSED.values(), ids=REFINE_REFUSED)
def test_refine_is_refused_before_the_run(
    source: dict[str, object],
    said: str,
    tmp_path: Path,
    network: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if said == "filterpy":
        monkeypatch.setitem(sys.modules, "filterpy", None)
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps({"sources": [source], "sinks": ["csv"]}))
    out = tmp_path / "out"
    arguments = ["run", "-c", str(path), "--model", str(network), "-o", str(out), "--refine"]
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert not (out / "tracks.csv").exists()


def test_the_first_run_with_the_built_in_detector_names_a_better_one(
    tmp_path: Path,
    settings: Path,
    network: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRACKLINE_CACHE", str(tmp_path / "cache"))
    arguments = ["run", "-c", str(settings), "-o", str(tmp_path / "out"), "--imgsz", "64"]
    said = []
    for model in (["--model", str(network)], [], []):
        assert main([*arguments, "--max-frames", "1", *model]) == 0
        said.append("dfine-s" in capsys.readouterr().err)
    assert said == [False, True, False]
