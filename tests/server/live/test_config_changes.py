"""Changes from one configuration to the next while the run goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.live_config import config, synthetic

from pipeline.config.build import make_detector
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.errors import ConfigError, ModelError
from pipeline.detectors import yolo
from pipeline.engine import DetectOptions
from pipeline.events.alerts.options import AlertOptions
from pipeline.server.live.config_changes import apply, running_config, unchangeable

pytest.importorskip("fastapi")


class FakePipeline:
    """Records its calls; opening a detector may fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.detector_error: ModelError | None = None
        self.detector: Any = None
        self.detect: dict[str, Any] = {}
        self.class_names: dict[int, str] = {}

    def add_source(self, source: Any, detect: Any = None) -> None:
        self.calls.append(f"add {source.name}")
        self.detect[source.name] = detect

    def set_detect(self, source: str, detect: Any) -> None:
        self.calls.append(f"detect {source}")
        self.detect[source] = detect

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
        (
            {"sources": [*synthetic("a"), *synthetic("b", detect={"fps": 5})]},
            ["detect b"],
        ),
        ({"run": {"max_frames": 3}}, []),
        ({"web": {"port": 77}}, []),
    ],
)
def test_only_differences_are_applied(
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


def test_one_camera_looks_for_more_and_the_others_keep_what_they_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One network for all: it reports what any of them wants, each keeps its own."""
    monkeypatch.setattr(yolo, "build", lambda options: SimpleNamespace(options=options))
    own = {**_detector(config(tmp_path)), "conf": 0.4, "classes": ["person"]}
    now = running_config(resolve_config(config(tmp_path, detector=own)), None)
    pipeline = FakePipeline()
    both = [
        *synthetic("a"),
        *synthetic("b", detect={"conf": 0.2, "classes": ["car"], "imgsz": 960}),
    ]
    apply(config(tmp_path, detector=own, sources=both), now, pipeline)
    assert pipeline.calls == ["detect a", "detect b", "detector"]
    assert (pipeline.detector.options.conf, pipeline.detector.options.classes) == (
        0.2,
        ("person", "car"),
    )
    assert pipeline.detect == {
        "a": DetectOptions(conf=0.4, classes=("person",)),
        "b": DetectOptions(conf=0.2, classes=("car",), imgsz=960),
    }
    apply(config(tmp_path, detector=own), now, pipeline)
    assert pipeline.detect == {"a": None, "b": None}
    assert pipeline.detector.options.conf == 0.4


def test_a_class_that_the_detector_does_not_know_changes_nothing(tmp_path: Path) -> None:
    now = running_config(resolve_config(config(tmp_path)), None)
    pipeline = FakePipeline()
    pipeline.class_names = {0: "person"}
    wrong = synthetic("c", detect={"classes": ["cat"]})
    with pytest.raises(ConfigError, match=r"source c: detect.classes: .*'cat'"):
        apply(config(tmp_path, sources=wrong), now, pipeline)
    assert pipeline.calls == []


@pytest.mark.parametrize(
    ("detect", "message"),
    [
        ({"conf": 2}, "sources.0.detect.conf: want less than 1.0, got 2"),
        ({"size": 2}, "sources.0.detect: unknown key 'size'"),
        (3, "sources.0.detect: want a section, got 3"),
    ],
)
def test_a_mistake_in_a_cameras_own_section_is_named(
    tmp_path: Path, detect: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        resolve_config(config(tmp_path, sources=synthetic("a", detect=detect)))


def test_an_invalid_configuration_changes_nothing(tmp_path: Path) -> None:
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
    """After a change to a two-stage tracker the old detector gave it no boxes of low score."""
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
    """Its own section has not changed, only the tracker, yet the change is not complete."""
    now = running_config(resolve_config(config(tmp_path, tracker="sort")), None)
    pipeline = FakePipeline()
    pipeline.detector_error = ModelError("out of memory")
    new = config(tmp_path, tracker="trackline")
    with pytest.raises(ModelError):
        apply(new, now, pipeline)
    pipeline.detector_error = None
    apply(new, now, pipeline)
    assert pipeline.calls == ["tracker", "detector", "detector"]


def test_keys_that_wait_for_the_next_start_are_named(tmp_path: Path) -> None:
    now = running_config(resolve_config(config(tmp_path)), None)
    new = config(tmp_path, web={"port": 77, "host": "::1"}, run={"max_frames": 3}, sinks=["csv"])
    assert unchangeable(new, now) == ["sinks", "run.max_frames", "web.host", "web.port"]


class FakeAlerts:
    """Notes the rules that it is given."""

    def __init__(self) -> None:
        self.rules: list[tuple[str, ...]] = []

    def set_alerts(self, options: AlertOptions) -> None:
        if any(hook.url.startswith("ftp") for hook in options.webhooks):
            raise ConfigError("alerts.webhooks.0.url: want http")
        self.rules.append(tuple(rule.name for rule in options.rules))


def test_rules_of_alerts_change_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "http://a/")
    now = running_config(resolve_config(config(tmp_path)), None)
    new = config(
        tmp_path,
        sources=synthetic("b"),
        alerts={
            "webhooks": [{"url": "${HOOK}", "name": "a"}],
            "rules": [{"name": "yard", "channels": ["webhook:a"]}],
        },
    )
    pipeline = FakePipeline()
    with pytest.raises(ConfigError, match="need the sink events"):
        apply(new, now, pipeline)
    now.alerts = alerts = FakeAlerts()
    monkeypatch.setenv("HOOK", "ftp://a/")
    with pytest.raises(ConfigError, match="want http"):
        apply(new, now, pipeline)
    assert pipeline.calls == [], "a mistake changes nothing"
    monkeypatch.setenv("HOOK", "http://a/")
    assert apply(new, now, pipeline) == ["alerts changed", "camera a removed"]
    assert apply(new, now, pipeline) == []
    assert alerts.rules == [("yard",)]
    assert unchangeable(new, now) == []


def _detector(of: Config) -> dict[str, Any]:
    return {"kind": of.detector.kind, **of.detector.options}


def test_the_detector_in_use_says_whether_it_takes_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reload it is the new one that is asked."""

    def made(options: Any) -> SimpleNamespace:
        return SimpleNamespace(takes_sizes=options.slice is None, set_sizes=lambda sizes: None)

    monkeypatch.setattr(yolo, "build", made)
    resolved = resolve_config(config(tmp_path))
    now = running_config(resolved, None, in_use=make_detector(resolved.config))
    assert now.takes_sizes
    own = {**_detector(config(tmp_path)), "slice": 320}
    apply(config(tmp_path, detector=own), now, FakePipeline())
    assert not now.takes_sizes
    assert not running_config(resolved, None).takes_sizes, "one without sizes"
