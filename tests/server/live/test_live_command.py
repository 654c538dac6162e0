"""`trackline live` from outside: a process, its page, its files, and how it ends."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")
from support.live_process import PATIENCE_S, live, write
from support.tiny_networks import one_box_network
from websockets.sync.client import connect

from pipeline.cli.main import main

CSRF = {"x-trackline": "1"}
WHOLE = {"name": "all", "points": [[0, 0], [64, 0], [64, 48], [0, 48]]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    one_box_network(tmp_path / "one.onnx")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_run_is_changed_while_it_runs_and_ends_in_time(folder: Path) -> None:
    """One process for all of it: starting one takes seconds.

    A camera that cannot be reached does not keep the others from starting; SIGTERM with an open
    page ends within five seconds, with the exit code of `run`, and the report is written.
    """
    gone = {"kind": "camera", "device": "/dev/video99", "name": "gone"}
    plain = [{"name": "a"}, {"name": "b", "seed": 2}]
    write(folder, *plain)
    tree = json.loads((folder / "cams.yaml").read_text())
    tree["sources"].append(gone)
    (folder / "cams.yaml").write_text(json.dumps(tree))
    with live(folder) as run:
        run.until(lambda: run.is_live("a") and run.is_live("b"))
        lost = run.until(lambda: (one := run.camera("gone")) and one["state"] == "lost" and one)
        assert lost["error"]
        assert run.get("/healthz") == {"ok": True, "keeping": True}

        saved = run.client.put("/api/cameras/a/zones", json={"zones": [WHOLE]}, headers=CSRF)
        assert saved.status_code == 200
        event = run.until(lambda: run.get("/api/events")["events"])[0]
        assert (event["camera"], event["area"], event["kind"]) == ("a", "all", "enter")
        assert run.get("/api/counts?camera=a")["inside"]
        counted = run.until(lambda: run.get("/api/counts/history?camera=a&area=all")["counts"])
        assert counted[0]["count"] >= 1

        before = run.camera("a")
        write(folder, *plain, {"name": "c"}, tracker={"kind": "bytetrack"})
        run.until(lambda: run.is_live("c") and run.camera("gone") is None)
        assert [one["name"] for one in run.get("/api/cameras")["cameras"]] == ["a", "b", "c"]
        figures = run.client.get("/metrics").text
        assert 'trackline_camera_state{camera="c",state="live"} 1.0' in figures
        assert 'camera="gone"' not in figures
        assert 'trackline_events_total{area="all",camera="a",' in figures, "counting goes on"
        after = run.camera("a")
        assert before is not None
        assert after is not None
        assert after["since"] == before["since"], "an unchanged camera went on"
        assert after["grabbed"] >= before["grabbed"]

        (folder / "cams.yaml").write_text("sources: [a\n")
        error = run.until(lambda: run.get("/api/status")["config"]["error"])
        assert "cams.yaml:2" in error or "cams.yaml:1" in error
        assert run.is_live("c"), "what was in force stays"
        write(folder, *plain, {"name": "c"}, web={"port": 1})
        run.until(lambda: "web.port" in (run.get("/api/status")["config"]["error"] or ""))

        with connect(run.address.replace("http", "ws") + "/api/ws") as page:
            page.send('{"type": "watch", "cameras": ["a"], "pictures": true}')
            page.recv(PATIENCE_S)
            assert run.end() == 143, "an open page holds up nothing"
        assert "Traceback" not in run.log()
    report = json.loads((folder / "out" / "report.json").read_text())
    assert report["error"] == "terminated"
    assert report["sources"]["a"]["delivered"] > 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ctrl_c_ends_it_and_a_token_is_made(folder: Path) -> None:
    write(folder, {"name": "a"}, web={"port": 0, "host": "0.0.0.0"}, sinks=[])
    token = folder / "token"
    assert main(["live", "-c", str(folder / "cams.yaml")]) == 2, (
        "the token must not be readable by others"
    )
    assert main(["live", "-c", str(folder / "cams.yaml"), "--token-file", "/proc/x"]) == 2
    with token.open("w") as file:
        file.write("0123456789abcdef\n")
    with live(folder, "--token-file", str(token)) as run:
        assert run.client.get("/api/cameras").status_code == 401
        bearer = {"authorization": "Bearer 0123456789abcdef"}
        assert run.client.get("/api/cameras", headers=bearer).status_code == 200
        config = run.client.get("/api/config", headers=bearer)
        assert "0123456789abcdef" not in config.text
        assert run.end(signal.SIGINT) == 130


def test_a_new_token_is_its_owners_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "token"
    write(folder, {"name": "a", "fps": 0})
    assert main(["live", "-c", str(folder / "cams.yaml"), "--token-file", str(path)]) == 2
    assert path.stat().st_mode & 0o777 == 0o600
    made = path.read_text()
    assert len(made.strip()) >= 40
    assert made.strip() not in capsys.readouterr().out
    assert main(["live", "-c", str(folder / "cams.yaml"), "--token-file", str(path)]) == 2
    assert path.read_text() == made, "it is made once"


@pytest.mark.parametrize(
    ("web", "message"),
    [
        ({"port": 99999}, "web.port: want 65535 or less, got 99999"),
        ({"token": "short"}, "web.token: want 16 or more ASCII characters"),
        ({"hosts": 1}, "web: unknown key 'hosts'"),
        ({"host": "203.0.113.7", "token": "0" * 16, "port": 0}, "web: cannot listen on"),
        ({"certificate": "a.pem", "key": "b.pem", "port": 0}, "web.certificate: a.pem: "),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capfd: pytest.CaptureFixture[str], web: dict[str, Any], message: str
) -> None:
    path = write(folder, {"name": "a"}, web=web)
    assert main(["live", "-c", str(path)]) == 2
    shown = capfd.readouterr().err.strip().splitlines()
    assert len(shown) == 1
    assert message in shown[0]
    assert "short" not in shown[0]
    assert not (folder / "out").exists()
