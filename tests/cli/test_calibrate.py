"""`trackline calibrate`: what it writes, and its mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.ground_views import SIZE, homography
from support.tiny_videos import write_picture

from pipeline.cli.main import main
from pipeline.core.homography import read_homography

GROUND = np.array([[-4.0, 12.0], [4.0, 12.0], [4.0, 30.0], [-4.0, 30.0], [0.0, 20.0]])
POINTS = [
    word
    for (x, y), (a, b) in zip(homography().pixel_of(GROUND), GROUND, strict=True)
    for word in ("--point", f"{x:.2f},{y:.2f}={a},{b}")
]


def test_it_writes_the_file_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    picture = write_picture(tmp_path / "street.png", 90, SIZE[1], SIZE[0])
    out = tmp_path / "street.yaml"
    assert main(["calibrate", str(picture), *POINTS, "--origin", "52,13,45", "-o", str(out)]) == 0
    found = read_homography(out)
    assert found.size == SIZE
    assert found.origin is not None
    assert found.origin.bearing == 45
    assert found.covariance is not None
    np.testing.assert_allclose(found.plane_of(homography().pixel_of(GROUND)), GROUND, atol=0.01)
    assert (tmp_path / "street.png").read_bytes()[:4] == b"\x89PNG"
    assert "left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "want --points FILE, four or more --point"),
        (POINTS[:6], "points: want 4 or more, got 3"),
        ([*POINTS, "--pixel-error", "0"], "--pixel-error: want a number above 0"),
        ([*POINTS, "--ground-error", "nan"], "--ground-error: want a number above 0"),
        ([*POINTS, "--origin", "52"], "--origin: want LAT,LON"),
        ([*POINTS, "--origin", "95,0"], "origin.lat"),
        ([*POINTS, "-o", "x.json"], "want a file called .yaml"),
        ([*POINTS, "--at", "9"], "before --at 9"),
        (["--degrees"], "--degrees: needs --point"),
        (["--points", "missing.yaml"], "missing.yaml: cannot be read"),
        ([*POINTS, "--rectangle", "1,1;2,1;2,2;1,2=1x1m"], "not both"),
    ],
)
@pytest.mark.slow
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "street.png", 90, SIZE[1], SIZE[0])
    assert main(["calibrate", "street.png", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "homography.yaml").exists()
