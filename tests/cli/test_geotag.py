"""`trackline geotag`: positions of a moving camera beside its video."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from support.gps_tracks import gps5_packet, write_gopro, write_gpx

from pipeline.cli.main import main


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    packets = [gps5_packet([[52 + n * 1e-4, 13, 30, 11.1, 11.1]]) for n in range(3)]
    write_gpx(tmp_path / "drive.gpx", range(20))
    return write_gopro(tmp_path / "drive.mp4", packets)


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_gopro_s_own_telemetry(video: Path, capsys: pytest.CaptureFixture) -> None:
    assert (
        main(["geotag", "drive.mp4", "--gps", "drive.mp4", "-o", "a.csv", "-o", "a.geojson"]) == 0
    )
    assert "21 of 30 frames" in capsys.readouterr().out
    rows = rows_of("a.csv")
    assert float(rows[5]["lat"]) == pytest.approx(52.00005)
    assert rows[29]["lat"] == ""
    line = json.loads(Path("a.geojson").read_text())["features"][0]
    assert len(line["geometry"]["coordinates"]) == 21


def test_gpx_by_the_clock_and_its_offset(video: Path) -> None:
    words = ["geotag", "drive.mp4", "--gps", "drive.gpx", "--start", "2026-01-31T12:00:05Z"]
    assert main([*words, "-o", "a.csv"]) == 0
    assert float(rows_of("a.csv")[0]["lat"]) == pytest.approx(52.0005)
    assert main([*words, "--offset", "2", "-o", "a.csv"]) == 0
    assert float(rows_of("a.csv")[0]["lat"]) == pytest.approx(52.0003)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["drive.mp4", "--gps", "drive.gpx"], "--start"),
        (["drive.mp4", "--gps", "drive.gpx", "--start", "noon"], "--start: want a time"),
        (["drive.mp4", "--gps", "drive.gpx", "--start", "2026-02-01T12:00:00Z"], "no position"),
        (["drive.mp4", "--gps", "none.gpx"], "none.gpx: cannot be read"),
        (["none.mp4", "--gps", "drive.gpx"], "none.mp4"),
        (["drive.mp4", "--gps", "drive.gpx", "--max-gap-s", "0"], "--max-gap-s"),
        (["drive.mp4", "--gps", "drive.gpx", "--offset", "nan"], "--offset"),
        (["drive.mp4", "--gps", "drive.gpx", "-o", "a.txt"], "want a file called .csv"),
    ],
)
def test_mistakes(
    video: Path, capsys: pytest.CaptureFixture, words: list[str], message: str
) -> None:
    assert main(["geotag", *words, "-o", "out.csv"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("out.csv").exists()
