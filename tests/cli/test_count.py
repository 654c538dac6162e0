"""Zones files, and counting again from what a run has written: the same events, one by one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny_networks import one_box_network

from pipeline.cli.main import main
from pipeline.core.errors import ConfigError, OutputError
from pipeline.events.zones.schema import ZonesFile
from pipeline.events.zones.zones_file import load_zones, save_zones

FPS = 10.0
SCENE = {
    "kind": "synthetic", "width": 320, "height": 240, "fps": FPS, "frames": 160, "objects": 6,
}  # fmt: skip
ZONES = """
cameras:
  scene:  # a comment
    size: [640, 480]
    gone_s: 1.2
    zones:
      - {name: middle, points: [[200, 100], [440, 100], [440, 400], [200, 400]], dwell_s: 1}
    lines:
      - name: across
        points: [[0, 240], [640, 260]]
    appeared:
      classes: null
      masks: [[[0, 0], [640, 0], [640, 60], [0, 60]]]
"""


def events_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def recorded_boxes(folder: Path) -> Path:
    """The synthetic scene's true boxes as detections; no network is needed."""
    from pipeline.sources.synthetic import Options, Scene

    scene = Scene(Options(**{key: value for key, value in SCENE.items() if key != "kind"}))
    lines = []
    for k in range(int(SCENE["frames"]) - 25):  # the last seconds are empty
        for x1, y1, x2, y2 in scene.at(k / FPS).xyxy.tolist():
            lines.append(f"{k + 1},-1,{x1},{y1},{x2 - x1},{y2 - y1},0.9\n")
    path = folder / "scene.txt"
    path.write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run's outputs and its zones file."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "zones.yaml").write_text(ZONES)
    config = {
        "sources": [{**SCENE, "name": "scene"}],
        "detector": {"kind": "replay", "paths": [str(recorded_boxes(folder))]},
        "tracker": {"kind": "trackline", "camera_motion": "off"},
        "sinks": ["csv", "jsonl", "mot", "events_csv"],
        "zones": "zones.yaml",
    }
    (folder / "run.yaml").write_text(json.dumps(config))
    assert main(["run", "-c", str(folder / "run.yaml"), "-o", str(folder / "out")]) == 0
    return folder


@pytest.mark.parametrize("name", ["tracks.csv", "tracks.jsonl", "scene.txt"])
@pytest.mark.slow
def test_counting_again_gives_the_same_events(ran: Path, tmp_path: Path, name: str, capsys) -> None:
    zones, out = str(ran / "zones.yaml"), tmp_path / "events.csv"
    arguments = ["--zones", zones, "--fps", str(FPS), "--json", "--events", str(out)]
    assert main(["count", str(ran / "out" / name), *arguments]) == 0
    first, again = events_of(ran / "out" / "events.csv"), events_of(out)
    assert {event["kind"] for event in first} == {"enter", "leave", "dwell", "cross", "appeared"}
    if name == "scene.txt":  # tells neither class nor time of day
        for event in (*first, *again):
            event |= {"utc": "", "class_id": "", "class_name": ""}
    assert again == first
    counted = json.loads(capsys.readouterr().out)["sources"]["scene"]
    report = json.loads((ran / "out" / "report.json").read_text())["sources"]["scene"]
    assert counted["inside"] == report["inside"] == {"middle": 0}
    if name != "scene.txt":
        assert counted["counts"] == report["counts"]


def test_the_events_of_a_run_are_json_lines_too(ran: Path) -> None:
    lines = [json.loads(line) for line in (ran / "out" / "events.jsonl").open(encoding="utf-8")]
    table = events_of(ran / "out" / "events.csv")
    assert [{k: str(v) for k, v in line.items()} for line in lines] == table
    meta = json.loads((ran / "out" / "tracks.meta.json").read_text("utf-8"))
    assert meta["metadata"]["areas"]["scene"]["lines"][0]["name"] == "across"


