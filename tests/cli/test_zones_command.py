"""`trackline zones`: its mistakes in one line, and the command from start to end."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from support.live_process import Running, served
from support.tiny_videos import noise_picture, write_picture, write_video
from support.track_tables import walk, write_csv

from pipeline.cli._signals import StopSignals
from pipeline.cli.main import main
from pipeline.events.zones.zones_file import load_zones

pytest.importorskip("fastapi")

GATE = {"name": "gate", "points": [[10, 10], [90, 10], [90, 50]]}
BROWSER = {"X-Trackline": "1"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.mp4"], "missing.mp4: no such file"),
        (["still.png", "-o", "zones.json"], "zones.json: want a file called .yaml"),
        (["still.png", "-o", "broken.yaml"], "broken.yaml:2:"),
        (["still.png", "--at", "9"], "before --at 9"),
        (["still.png", "--at", "-1"], "--at: want seconds from 0 on, got -1"),
        (["still.png", "--at", "nan"], "--at: want seconds from 0 on"),
        (["still.png", "--port", "70000"], "--port: want 0 to 65535, got 70000"),
        (["still.png", "--camera", "a" * 65], "give one with --camera NAME"),
        (["still.png", "--camera", ""], "give one with --camera NAME"),
        (["still.png", "--tracks", "none.csv"], "none.csv: cannot be read"),
        (["still.png", "--tracks", "tracks.csv"], "has no tracks of 'still' (known: gate)"),
    ],
)
def test_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "still.png", 90, 60, 100)
    write_csv(tmp_path / "tracks.csv", walk(range(3)))
    (tmp_path / "broken.yaml").write_text("cameras:\n  still: {colour: red}\n")
    assert main(["zones", *words, "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "zones.yaml").exists()


@pytest.mark.parametrize(
    ("words", "display", "opened"),
    [([], ":0", True), ([], "", False), (["--no-browser"], ":0", False)],
    ids=["a display", "none", "not wanted"],
)
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a display")
@pytest.mark.slow
def test_the_browser_is_opened_where_there_is_a_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
    words: list[str], display: str, opened: bool,
) -> None:  # fmt: skip
    """Without a display a text browser would take the terminal."""
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(StopSignals, "is_stopped", True)
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "still.png", 90, 60, 100)
    assert main(["zones", "still.png", *words]) == 0
    address, last = capsys.readouterr().out.splitlines()
    assert address.startswith("http://127.0.0.1:")
    assert last == "zones.yaml: nothing was saved"
    assert addresses == ([address] if opened else [])


def said(run: Running) -> list[str]:
    """Return what it printed after the address, once it has ended."""
    run.process.wait(40)
    assert run.process.stdout is not None
    return run.process.stdout.read().splitlines()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_from_the_address_to_done(tmp_path: Path) -> None:
    """The frame asked for is shown, what is saved is in the file, and said; other sizes too."""
    video = write_video(tmp_path / "street.mp4", [noise_picture(n) for n in range(30)])
    path = tmp_path / "zones.yaml"
    path.write_text(
        "cameras:\n  street:\n    size: [256, 192]\n"
        "    lines: [{name: kerb, points: [[0, 0], [99, 99]]}]\n"
    )
    with served(tmp_path, "zones", str(video), "-o", str(path), "--at", "1", "--no-browser") as run:
        assert run.get("/api/cameras/street/tracks")["pts_s"] == pytest.approx(1.0)
        assert run.get("/api/frame") == {"duration_s": pytest.approx(1.2), "at_s": 1.0}
        chosen = run.client.put("/api/frame", json={"at_s": 0.5}, headers=BROWSER)
        assert chosen.json()["at_s"] == pytest.approx(0.48)
        assert run.get("/api/cameras/street/tracks")["pts_s"] == pytest.approx(0.48)
        bad = run.client.put("/api/frame", json={"at_s": -1}, headers=BROWSER)
        assert bad.status_code == 422
        body = {"size": [128, 96], "zones": [GATE]}
        answer = run.client.put("/api/cameras/street/zones", json=body, headers=BROWSER)
        assert answer.status_code == 200
        assert run.client.post("/api/done", headers=BROWSER).status_code == 204
        assert said(run) == [f"{path}: street: 1 zone and 0 lines written"]
        assert run.process.returncode == 0
    assert "drawn on 256x192, this picture is 128x96" in run.log()
    assert run.log().count("\n") == 1
    camera = load_zones(path).cameras["street"]
    assert camera.size == (128, 96)
    assert [zone.name for zone in camera.zones_and_lines] == ["gate"]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    picture = write_picture(tmp_path / "still.png", 90, 60, 100)
    path = tmp_path / "zones.yaml"
    words = ("zones", str(picture), "-o", str(path), "--no-browser", "--camera", "gate 1")
    with served(tmp_path, *words) as run:
        assert run.address.endswith("#camera/gate%201")
        assert run.end(number) == 128 + number
        assert said(run) == [f"{path}: nothing was saved"]
        assert run.log() == ""
    assert not path.exists()
