"""A tracker's embedder in the configuration: named, checked, shared, opened and closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.api import run
from pipeline.archive.batch.camera_tracker import CameraTracker
from pipeline.config.build import build, effective, schema, tracker_factory
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.core.data import Detections, Frame, Image, Result, Tracks
from pipeline.core.errors import ConfigError, ModelError
from pipeline.core.options import OptionsModel, PluginChoice


class Options(OptionsModel):
    """Options of an embedder and of a tracker, of which this module is both."""

    embedder: PluginChoice | None = None
    """What the tracker knows objects again by."""
    broken: bool = False
    """Whether it cannot be opened."""


CALLS: list[str] = []


class Loud:
    """An embedder that notes what is done with it."""

    min_similarity = 0.5

    def __init__(self, options: Options) -> None:
        self._options = options

    def open(self) -> None:
        CALLS.append("open")
        if self._options.broken:
            raise ModelError("model: broken")

    def embed(self, image: Image, xyxy: Any) -> Any:
        CALLS.append("embed")
        return np.ones((len(xyxy), 1), np.float32)

    def close(self) -> None:
        CALLS.append("close")


class Embedding:
    """A tracker of a third party that embeds in every frame."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder

    def open(self) -> None:
        self._embedder.open()

    def close(self) -> None:
        self._embedder.close()

    def update(self, frame: Frame, detections: Detections) -> Tracks:
        self._embedder.embed(frame.image, detections.xyxy)
        return Tracks.untracked(detections)

    def reset(self) -> None:
        """Nothing to forget."""


def build_either(options: Options, embedder: Any = None) -> Any:
    return Loud(options) if embedder is None else Embedding(embedder)


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """This module as the plug-in `house.looks`."""
    import sys
    import types

    module = types.ModuleType("house.looks")
    module.Options, module.build = Options, build_either  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "house.looks", module)
    CALLS.clear()
    return CALLS


def boxes_file(folder: Path) -> Path:
    """Boxes of ten frames of a source `door`."""
    path = folder / "door.txt"
    rows = [f"{k},-1,{40 + 2 * k},30,20,60,0.9,-1,-1,-1" for k in range(1, 11)]
    path.write_text("\n".join(rows))
    return path


def config_of(folder: Path, tracker: Any, kind: str = "synthetic") -> Config:
    sources = [
        {"kind": kind, "name": "door", "frames": 10, "width": 160, "height": 120},
    ]
    return load_config(
        None,
        {
            "sources": sources,
            "detector": {"kind": "replay", "paths": [str(boxes_file(folder))]},
            "tracker": tracker,
            "sinks": [],
            "run.output": str(folder / "out"),
        },
    )


def test_its_time_is_a_stage_of_the_report(tmp_path: Path) -> None:
    for tracker in ("trackline", "sort"):
        report = run(config_of(tmp_path, {"kind": tracker, "embedder": "appearance"}))
        stages = [*report["stages"]]
        assert stages.index("embed") == stages.index("track") + 1
        assert report["config"]["tracker"]["embedder"]["kind"] == "appearance"
    assert "embed" not in run(config_of(tmp_path, "trackline"))["stages"]


def test_it_is_opened_once_for_all_and_closed_behind_the_last(plugins: list[str]) -> None:
    config = Config(tracker=PluginChoice(kind="trackline", embedder="house.looks"))
    new_tracker = tracker_factory(config)
    first, second = new_tracker(), new_tracker()
    assert plugins == []
    for tracker in (first, second, first):
        tracker.open()  # type: ignore[attr-defined]
    first.close()  # type: ignore[attr-defined]
    first.close()  # type: ignore[attr-defined]
    assert plugins == ["open"]
    second.close()  # type: ignore[attr-defined]
    second.close()  # type: ignore[attr-defined]
    assert plugins == ["open", "close"]
    first.open()  # type: ignore[attr-defined]
    assert plugins == ["open", "close", "open"]


