"""The routes that add, change, try and remove cameras."""

from __future__ import annotations

import base64
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("ruamel.yaml")

from starlette.testclient import TestClient
from support.fake_backend import CONFIGURATION, TOKEN, ServerParts

from pipeline.core.errors import SourceError
from pipeline.server.cameras.trial import TrialBusyError

BEARER = {"authorization": f"Bearer {TOKEN}"}
HOST = "http://127.0.0.1:8642"
SETTINGS = "/api/cameras/yard/settings"
SECRET = "s3cr3t-hunter2"
NEW = {"address": "rtsp://10.0.0.9/1", "user": "viewer", "password": SECRET, "name": "gate"}


def test_a_camera_is_added_changed_and_removed(made: ServerParts, client: TestClient) -> None:
    answer = client.post("/api/cameras", json=NEW)
    assert answer.status_code == 201
    assert answer.json()["name"] == "gate"
    assert answer.json() == client.get("/api/cameras/gate/settings").json()
    version = answer.json()["version"]
    changed = client.put("/api/cameras/gate/settings", json={"name": "a/b", "version": version})
    assert changed.status_code == 200
    again = client.put("/api/cameras/a%2Fb/settings", json={"name": "c", "version": version})
    assert again.status_code == 409
    assert client.delete("/api/cameras/a%2Fb").status_code == 204
    assert client.delete("/api/cameras/a%2Fb").status_code == 404
    assert made.config_file.read_text() == CONFIGURATION


def test_no_answer_holds_a_password(client: TestClient) -> None:
    answers = [
        client.post("/api/cameras", json=NEW),
        client.post("/api/cameras", json=NEW),
        client.post("/api/cameras", json={**NEW, "name": "x", "address": f"ftp://u:{SECRET}@c"}),
        client.post("/api/cameras", json={**NEW, "fps": 3}),
        client.post("/api/cameras", json={**NEW, "password": [SECRET]}),
        client.put(SETTINGS, json={"password": SECRET}),
        client.get("/api/cameras/gate/settings"),
        client.get(SETTINGS),
        client.post("/api/cameras/test", json=NEW),
    ]
    assert [each.status_code for each in answers] == [201, 409, 422, 422, 422, 200, 200, 200, 200]
    for answer in answers:
        assert SECRET not in answer.text
        assert "geheim" not in answer.text


@pytest.mark.parametrize(
    "body",
    [[], "x", {"address": "x" * 2001}, {"address": 5}, {"user": "x" * 201}, {"address": None},
     {"password": "x" * 1001}, {"name": ""}, {"name": "x" * 201}, {"path": "/etc/passwd"},
     {"address": "rtsp://c/1", "detect": {"conf": 2}}, {"address": "file:///etc/passwd"},
     {"address": "rtsp://c/1", "detect": {"imgsz": 9999}}, {"address": "rtsp://c/1", "name": "\n"},
     {"address": "rtsp://c/1", "detect": {"classes": ["cat"]}}, {"address": "http://c/x.m3u8"},
     {"address": "rtsp://c/1", "user": "${A}"}, {"address": "rtsp://c/1", "kind": "file"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/cameras", SETTINGS])
def test_what_is_no_camera_is_refused_in_one_line(
    module_made: ServerParts, module_client: TestClient, body: Any, path: str
) -> None:
    if path == SETTINGS and body == {"address": None}:
        return  # leaves it as it is
    answer = module_client.request("PUT" if path == SETTINGS else "POST", path, json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert module_made.config_file.read_text() == CONFIGURATION


def test_a_body_that_is_too_large_is_not_read(client: TestClient) -> None:
    assert client.post("/api/cameras", content=b"x" * 70_000).status_code == 413


def test_a_camera_is_tried(made: ServerParts, client: TestClient) -> None:
    answer = client.post("/api/cameras/test", json={**NEW, "address": "rtsp://c/1"})
    assert made.trial.tried["source"] == f"rtsp://viewer:{SECRET}@c/1"
    assert base64.b64decode(answer.json()["jpeg"]) == b"\xff\xd8jpeg"
    assert (answer.json()["width"], answer.json()["fps"]) == (640, 12.5)
    client.post("/api/cameras/test", json={"camera": "yard"})
    assert made.trial.tried["source"] == "rtsp://viewer:geheim@10.0.0.5/1"
    moved = client.post("/api/cameras/test", json={"camera": "yard", "address": "rtsp://evil/"})
    assert moved.status_code == 422
    for problem, status in ((TrialBusyError(), 503), (SourceError("c: does not answer"), 422)):
        made.trial.problem = problem
        assert client.post("/api/cameras/test", json=NEW).status_code == status


def test_a_page_of_another_server_changes_nothing(made: ServerParts, client: TestClient) -> None:
    for headers in (
        {"origin": "https://evil.example", "x-trackline": "1"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert client.post("/api/cameras", json=NEW, headers=headers).status_code == 403
        assert client.delete("/api/cameras/yard", headers=headers).status_code == 403
    assert made.config_file.read_text() == CONFIGURATION
