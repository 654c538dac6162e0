"""pipeline.track and detect: what is meant where nothing is said is the configuration's to say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_networks import constant_network

import pipeline
from pipeline.core.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"kind": "synthetic", "width": 64, "height": 48, "frames": 3}


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


def test_an_option_that_is_none_says_whose(network: Path) -> None:
    with pytest.raises(ConfigError, match=r"detector: unknown key 'comf'; did you mean conf"):
        pipeline.track(SMALL, model=network, comf=0.5)


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
