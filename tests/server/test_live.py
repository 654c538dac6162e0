"""What a live run is made of: changes from one configuration to the next, zones, events, files."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.tiny_networks import one_box_network

from pipeline.config.build import make_detector
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.core.data import Detections, Event, Frame, Result, Tracks
from pipeline.core.errors import ConfigError, ModelError, OutputError
from pipeline.core.interfaces import RunInfo
from pipeline.detectors import yolo
from pipeline.events.zones.schema import CameraZones, ZonesFile
from pipeline.events.zones.zones_file import save_zones
from pipeline.server.live.config_changes import apply, running_config, unchangeable
from pipeline.server.live.run import live_config, notify_systemd
from pipeline.server.live.zone_editor import ZoneEditor

pytest.importorskip("fastapi")
from pipeline.events.store.records import EventQuery
from pipeline.server.live.event_log import MAX_RECENT, RecentEvents
from pipeline.server.live.reload import GONE_S, FileWatch, Reloader, with_location

ZONE = {"name": "lawn", "points": [[0, 0], [10, 0], [0, 10]]}


class FakePipeline:
    """Notes what it is told; a detector may fail to open."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.detector_error: ModelError | None = None
        self.detector: Any = None

    def add_source(self, source: Any) -> None:
        self.calls.append(f"add {source.name}")

    def remove_source(self, name: str) -> None:
        self.calls.append(f"remove {name}")

    def replace_detector(self, detector: Any) -> None:
        self.calls.append("detector")
        if self.detector_error:
            raise self.detector_error
        self.detector = detector

    def replace_tracker(self, new_tracker: Callable[[], Any]) -> None:
        new_tracker()
        self.calls.append("tracker")


def config(tmp_path: Path, **changes: Any) -> Config:
    """A configuration of two synthetic cameras, with some sections in place of its own."""
    tree: dict[str, Any] = {
        "sources": [{"kind": "synthetic", "name": name} for name in ("a", "b")],
        "detector": {"kind": "yolo", "model": str(one_box_network(tmp_path / "one.onnx"))},
        **changes,
    }
    path = tmp_path / "cams.yaml"
    path.write_text(json.dumps(tree))
    return load_config(path)


def synthetic(*names: str, **options: Any) -> list[dict[str, Any]]:
    return [{"kind": "synthetic", "name": name, **options} for name in names]


# -- from one configuration to the next -----------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({}, []),
        ({"sources": synthetic("a", "b", "c")}, ["add c"]),
        ({"sources": synthetic("b")}, ["remove a"]),
        ({"sources": synthetic("b", "a")}, []),
        (
            {"sources": [*synthetic("a"), *synthetic("b", fps=5)]},
            ["remove b", "add b"],
        ),
        ({"tracker": "bytetrack"}, ["tracker"]),
        ({"run": {"max_frames": 3}}, []),
        ({"web": {"port": 77}}, []),
    ],
)
def test_only_what_differs_is_changed(
    tmp_path: Path, changes: dict[str, Any], calls: list[str]
) -> None:
    """A changed camera must not cost the others a frame."""
    now = running_config(resolve_config(config(tmp_path)), None)
    pipeline = FakePipeline()
    apply(config(tmp_path, **changes), now, pipeline)
    assert pipeline.calls == calls
    pipeline.calls.clear()
    apply(config(tmp_path, **changes), now, pipeline)
    assert pipeline.calls == [], "what was taken over is in force"


