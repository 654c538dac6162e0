"""Zones and lines that cannot count anything, and counts of what never happened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.core.data import Frame, Tracks
from pipeline.core.errors import ConfigError
from pipeline.core.zone_counts import CountKey
from pipeline.events.zones.count_table import count_rows
from pipeline.events.zones.schema import CameraZones
from pipeline.events.zones.watcher import ZoneWatcher

SIZE = (640, 360)


def zone(*points: tuple[float, float]) -> CameraZones:
    return CameraZones.model_validate({"zones": [{"name": "a", "points": points}]})


def line(*points: tuple[float, float]) -> CameraZones:
    return CameraZones.model_validate({"lines": [{"name": "a", "points": points}]})


def look(watcher: ZoneWatcher, size: tuple[int, int] = SIZE) -> None:
    picture = np.broadcast_to(np.uint8(0), (size[1], size[0], 3))
    watcher.watch(Frame(picture, "cam", 0, 0.0, 0.0), Tracks.empty(), {})


OUTSIDE = {
    "zone to the right": zone((700, 10), (900, 10), (900, 90)),
    "zone below": zone((10, 400), (90, 400), (90, 500)),
    "zone above": zone((10, -90), (90, -90), (90, -10)),
    "zone around a corner": zone(
        (650, 300), (700, 300), (700, 420), (300, 420), (300, 370), (650, 370)
    ),
    "line to the left": line((-10, 10), (-10, 300)),
    "line past a corner": line((600, 420), (720, 300)),
}
INSIDE = {
    "zone partly": zone((600, 10), (900, 10), (900, 90)),
    "zone around all of it": zone((-9, -9), (900, -9), (900, 900), (-9, 900)),
    "zone across": zone((-50, 100), (700, 100), (700, 150), (-50, 150)),
    "line through": line((-10, 100), (700, 200)),
    "line at the edge": line((640, 0), (640, 360)),
    "line in": line((100, 100), (200, 200)),
}


@pytest.mark.parametrize("camera", OUTSIDE.values(), ids=OUTSIDE)
def test_an_area_wholly_outside_is_refused_at_the_first_picture(camera: CameraZones) -> None:
    """Zones drawn on a larger picture counted nothing for a day, without a word."""
    with pytest.raises(ConfigError, match=r"'cam': \w+ 'a' lies wholly outside .* 640x360") as told:
        look(ZoneWatcher(camera, beyond="error"))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("camera", OUTSIDE.values(), ids=OUTSIDE)
def test_a_live_camera_is_warned_of_it_once_a_size(camera: CameraZones, caplog) -> None:
    """Its size may change, and the other cameras go on."""
    watcher = ZoneWatcher(camera)
    look(watcher)
    look(watcher)
    assert caplog.text.count("wholly outside the picture of 640x360") == 1
    look(watcher, (1920, 1080))
    look(watcher)
    assert caplog.text.count("wholly outside the picture of 640x360") == 2


@pytest.mark.parametrize("beyond", ["error", "warn"])
@pytest.mark.parametrize("camera", INSIDE.values(), ids=INSIDE)
def test_what_reaches_into_the_picture_is_fine(camera: CameraZones, beyond, caplog) -> None:
    look(ZoneWatcher(camera, beyond=beyond))
    assert caplog.text == ""


@pytest.mark.parametrize("camera", OUTSIDE.values(), ids=OUTSIDE)
def test_outside_the_size_it_was_drawn_on_is_wrong_at_once(camera: CameraZones) -> None:
    with pytest.raises(ValueError, match="wholly outside the picture of 640x360"):
        CameraZones.model_validate({**camera.model_dump(), "size": SIZE})


def test_what_never_happened_is_a_count_of_zero() -> None:
    """A line that nobody had crossed was missing, as if it were not watched."""
    areas = CameraZones.model_validate(
        {
            "zones": [
                {"name": "lawn", "points": [(0, 0), (9, 0), (9, 9)], "dwell_s": 3},
                {"name": "path", "points": [(0, 0), (9, 0), (9, 9)]},
            ],
            "lines": [{"name": "gate", "points": [(0, 0), (9, 9)]}],
        }
    )
    happened = {CountKey("gate", "cross", "in", "car"): 3, CountKey("lawn", "enter", "", "dog"): 1}
    rows = count_rows(happened, areas)
    assert [tuple(row.values()) for row in rows] == [
        ("gate", "cross", "in", "car", 3),
        ("gate", "cross", "out", "", 0),
        ("lawn", "dwell", "", "", 0),
        ("lawn", "enter", "", "dog", 1),
        ("lawn", "leave", "", "", 0),
        ("path", "enter", "", "", 0),
        ("path", "leave", "", "", 0),
    ]


DETECTIONS = "".join(f"{k},-1,{10 * k},50,40,100,0.9\n" for k in range(1, 40))
FAR = "cameras:\n  walk:\n    lines: [{name: far, points: [[600, 0], [600, 300]]}]\n"


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    folder = tmp_path / "walk"
    (folder / "det").mkdir(parents=True)
    (folder / "det" / "det.txt").write_text(DETECTIONS)
    (folder / "seqinfo.ini").write_text(
        "[Sequence]\nname=walk\nseqLength=40\nframeRate=25\nimWidth=640\nimHeight=360\n"
    )
    return tmp_path


def test_a_run_prints_the_counts_that_count_prints(walk: Path, capsys) -> None:
    """`run --zones` said nothing of a line that nobody had crossed, or of any if nobody had."""
    zones, out = walk / "zones.yaml", walk / "out"
    zones.write_text(FAR + "    zones: [{name: lawn, points: [[0, 0], [9, 0], [9, 9]]}]\n")
    arguments = ["--detections", str(walk / "walk"), "--save", "csv", "-o", str(out)]
    assert main(["run", *arguments, "--zones", str(zones)]) == 0
    ran = [each.split() for each in capsys.readouterr().out.splitlines()]
    assert main(["count", str(out), "--zones", str(zones)]) == 0
    counted = [each.split() for each in capsys.readouterr().out.splitlines() if each.strip()]
    assert ["walk", "far", "in", "0"] in counted
    assert ["walk", "lawn", "inside", "at", "the", "end", "0"] in counted
    assert [each for each in counted if each not in ran] == []
    report = json.loads((out / "report.json").read_text())["sources"]["walk"]
    assert {row["count"] for row in report["counts"]} == {0}
    assert report["inside"] == {"lawn": 0}


def test_a_run_with_a_line_outside_is_a_mistake_in_one_line(walk: Path, capsys) -> None:
    zones = walk / "zones.yaml"
    zones.write_text(FAR.replace("600", "1600"))
    arguments = ["--detections", str(walk / "walk"), "--save", "csv", "-o", str(walk / "out")]
    assert main(["run", *arguments, "--zones", str(zones)]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "line 'far' lies wholly outside the picture of 640x360" in told
