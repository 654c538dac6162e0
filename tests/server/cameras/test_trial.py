"""A camera tried once: its picture, its size and rate, or why there is none."""

from __future__ import annotations

import socket
import threading

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
from support import rtsp_server
from support.rtsp_server import Camera
from support.web_cameras import http_camera

from pipeline.core.errors import PipelineError
from pipeline.server.cameras import trial
from pipeline.server.cameras.trial import CameraTrial, TrialBusyError

pytestmark = pytest.mark.timeout(60)

SECRET = "s3cr3t-hunter2"


def test_a_camera_shows_its_picture() -> None:
    camera = Camera(login=("Digest", "viewer", SECRET))
    with rtsp_server.running(camera):
        login = camera.url.replace("://", f"://viewer:{SECRET}@")
        shown = CameraTrial().run({"source": login, "transport": "tcp"})
        with pytest.raises(PipelineError, match="refuses the name or password") as error:
            CameraTrial().run({"source": login.replace(SECRET, f"{SECRET}x")})
    picture = cv2.imdecode(np.frombuffer(shown.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert (shown.width, shown.height) == picture.shape[1::-1]
    assert shown.fps is not None
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_playlist_under_another_name_is_refused() -> None:
    with http_camera() as address, pytest.raises(PipelineError, match="playlist"):
        CameraTrial().run({"source": f"{address}/live/camera"})


def test_one_at_a_time_and_never_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that takes the connection and says nothing."""
    monkeypatch.setattr(trial, "CONNECT_S", 1.0)
    silent = socket.create_server(("127.0.0.1", 0))
    tested, errors = CameraTrial(), []

    def work() -> None:
        try:
            tested.run({"source": f"rtsp://127.0.0.1:{silent.getsockname()[1]}/1"})
        except PipelineError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    connection, _ = silent.accept()
    with pytest.raises(TrialBusyError):
        tested.run({"source": "rtsp://127.0.0.1:9/1"})
    thread.join(60)
    assert not thread.is_alive()
    assert "does not answer" in errors[0]
    connection.close()
    silent.close()