def test_a_table_alone_is_enough_but_for_tracks_that_left_at_the_very_end(
    ran: Path, tmp_path: Path, capsys
) -> None:
    alone = tmp_path / "tracks.csv"
    alone.write_bytes((ran / "out" / "tracks.csv").read_bytes())
    out = tmp_path / "events.csv"
    assert (
        main(["count", str(alone), "--zones", str(ran / "zones.yaml"), "--events", str(out)]) == 0
    )
    first, again = events_of(ran / "out" / "events.csv"), events_of(out)
    assert again == first[: len(again)]
    assert "across" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scene.txt"], "--fps N"),
        (["scene.txt", "--fps", "0"], "above 0"),
        (["tracks.csv", "--camera", "door"], "no camera 'door' of"),
        (["tracks.csv", "--size", "12"], "WIDTHxHEIGHT"),
        (["nothing.csv"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line(ran: Path, arguments: list[str], words: str, capsys) -> None:
    name, *more = arguments
    code = main(["count", str(ran / "out" / name), "--zones", str(ran / "zones.yaml"), *more])
    line = capsys.readouterr().err
    assert (code, line.count("\n")) == (2, 1)
    assert words in line


def test_zones_about_no_source_of_the_run_are_a_mistake(ran: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(ZONES.replace("scene:", "door:"))
    arguments = ["run", "-c", str(ran / "run.yaml"), "--zones", str(path), "-o", str(tmp_path)]
    assert main(arguments) == 2
    assert "want a source of this run (scene), got door" in capsys.readouterr().err


# -- zones files -----------------------------------------------------------------------------------


def read(tmp_path: Path, text: str) -> ZonesFile:
    path = tmp_path / "zones.yaml"
    path.write_text(text, encoding="utf-8")
    return load_zones(path)


def with_zone(**changes: Any) -> str:
    zone = {"name": "a", "points": [[0, 0], [9, 0], [9, 9]], **changes}
    return f"cameras:\n  door:\n    zones:\n    - {json.dumps(zone)}\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("cameras:\n  door: [\n", 3, "not valid YAML"),
        ("cameras:\n  door:\n    zonen: []\n", 3, "did you mean zones"),
        ("cameras:\n  door:\n    size: [0, 5]\n", 3, "1 or more, got 0"),
        (with_zone(points=[[0, 0], [1, 1]]), 4, "want 3 points or more, got 2"),
        (with_zone(points=[[0, 0], [5, 5], [9, 9]]), 4, "cross each other|all points are on"),
        (with_zone(points=[[0, 0], [9, 9], [9, 0], [0, 9]]), 4, "edges 1 and 3 cross each other"),
        (with_zone(points=[[0, 0], [9, 0], [9, 0], [9, 9]]), 4, "points 2 and 3 are the same"),
        (with_zone(points=[[0, 0], [9, 0], [9, 9], [0, 0]]), 4, "points 4 and 1 are the same"),
        (with_zone(points=[[0, 0], [9, 0], [9, float("nan")]]), 4, "finite number"),
        (with_zone(points=[[0, 0]] * 65), 4, "at most 64|64 items"),
        (with_zone(name=""), 4, "some text"),
        (with_zone(name="x" * 65), 4, "64"),
        (with_zone(name="a\nb"), 4, "printable"),
        (with_zone(name=" a"), 4, "without space"),
        (with_zone(dwell_s=0), 4, "more than 0"),
        (with_zone(classes=[]), 4, "at least 1"),
        (with_zone() + "    lines: [{name: a, points: [[0, 0], [9, 9]]}]", 2, "'a' is there twice"),
    ],
)  # fmt: skip
def test_a_wrong_zones_file_is_reported_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read(tmp_path, text)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'zones.yaml'}:{line}: ")
    assert "\n" not in told


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    areas = read(tmp_path, ZONES)
    path = tmp_path / "zones.yaml"
    path.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    door = areas.cameras["scene"].model_copy(update={"size": None})
    more = areas.with_camera("Tür <1>", door)
    save_zones(link, more)
    assert load_zones(path) == load_zones(link) == more
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.yaml", "zones.yaml"]
    with pytest.raises(OutputError, match="cannot be written"):
        save_zones(path / "no folder" / "zones.yaml", more)


def test_a_path_in_the_configuration_starts_at_its_folder(ran: Path, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", str(ran / "run.yaml")]) == 0


def test_without_zones_nothing_is_watched(tmp_path: Path) -> None:
    network = one_box_network(tmp_path / "one.onnx")
    arguments = ["--model", str(network), "--max-frames", "3", "--save", "jsonl"]
    assert main(["run", "synthetic", *arguments, "-o", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "watch" not in report["stages"]
    assert "counts" not in report["sources"]["synthetic"]
