"""`trackline speeds`: a run's table in, files and a row per track out, mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.ground_views import write_homography

from pipeline.cli.main import main

HEADER = "source,frame,pts_s,track_id,class_name,x1,y1,x2,y2,width,height\n"


def write_table(path: Path, sources: tuple[str, ...] = ("a",)) -> None:
    rows = [
        f"{source},{n},{n / 25},7,car,{900 + 4 * n},600,{1000 + 4 * n},700,1920,1080\n"
        for source in sources
        for n in range(30)
    ]
    path.write_text(HEADER + "".join(rows))


def test_files_and_a_row_per_track(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_table(tmp_path / "tracks.csv")
    made = write_homography(tmp_path / "h.yaml", origin={"lat": 52, "lon": 13})
    words = ["speeds", str(tmp_path), "--homography", str(made)]
    for name in ("speeds.csv", "speeds.geojson"):
        words += ["-o", str(tmp_path / "out" / name)]
    assert main([*words, "--per-track", str(tmp_path / "out" / "each.csv")]) == 0
    assert "car" in capsys.readouterr().out
    assert len((tmp_path / "out" / "speeds.csv").read_text().splitlines()) == 31
    assert (tmp_path / "out" / "each.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one.csv", "--homography", "none.yaml"], "none.yaml: cannot be read"),
        (["one.csv", "--homography", "h.yaml", "-o", "x.txt"], "want a file called .csv"),
        (["one.csv", "--homography", "h.yaml", "-o", "x.geojson"], "origin"),
        (["one.csv", "--homography", "h.yaml", "--per-track", "x.txt"], "want a file called .csv"),
        (["one.csv", "--homography", "h.yaml", "--max-gap-s", "0"], "max_gap_s"),
        (["one.csv", "--homography", "h.yaml", "--source", "b"], "unknown source 'b' (known: a)"),
        (["two.csv", "--homography", "h.yaml"], "choose with --source"),
        (["none.csv", "--homography", "h.yaml"], "none.csv"),
        (["h.yaml", "--homography", "h.yaml"], "h.yaml"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_homography(Path("h.yaml"))
    write_table(Path("one.csv"))
    write_table(Path("two.csv"), ("a", "b"))
    assert main(["speeds", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
