"""The public names of the package; `track` and `detect`, whose defaults are the configuration's."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.paths import ROOT
from support.tiny_networks import constant_network

import pipeline
from pipeline.core.errors import ConfigError

SMALL = {"kind": "synthetic", "width": 64, "height": 48, "frames": 3}


HOMES_OF_PLUGIN_NAMES = ("core.data", "core.errors", "core.interfaces", "core.run_info")
"""Modules whose public classes, Protocols and types a plug-in's author may need."""
INTERNAL = {
    "Float32", "Int32", "Int64",
    "StoreError", "StoreRefusedError", "located", "reading", "system_reason", "writing",
}  # fmt: skip


def public_names(module: ModuleType) -> set[str]:
    """Return what a module defines for others: classes, functions and types, not its imports."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    return {name for name in names if not name.startswith("_") and not name.isupper()}


@pytest.mark.parametrize("home", HOMES_OF_PLUGIN_NAMES)
def test_what_plugins_need_is_at_the_front_door(home: str) -> None:
    """A plug-in's author had to look into `core` for the optional Protocols."""
    found = public_names(importlib.import_module(f"pipeline.{home}")) - INTERNAL
    assert found, "the module defines something"
    assert found <= set(pipeline.__all__)


def test_the_public_names_are_the_namespace() -> None:
    """Each name is there, in order, and nothing else is: no import of the package itself leaks."""
    for name in pipeline.__all__:
        assert getattr(pipeline, name) is not None
    assert pipeline.__all__ == sorted(set(pipeline.__all__))
    rooms = {module.name for module in pkgutil.iter_modules(pipeline.__path__)}
    own = {"annotations", "import_module", "TYPE_CHECKING"}
    visible = {name for name in dir(pipeline) if not name.startswith("_")}
    assert visible - rooms - own == set(pipeline.__all__)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(pipeline.__file__)).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert sorted(each.name for node in imports for each in node.names) == pipeline.__all__


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """It finds one box in the middle of every picture."""
    one_box = np.array([[32], [24], [20], [10], [0.9], [0.0]], np.float32)[None]
    names = {"names": "{0: 'person', 1: 'car'}"}
    return constant_network(tmp_path / "one.onnx", one_box, metadata=names)


@pytest.mark.parametrize(
    ("tracker", "ids"),
    [
        ({"confirm_s": 0}, [1, 1, 1]),
        ({"kind": "sort", "confirm_s": 0}, [1, 1, 1]),
        ({"kind": "ocsort", "confirm_s": 0}, [1, 1, 1]),
        ("none", [0, 0, 0]),
    ],
)
def test_options_alone_mean_the_usual_tracker(network: Path, tracker: Any, ids: list[int]) -> None:
    """`tracker="sort"` and the detector's kind stood here, too, beside the configuration's."""
    results = [*pipeline.track(SMALL, model=network, tracker=tracker, conf=0.5)]
    assert len(results) == 3
    assert [int(each) for result in results for each in result.tracks.track_id] == ids


def test_without_a_tracker_it_is_the_configurations(network: Path) -> None:
    usual = pipeline.Config().tracker.kind
    told, untold = (
        [result.tracks.track_id.tolist() for result in pipeline.track(SMALL, model=network, **each)]
        for each in ({"tracker": usual}, {})
    )
    assert told == untold


@pytest.mark.parametrize(
    ("call", "typo", "meant"),
    [
        (pipeline.track, "comf", "conf"),
        (pipeline.track, "modle", "model"),
        (pipeline.track, "trakcer", "tracker"),
        (pipeline.track, "max_frame", "max_frames"),
        (pipeline.detect, "max_frame", "max_frames"),
        (pipeline.localize, "clases", "classes"),
        (pipeline.load_model, "prefer_latancy", "prefer_latency"),
        (pipeline.load_classifier, "modle", "model"),
    ],
)
def test_an_unknown_keyword_is_named_with_the_nearest(call, typo: str, meant: str) -> None:
    """`max_frame` got max_det as its correction: only the detector's own options were known."""
    given = [] if call.__name__.startswith("load_") else [SMALL]
    said = rf"{call.__name__}: unknown keyword '{typo}'; did you mean {meant}\b.*\(known: .*device"
    with pytest.raises(ConfigError, match=said):
        call(*given, **{typo: "x"})


def test_with_a_loaded_model_a_typo_is_no_option_of_the_detector(network: Path) -> None:
    """`modle` was said to belong in load_model, which refuses it as well."""
    picture = np.zeros((64, 64, 3), np.uint8)
    with pipeline.load_model(network) as loaded:
        for call in (pipeline.track, pipeline.detect, pipeline.localize):
            with pytest.raises(ConfigError, match="unknown keyword 'modle'; did you mean model"):
                call(picture, model=loaded, modle="x")
            with pytest.raises(ConfigError, match=r"device: belongs in load_model"):
                call(picture, model=loaded, device="cpu")


def test_nothing_is_written_by_detect(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert [len(result.detections) for result in pipeline.detect(SMALL, model=network)] == [1] * 3
    assert not list(Path().iterdir())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_check_script_leaves_a_developers_environment_alone(tmp_path: Path) -> None:
    """.ci/run deleted whatever .venv there was, without a word."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / ".venv").mkdir()
    mine = tmp_path / ".venv" / "mine"
    mine.touch()
    env = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        ["bash", ".ci/run"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "CI=true" in done.stdout
    assert mine.exists()
