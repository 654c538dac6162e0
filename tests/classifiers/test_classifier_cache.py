"""The compiled classifier is kept, and nobody can tell but by the clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.tiny_networks import brightness_classifier
from support.tiny_videos import grey_picture

from pipeline.classifiers import _openvino
from pipeline.classifiers.imagenet import Options, build

PICTURES = [grey_picture(0), grey_picture(200)]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compiled"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    metadata = {"names": "['light', 'dark']", "task": "classify"}
    return brightness_classifier(tmp_path / "n.onnx", factors=(2.0, -2.0), metadata=metadata)


def classify(path: Path, size: int | None = None) -> tuple[dict[int, str], np.ndarray]:
    classifier = build(Options(model=str(path), size=size))
    try:
        return dict(classifier.open()), classifier.classify(PICTURES)
    finally:
        classifier.close()


def test_the_network_is_not_read_again(
    kept: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, scores = classify(weights)
    assert names == {0: "light", 1: "dark"}
    assert len([*kept.glob("*.blob")]) == 1

    def read(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(_openvino, "read_network", read)
    again = classify(weights)
    assert again[0] == names
    np.testing.assert_array_equal(again[1], scores)


def cut_off(kept: Path, weights: Path) -> None:
    for path in kept.iterdir():
        path.write_bytes(path.read_bytes()[:-9])


def no_folder(kept: Path, weights: Path) -> None:
    for path in kept.iterdir():
        path.unlink()
    kept.rmdir()
    kept.write_text("a file where the folder should be")


def other_weights(kept: Path, weights: Path) -> None:
    brightness_classifier(
        weights, factors=(-2.0, 2.0), metadata={"names": "['dark', 'light']", "task": "classify"}
    )


@pytest.mark.parametrize("change", [cut_off, no_folder, other_weights])
def test_what_does_not_fit_is_as_if_it_were_not_there(
    kept: Path, weights: Path, change: Callable[[Path, Path], None]
) -> None:
    names, scores = classify(weights)
    change(kept, weights)
    now = classify(weights)
    order = [list(now[0].values()).index(name) for name in names.values()]
    np.testing.assert_allclose(now[1][:, order], scores, atol=1e-6)
    assert (order == [1, 0]) == (change is other_weights)
