"""Hot reload: changed, broken and deleted files, and what is said of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.live_config import ZONE, config, zones_of

from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.events.zones.schema import ZonesFile
from pipeline.events.zones.zones_file import save_zones
from pipeline.server.live.config_changes import running_config
from pipeline.server.live.zone_editor import ZoneEditor

pytest.importorskip("fastapi")
from pipeline.server.live.reload import GONE_S, FileWatch, Reloader, with_location


def test_a_file_has_changed_when_its_content_has(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    now = 0.0
    watch = FileWatch(file, lambda: now)
    assert not watch.changed()
    file.write_text("one")
    assert watch.changed()
    assert not watch.changed()
    os.utime(file, (1, 1))
    assert not watch.changed(), "touched, not changed"
    file.write_text("two")
    os.utime(file, (2, 2))
    assert watch.changed(), "of the same length"
    file.unlink()
    assert not watch.changed(), "editors take a file away before they put the new one there"
    now += GONE_S - 0.1
    assert not watch.changed()
    file.write_text("two")
    os.utime(file, (3, 3))
    assert not watch.changed()
    file.unlink()
    now += 100
    assert not watch.changed(), "it may have been taken away just now"
    now += GONE_S
    assert watch.changed(), "it was deleted"
    now += GONE_S
    assert not watch.changed(), "said once"
    file.write_text("two")
    assert watch.changed(), "it is back"


class FakeRun:
    """As much of a pipeline as the reloader asks for."""

    started = True

    def cameras(self) -> dict[str, Any]:
        return {"yard": None}

    def set_watcher(self, camera: str, watcher: Any) -> None:
        self.watcher = watcher


def test_zones_stay_in_force_when_their_file_is_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It went unnoticed until the next start, which watched no zones any more."""
    path, now = tmp_path / "zones.yaml", 0.0
    save_zones(path, ZonesFile(cameras={"yard": zones_of(ZONE)}))
    editor, run = ZoneEditor(path), FakeRun()
    state = running_config(resolve_config(config(tmp_path)), None)
    reloader = Reloader(run, state, editor, Config, lambda: None, now=lambda: now)  # type: ignore[arg-type]

    def check() -> str | None:
        nonlocal now
        for _ in range(3):
            reloader.check()
            now += GONE_S / 2
        return state.error

    assert check() is None
    path.unlink()
    error = check()
    assert error is not None
    assert error.startswith(f"{path}: is gone")
    assert "\n" not in error
    assert editor.zones("yard") == zones_of(ZONE)
    assert check() == error
    assert len([line for line in caplog.messages if "is gone" in line]) == 1, "said once"

    editor.save("gate", zones_of({**ZONE, "name": "drive"}), lambda name, watcher: None)
    assert check() is None, "the page wrote it again"
    assert ZoneEditor(path).zones("yard") == zones_of(ZONE), "all of it"


def test_a_file_that_was_emptied_takes_no_camera_out(tmp_path: Path) -> None:
    """An editor that empties the file before it writes it leaves one for a moment."""
    before = config(tmp_path)
    state = running_config(resolve_config(before), tmp_path / "cams.yaml")
    editor = ZoneEditor(tmp_path / "zones.yaml")
    reloader = Reloader(FakeRun(), state, editor, Config, lambda: None)  # type: ignore[arg-type]
    (tmp_path / "cams.yaml").write_text("")
    reloader.check()
    assert state.error is not None
    assert "sources: needed but not given" in state.error
    assert state.names == ["a", "b"]


def test_an_error_about_a_key_gets_its_line(tmp_path: Path) -> None:
    file = tmp_path / "cams.yaml"
    file.write_text("sources: [synthetic]\ndetector:\n  kind: yolo\n  conf: 7\n")
    assert with_location("detector.conf: want less", file) == f"{file}:4: detector.conf: want less"
    assert with_location(f"{file}:3: not valid YAML", file) == f"{file}:3: not valid YAML"