@pytest.mark.parametrize("reloads_before", [0, 1, 2])
@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_folder_is_compared_with_what_it_held_when_it_was_last_read(
    tmp_path: Path, reloads_before: int, change: str
) -> None:
    """The old file was looked up in today's folder: a video added to it seemed to be running."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).touch()
    now = running_config(resolve_config(config(tmp_path, sources=[str(folder)])), None)
    pipeline = FakePipeline()
    for _ in range(reloads_before):
        apply(config(tmp_path, sources=[str(folder)]), now, pipeline)
    if change == "added":
        (folder / "c.mp4").touch()
    else:
        (folder / "b.mp4").unlink()
    done = apply(config(tmp_path, sources=[str(folder)]), now, pipeline)
    wanted = {"added": (["add c"], ["a", "b", "c"]), "removed": (["remove b"], ["a"])}
    assert (pipeline.calls, now.names) == wanted[change]
    assert done == [f"camera {'c' if change == 'added' else 'b'} {change}"]


def test_a_threshold_is_a_new_detector(tmp_path: Path) -> None:
    old = config(tmp_path)
    now = running_config(resolve_config(old), None)
    pipeline = FakePipeline()
    apply(config(tmp_path, detector={**_detector(old), "conf": 0.6}), now, pipeline)
    assert pipeline.calls == ["detector"]
    assert now.config.detector.options["conf"] == 0.6


def test_a_mistake_changes_nothing(tmp_path: Path) -> None:
    now = running_config(resolve_config(config(tmp_path)), None)
    pipeline = FakePipeline()
    wrong = {"sources": synthetic("c"), "tracker": {"kind": "sort", "max_age_s": -1}}
    with pytest.raises(ConfigError, match="max_age_s"):
        apply(config(tmp_path, **wrong), now, pipeline)
    assert pipeline.calls == []
    assert now.names == ["a", "b"]


def test_a_detector_that_cannot_be_opened_is_tried_again_next_time(tmp_path: Path) -> None:
    old = config(tmp_path)
    now = running_config(resolve_config(old), None)
    pipeline = FakePipeline()
    pipeline.detector_error = ModelError("no such weights")
    new = config(tmp_path, detector={**_detector(old), "conf": 0.6}, sources=synthetic("a"))
    with pytest.raises(ModelError):
        apply(new, now, pipeline)
    assert now.config.detector == old.detector
    assert now.names == ["a"], "the rest is in force"
    pipeline.detector_error = None
    apply(new, now, pipeline)
    assert pipeline.calls == ["remove b", "detector", "detector"]


@pytest.mark.parametrize(
    ("before", "after", "conf"),
    [("sort", "trackline", 0.1), ("trackline", "sort", 0.25), ("bytetrack", "trackline", None)],
)
def test_another_tracker_gets_the_boxes_a_fresh_start_would_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, conf: float | None
) -> None:
    """A two-stage tracker put in while running saw no doubtful box, for the detector stayed."""
    monkeypatch.setattr(yolo, "build", lambda options: SimpleNamespace(options=options))
    now = running_config(resolve_config(config(tmp_path, tracker=before)), None)
    pipeline = FakePipeline()
    new = config(tmp_path, tracker=after)
    apply(new, now, pipeline)
    assert pipeline.calls == (["tracker"] if conf is None else ["tracker", "detector"])
    if conf is not None:
        assert pipeline.detector.options == make_detector(new).options  # type: ignore[attr-defined]
        assert pipeline.detector.options.conf == conf
    pipeline.calls.clear()
    apply(new, now, pipeline)
    assert pipeline.calls == []


def test_a_threshold_of_the_users_own_stays_with_any_tracker(tmp_path: Path) -> None:
    own = {**_detector(config(tmp_path)), "conf": 0.4}
    now = running_config(resolve_config(config(tmp_path, tracker="sort", detector=own)), None)
    pipeline = FakePipeline()
    apply(config(tmp_path, tracker="trackline", detector=own), now, pipeline)
    assert pipeline.calls == ["tracker"]


def test_a_detector_for_another_tracker_is_tried_again_until_it_opens(tmp_path: Path) -> None:
    """Its section did not change, only the tracker it serves: that must not look like done."""
    now = running_config(resolve_config(config(tmp_path, tracker="sort")), None)
    pipeline = FakePipeline()
    pipeline.detector_error = ModelError("out of memory")
    new = config(tmp_path, tracker="trackline")
    with pytest.raises(ModelError):
        apply(new, now, pipeline)
    pipeline.detector_error = None
    apply(new, now, pipeline)
    assert pipeline.calls == ["tracker", "detector", "detector"]


def test_what_has_to_wait_is_named(tmp_path: Path) -> None:
    now = running_config(resolve_config(config(tmp_path)), None)
    new = config(tmp_path, web={"port": 77, "host": "::1"}, run={"max_frames": 3}, sinks=["csv"])
    assert unchangeable(new, now) == ["sinks", "run.max_frames", "web.host", "web.port"]


def _detector(of: Config) -> dict[str, Any]:
    return {"kind": of.detector.kind, **of.detector.options}


@pytest.mark.parametrize(("sinks", "kinds"), [(None, ["events"]), ([], []), (["csv"], ["csv"])])
def test_a_live_run_keeps_events_only_unless_told(
    tmp_path: Path, sinks: list[str] | None, kinds: list[str]
) -> None:
    """Video and tables of a camera that runs for weeks would fill the disk."""
    pytest.importorskip("sqlalchemy")
    told = {} if sinks is None else {"sinks": sinks}
    live = live_config(config(tmp_path, **told))
    assert [sink.kind for sink in live.sinks] == kinds
    assert live.run.wait_for_sources


def test_a_file_without_cameras_takes_none_out(tmp_path: Path) -> None:
    """An editor that empties the file before it writes it leaves one for a moment."""
    with pytest.raises(ConfigError, match="sources: needed"):
        live_config(Config())


# -- files ----------------------------------------------------------------------------------------


def test_a_file_is_another_when_its_content_is(tmp_path: Path) -> None:
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


def test_zones_whose_file_is_deleted_stay_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody noticed until the next start, which watched nothing any more."""
    path, now = tmp_path / "zones.yaml", 0.0
    save_zones(path, ZonesFile(cameras={"yard": areas(ZONE)}))
    editor, run = ZoneEditor(path), FakeRun()
    state = running_config(resolve_config(config(tmp_path)), None)
    reloader = Reloader(run, state, editor, Config, lambda: None, now=lambda: now)  # type: ignore[arg-type]

    def look() -> str | None:
        nonlocal now
        for _ in range(3):
            reloader.check()
            now += GONE_S / 2
        return state.error

    assert look() is None
    path.unlink()
    told = look()
    assert told is not None
    assert told.startswith(f"{path}: is gone")
    assert "\n" not in told
    assert editor.zones("yard") == areas(ZONE)
    assert look() == told
    assert len([line for line in caplog.messages if "is gone" in line]) == 1, "said once"

    editor.save("gate", areas({**ZONE, "name": "drive"}), lambda name, watcher: None)
    assert look() is None, "the page wrote it again"
    assert ZoneEditor(path).zones("yard") == areas(ZONE), "all of it"


