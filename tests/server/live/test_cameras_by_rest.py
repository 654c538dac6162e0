"""Cameras of a live run added, changed, renamed and removed by REST: what the run makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("ruamel.yaml")
from support import rtsp_server
from support.live_process import served
from support.tiny_networks import one_box_network

CSRF = {"x-trackline": "1"}
WHOLE = {"name": "all", "points": [[0, 0], [64, 0], [64, 48], [0, 48]]}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_from_no_file_to_a_camera_and_back(tmp_path: Path) -> None:
    """One process for all of it: starting one takes seconds.

    The file that `-c` names is made; what is detected changes without a new connection; a new name
    keeps the zones; the last camera can be removed.
    """
    network = one_box_network(tmp_path / "one.onnx")
    path = tmp_path / "cams.yaml"
    words = ["-c", str(path), "-o", str(tmp_path / "out"), "--port", "0"]
    words += ["--set", f"detector.model={network}", "--set", "tracker.kind=sort"]
    with rtsp_server.running() as camera, served(tmp_path, "live", *words) as run:
        assert "is not there yet" in run.log()
        body = {"address": camera.url, "name": "door"}
        assert run.client.post("/api/cameras", json=body, headers=CSRF).status_code == 201
        run.until(lambda: run.is_live("door"))
        run.until(lambda: run.get("/api/cameras/door")["tracks"] == 1)

        answer = run.client.put("/api/cameras/door/zones", json={"zones": [WHOLE]}, headers=CSRF)
        assert answer.status_code == 200
        since = run.get("/api/cameras/door")["since"]
        settings = "/api/cameras/door/settings"
        only_cars = {"detect": {"classes": ["car"]}}
        assert run.client.put(settings, json=only_cars, headers=CSRF).status_code == 200
        run.until(lambda: run.get("/api/cameras/door")["tracks"] == 0)
        assert run.get("/api/cameras/door")["since"] == since, "it stayed connected"
        cats = run.client.put(settings, json={"detect": {"classes": ["cat"]}}, headers=CSRF)
        assert cats.status_code == 422
        assert "'cat'" in cats.json()["detail"]

        new = {"name": "gate/1", "detect": None}
        assert run.client.put(settings, json=new, headers=CSRF).status_code == 200
        run.until(lambda: run.is_live("gate/1") and run.camera("door") is None)
        assert run.get("/api/cameras/gate%2F1/zones")["zones"][0]["name"] == "all"
        assert path.read_text() == f"sources:\n  - source: {camera.url}\n    name: gate/1\n"

        assert run.client.delete("/api/cameras/gate%2F1", headers=CSRF).status_code == 204
        run.until(lambda: run.get("/api/cameras")["cameras"] == [])
        assert run.get("/api/status")["config"]["error"] is None
        assert run.end() == 143
        assert "Traceback" not in run.log()
