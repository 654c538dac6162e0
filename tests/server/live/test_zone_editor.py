"""ZoneEditor: zones drawn on the page and written by hand, saved and watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.live_config import ZONE, zones_of

from pipeline.core.errors import ConfigError, OutputError
from pipeline.events.zones.schema import CameraZones, ZonesFile
from pipeline.events.zones.zones_file import save_zones
from pipeline.server.live.zone_editor import ZoneEditor

pytest.importorskip("fastapi")
from pipeline.server.cameras.file_change import ConflictError


def test_zones_drawn_on_the_page_are_watched_and_written(tmp_path: Path) -> None:
    editor = ZoneEditor(tmp_path / "new" / "zones.yaml")
    watched: list[tuple[str, bool]] = []
    assert editor.new_watcher("yard") is not None, "the whole picture is watched without zones"
    editor.save(
        "yard", zones_of(ZONE), lambda name, watcher: watched.append((name, watcher is not None))
    )
    assert watched == [("yard", True)]
    assert ZoneEditor(editor.path).zones("yard") == zones_of(ZONE)
    assert editor.new_watcher("yard") is not None, "a camera that is added again is watched on"


def test_a_camera_keeps_its_watcher_when_its_zones_change(tmp_path: Path) -> None:
    """Its counts go on."""
    editor = ZoneEditor(tmp_path / "zones.yaml")
    watchers: list[Any] = []
    for zones in ((ZONE,), (ZONE, {**ZONE, "name": "path"}), ()):
        editor.save("yard", zones_of(*zones), lambda name, watcher: watchers.append(watcher))
    assert len(watchers) == 3
    assert len(set(map(id, watchers))) == 1


def test_a_broken_zones_file_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "zones.yaml"
    editor = ZoneEditor(path)
    editor.save("yard", zones_of(ZONE), lambda name, watcher: None)
    good = path.read_text()
    path.write_text(good.replace("lawn", "''"))
    with pytest.raises(ConfigError, match=r"zones.yaml:\d+: cameras.yard.zones.0.name"):
        editor.reload()
    assert editor.zones("yard") == zones_of(ZONE)
    path.write_text(good)
    assert editor.reload() == [], "nothing is different"
    path.unlink()
    with pytest.raises(ConfigError, match="is gone"):
        editor.reload()
    assert editor.zones("yard") == zones_of(ZONE)
    path.write_text("cameras: {}\n")
    assert editor.reload() == ["yard"], "an empty file removes the zones"


def test_zones_drawn_keep_what_was_just_written_by_hand(tmp_path: Path) -> None:
    """The file is looked at once a second: an edit of that second is not lost to the page's."""
    editor = ZoneEditor(tmp_path / "zones.yaml")
    save_zones(editor.path, ZonesFile(cameras={"gate": zones_of(ZONE)}))
    watched = []
    editor.save("yard", zones_of(ZONE), lambda name, watcher: watched.append(name))
    assert sorted(watched) == ["gate", "yard"]
    assert sorted(ZoneEditor(editor.path).names) == ["gate", "yard"]

    editor.path.write_text("cameras: {gate: {zones: [")
    with pytest.raises(ConfigError, match=r"zones.yaml:1: not valid YAML"):
        editor.save("yard", zones_of(), lambda name, watcher: watched.append(name))
    assert editor.zones("yard") == zones_of(ZONE)
    assert editor.path.read_text() == "cameras: {gate: {zones: [", (
        "a broken file is not overwritten"
    )


def test_zones_that_cannot_be_written_are_not_in_force(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    editor = ZoneEditor(tmp_path / "file" / "zones.yaml")
    with pytest.raises(OutputError, match="cannot be written"):
        editor.save("yard", zones_of(ZONE), lambda name, watcher: None)
    assert editor.zones("yard") == CameraZones()


def test_a_renamed_camera_keeps_its_zones(tmp_path: Path) -> None:
    editor = ZoneEditor(tmp_path / "zones.yaml")
    watched: list[str] = []
    editor.save("yard", zones_of(ZONE), lambda name, watcher: None)
    with editor.renaming("yard", "garden", lambda name, watcher: watched.append(name)):
        assert watched == []
    assert sorted(watched) == ["garden", "yard"]
    assert ZoneEditor(editor.path).zones_by_camera() == {"garden": {"lawn": False}}
    assert editor.zones("garden") == zones_of(ZONE)
    with editor.renaming("other", "gate", lambda name, watcher: watched.append(name)):
        pass
    assert editor.names == ["garden"], "one without zones"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("broken", ConfigError),
        ("read-only", OutputError),
        ("zones of the new name", ConflictError),
        ("inside", ConfigError),
    ],
)
def test_a_camera_that_cannot_be_renamed_keeps_its_zones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, error: type[Exception]
) -> None:
    """The page said 422 after the camera was renamed, and zones kept for the name were gone."""
    editor = ZoneEditor(tmp_path / "zones.yaml")
    names = ["yard", "garden"] if fault == "zones of the new name" else ["yard"]
    for name in names:
        editor.save(name, zones_of(ZONE), lambda name, watcher: None)
    text = "cameras: [" if fault == "broken" else f"# mine\n{editor.path.read_text()}"
    editor.path.write_text(text)
    if fault == "read-only":
        monkeypatch.setattr(Path, "replace", _refused)
    inside = []

    def fail() -> None:
        inside.append(fault)
        raise ConfigError("the configuration is broken")

    with pytest.raises(error), editor.renaming("yard", "garden", lambda name, watcher: None):
        fail()
    assert inside == (["inside"] if fault == "inside" else [])
    assert editor.path.read_text() == text
    assert editor.names == names
    assert editor.zones("yard") == zones_of(ZONE)


def _refused(path: Path, target: Path) -> None:
    raise PermissionError(13, "Permission denied", str(target))