def test_an_error_about_a_key_gets_its_line(tmp_path: Path) -> None:
    file = tmp_path / "cams.yaml"
    file.write_text("sources: [synthetic]\ndetector:\n  kind: yolo\n  conf: 7\n")
    assert with_location("detector.conf: want less", file) == f"{file}:4: detector.conf: want less"
    assert with_location(f"{file}:3: not valid YAML", file) == f"{file}:3: not valid YAML"


# -- zones ----------------------------------------------------------------------------------------


def areas(*zones: dict[str, Any]) -> CameraZones:
    return CameraZones.model_validate({"zones": zones})


def test_zones_drawn_on_the_page_are_watched_and_written(tmp_path: Path) -> None:
    editor = ZoneEditor(tmp_path / "new" / "zones.yaml")
    told: list[tuple[str, bool]] = []
    assert editor.new_watcher("yard") is None
    editor.save("yard", areas(ZONE), lambda name, watcher: told.append((name, watcher is not None)))
    assert told == [("yard", True)]
    assert ZoneEditor(editor.path).zones("yard") == areas(ZONE)
    assert editor.new_watcher("yard") is not None, "a camera that is added again is watched on"


def test_a_camera_keeps_its_watcher_when_its_zones_change(tmp_path: Path) -> None:
    """Its counts go on."""
    editor = ZoneEditor(tmp_path / "zones.yaml")
    watchers: list[Any] = []
    for zones in ((ZONE,), (ZONE, {**ZONE, "name": "path"}), ()):
        editor.save("yard", areas(*zones), lambda name, watcher: watchers.append(watcher))
    assert len(watchers) == 3
    assert len(set(map(id, watchers))) == 1


