"""The configuration of a live run, and what systemd gets to know of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support.live_config import config

from pipeline.config.schema import Config
from pipeline.server.live.run import live_config, notify_systemd

pytest.importorskip("fastapi")


@pytest.mark.parametrize(("sinks", "kinds"), [(None, ["events"]), ([], []), (["csv"], ["csv"])])
def test_a_live_run_stores_only_events_by_default(
    tmp_path: Path, sinks: list[str] | None, kinds: list[str]
) -> None:
    """Video and tables of a camera that runs for weeks would fill the disk."""
    pytest.importorskip("sqlalchemy")
    sections = {} if sinks is None else {"sinks": sinks}
    live = live_config(config(tmp_path, **sections))
    assert [sink.kind for sink in live.sinks] == kinds
    assert live.run.wait_for_sources


def test_a_live_run_needs_no_camera() -> None:
    """The page takes pictures, and cameras may be added while it runs."""
    assert live_config(Config()).run.wait_for_sources


def test_systemd_is_notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        assert notify_systemd("READY=1")
        assert listener.recv(100) == b"READY=1"
    path.unlink()
    assert not notify_systemd("READY=1"), "no socket"
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify_systemd("READY=1")