def test_a_batch_jobs_camera_opens_it_with_its_first_frame(plugins: list[str]) -> None:
    """A job whose recordings are all in the dataset loads no network."""
    config = Config(tracker=PluginChoice(kind="house.looks", embedder="house.looks"))
    camera = CameraTracker("door", tracker_factory(config), lambda: None)
    camera.begin(gap_s=None)
    assert plugins == []
    picture = Frame(np.zeros((20, 20, 3), np.uint8), "a.mp4", 0, 0.0, 0.0)
    for _ in range(2):
        camera.track(Result(picture, Detections.empty(), Tracks.empty(), {}, {}, (), {}))
    camera.begin(gap_s=None)
    camera.track(Result(picture, Detections.empty(), Tracks.empty(), {}, {}, (), {}))
    camera.close()
    camera.close()
    assert plugins == ["open", "embed", "embed", "close", "open", "embed", "close"]


def test_trackers_and_embedders_of_third_parties(tmp_path: Path, plugins: list[str]) -> None:
    run(config_of(tmp_path, {"kind": "house.looks", "embedder": {"kind": "house.looks"}}))
    assert plugins == ["open", *["embed"] * 10, "close"]


def test_one_that_cannot_be_opened_ends_the_run_before_its_first_frame(
    tmp_path: Path, plugins: list[str]
) -> None:
    broken = {"kind": "house.looks", "broken": True}
    with pytest.raises(ModelError, match="broken"):
        run(config_of(tmp_path, {"kind": "trackline", "embedder": broken}))
    assert plugins[0] == "open"
    assert "embed" not in plugins


@pytest.mark.parametrize(
    ("tracker", "says"),
    [
        ({"embedder": "apearance"}, r"tracker\.embedder: unknown embedder 'apearance'; did you"),
        (
            {"embedder": {"kind": "appearance", "stripe": 3}},
            r"tracker\.embedder: unknown key 'stripe'; did you mean stripes",
        ),
        ({"embedder": {"kind": "reid"}}, r"tracker\.embedder\.model: needed but not given"),
        ({"embedder": 3}, r"tracker\.embedder: want a name or a section, got 3"),
        ({"kind": "none", "embedder": "appearance"}, "unknown key 'embedder'"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, tracker: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        build(resolve_config(config_of(tmp_path, tracker)))
    assert "\n" not in str(raised.value)


def test_recorded_detections_without_their_video_are_refused(tmp_path: Path) -> None:
    """Looks of black pictures would be compared, and everything would look the same."""
    config = config_of(tmp_path, {"embedder": "appearance"}, kind="blank")
    with pytest.raises(ConfigError, match=r"wants pictures, and source 'door' has none"):
        build(resolve_config(config))
    build(resolve_config(config_of(tmp_path, "trackline", kind="blank")))


def test_the_effective_configuration_has_its_defaults(tmp_path: Path) -> None:
    shown = effective(resolve_config(config_of(tmp_path, {"embedder": "appearance"})))
    assert shown["tracker"]["embedder"]["stripes"] > 1
    assert shown["tracker"]["remember_s"] > 1
    assert effective(resolve_config(config_of(tmp_path, "sort")))["tracker"]["embedder"] is None


def test_it_is_set_from_the_command_line() -> None:
    config = load_config(
        None, {"tracker.embedder.model": "a.onnx", "tracker.embedder.kind": "reid"}
    )
    assert config.tracker.options["embedder"] == {"kind": "reid", "model": "a.onnx"}
    named = load_config(None, {"tracker.embedder": "reid", "tracker.embedder.model": "a.onnx"})
    assert named == config
    assert load_config(None, {"tracker.embedder": "appearance"}).tracker.kind == "trackline"


def test_the_schema_for_editors_knows_embedders() -> None:
    definitions = schema()["$defs"]
    assert {"enum": ["appearance", "reid"]} in definitions["embedders"]["anyOf"]
    embedder = definitions["trackers.trackline"]["properties"]["embedder"]
    assert embedder["anyOf"] == [{"$ref": "#/$defs/embedders"}, {"type": "null"}]