def test_a_broken_zones_file_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "zones.yaml"
    editor = ZoneEditor(path)
    editor.save("yard", areas(ZONE), lambda name, watcher: None)
    good = path.read_text()
    path.write_text(good.replace("lawn", "''"))
    with pytest.raises(ConfigError, match=r"zones.yaml:\d+: cameras.yard.zones.0.name"):
        editor.reload()
    assert editor.zones("yard") == areas(ZONE)
    path.write_text(good)
    assert editor.reload() == [], "nothing is different"
    path.unlink()
    with pytest.raises(ConfigError, match="is gone"):
        editor.reload()
    assert editor.zones("yard") == areas(ZONE)
    path.write_text("cameras: {}\n")
    assert editor.reload() == ["yard"], "who wants none says so"


def test_zones_drawn_keep_what_was_just_written_by_hand(tmp_path: Path) -> None:
    """The file is looked at once a second: an edit of that second is not lost to the page's."""
    editor = ZoneEditor(tmp_path / "zones.yaml")
    save_zones(editor.path, ZonesFile(cameras={"gate": areas(ZONE)}))
    told = []
    editor.save("yard", areas(ZONE), lambda name, watcher: told.append(name))
    assert sorted(told) == ["gate", "yard"]
    assert sorted(ZoneEditor(editor.path).names) == ["gate", "yard"]

    editor.path.write_text("cameras: {gate: {zones: [")
    with pytest.raises(ConfigError, match=r"zones.yaml:1: not valid YAML"):
        editor.save("yard", areas(), lambda name, watcher: told.append(name))
    assert editor.zones("yard") == areas(ZONE)
    assert editor.path.read_text() == "cameras: {gate: {zones: [", (
        "a broken file is somebody's work"
    )


def test_zones_that_cannot_be_written_are_not_in_force(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    editor = ZoneEditor(tmp_path / "file" / "zones.yaml")
    with pytest.raises(OutputError, match="cannot be written"):
        editor.save("yard", areas(ZONE), lambda name, watcher: None)
    assert editor.zones("yard") == CameraZones()


# -- events from memory ---------------------------------------------------------------------------


def result_with(*kinds: str, index: int = 0) -> Result:
    at = time.monotonic()
    frame = Frame(np.zeros((4, 4, 3), np.uint8), "yard", index, index / 10, at)
    events = tuple(
        Event(kind, "yard", "lawn", "", 1, 0, "cat", index, index / 10, at, (0, 0, 1, 1))  # type: ignore[arg-type]
        for kind in kinds
    )
    return Result(frame, Detections.empty(), Tracks.empty(), {}, events=events)


def test_recent_events_are_numbered_and_found(tmp_path: Path) -> None:
    recent = RecentEvents()
    recent.open(RunInfo(tmp_path, {}, {}, time.time() - time.monotonic()))
    recent.write(result_with("enter", "leave"))
    recent.write(result_with("enter", index=1))
    assert [event.id for event in recent.query(EventQuery())] == [3, 2, 1]
    assert [event.id for event in recent.query(EventQuery(kind="enter"))] == [3, 1]
    assert [event.id for event in recent.query(EventQuery(before_id=3, limit=1))] == [2]
    assert [event.id for event in recent.query(EventQuery(after_id=2))] == [3]
    assert recent.query(EventQuery(camera="street")) == []
    assert [(c.kind, c.count) for c in recent.counts("yard", 1)] == [("enter", 2), ("leave", 1)]


def test_recent_events_take_no_memory() -> None:
    recent = RecentEvents()
    for index in range(MAX_RECENT + 500):
        recent.write(result_with("enter", index=index))
    found = recent.query(EventQuery(limit=10_000))
    assert len(found) == MAX_RECENT
    assert found[0].id == MAX_RECENT + 500


# -- systemd --------------------------------------------------------------------------------------


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        assert notify_systemd("READY=1")
        assert listener.recv(100) == b"READY=1"
    path.unlink()
    assert not notify_systemd("READY=1"), "nobody listens"
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify_systemd("READY=1")
