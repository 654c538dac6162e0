"""Tags: words of classifier and detector merged, shapes of services, a kept classifier."""

from __future__ import annotations

import importlib.util
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.paths import ROOT
from support.tiny_networks import brightness_classifier, constant_network

import pipeline
from pipeline.classifiers._tags.merge import Seen, merge
from pipeline.classifiers._tags.shapes import SHAPES, Tagged
from pipeline.classifiers._tags.words import load_words
from pipeline.core.data import Detection
from pipeline.core.errors import ConfigError, ModelError, SourceError

BEST = json.loads(Path(__file__).with_name("tags_reference.json").read_text())
"""Scores of the original network's ten best classes, by the picture inside a package."""


@pytest.mark.parametrize(
    ("classes", "objects", "tags"),
    [
        ([("minibus", 0.66)], [("person", 0.91)], {"person": 0.91, "minibus": 0.66}),
        ([("minibus", 0.66)], [("person", 0.45)], {"person": 0.45, "minibus": 0.66}),
        ([("minibus", 0.66)], [("person", 0.39)], {"minibus": 0.66}),
        ([("missile", 0.66), ("moped", 0.01)], [("motorcycle", 0.59)], {"missile": 0.66}),
        ([("missile", 0.6), ("moped", 0.03)], [("motorcycle", 0.59)],
         {"missile": 0.6, "motorcycle": 0.59}),
        ([("missile", 0.66)], [("forklift", 0.39), ("crane", 0.45)],
         {"missile": 0.66, "crane": 0.45}),
        ([("minibus", 0.4), ("school bus", 0.1)], [("bus", 0.9)],
         {"minibus": 0.72, "school bus": 0.18}),
        ([("minibus", 0.01), ("school bus", 0.01)], [("bus", 0.9)], {"bus": 0.9}),
        ([("studio couch", 0.3)], [("couch", 0.9)], {"couch": 0.9}),
        ([("television", 0.4)], [("tv", 0.7)], {"tv": 0.7}),
        ([("Siberian Husky", 0.2), ("Alaskan Malamute", 0.2), ("beagle", 0.2)], [], {"dog": 0.6}),
        ([("Siberian Husky", 0.5), ("beagle", 0.1)], [], {"Siberian Husky": 0.5, "Beagle": 0.1}),
        ([("missile", 0.2), ("missile", 0.15)], [], {"missile": 0.35}),
        ([("lion", 0.2)], [("cat", 0.8)], {"cat": 0.8, "lion": 0.2}),
        ([("bridegroom", 0.9)], [("person", 0.6)], {"person": 0.9, "bridegroom": 0.9}),
        ([("tench", 0.05)], [], {}),
        ([], [("forklift", 0.5), ("forklift", 0.7)], {"forklift": 0.7}),
    ],
)  # fmt: skip
def test_words_are_merged(classes: Any, objects: Any, tags: dict[str, float]) -> None:
    found = merge(Seen(classes, objects), load_words(), threshold=0.1, top=5)
    assert list(found) == list(tags)
    assert found == pytest.approx(tags, abs=1e-3)


def test_what_is_left_over_does_not_add_up() -> None:
    """398 classes are animals: a daisy was an animal at 0.26 by what softmax left for them."""
    names = load_words().classes
    rest = [(name, 0.5 / len(names)) for name in names]
    found = merge(Seen([*rest, ("daisy", 0.5)]), load_words(), threshold=0.1, top=5)
    assert list(found) == ["daisy"]


def test_top_and_threshold() -> None:
    seen = Seen([("tench", 0.5), ("toaster", 0.3), ("stage", 0.2)])
    assert list(merge(seen, load_words(), threshold=0.1, top=2)) == ["tench", "toaster"]
    assert list(merge(seen, load_words(), threshold=0.4, top=2)) == ["tench"]


def test_the_shapes_of_services() -> None:
    tagged = Tagged(
        {"person": 0.912, "minibus": 0.66},
        [
            Detection((10.0, 20.0, 60.0, 80.0), 0.912, 0, "person"),
            Detection((0.0, 0.0, 200.0, 100.0), 0.7, 5, "bus"),
        ],
        (100, 200),
    )
    assert SHAPES["trackline"](tagged) == {"tags": {"person": 0.912, "minibus": 0.66}}
    assert SHAPES["filestack"](tagged) == {
        "tags": {"auto": {"person": 91, "minibus": 66}, "user": None}
    }
    person, minibus = SHAPES["rekognition"](tagged)["Labels"]
    box = {"Width": 0.25, "Height": 0.6, "Left": 0.05, "Top": 0.2}
    assert person == {
        "Name": "Person",
        "Confidence": 91.2,
        "Instances": [{"BoundingBox": box, "Confidence": 91.2}],
        "Parents": [],
    }
    assert minibus["Name"] == "Minibus"
    assert [each["Name"] for each in minibus["Parents"]] == ["Bus", "Vehicle"]
    assert len(minibus["Instances"]) == 1, "the bus that the detector saw"


@pytest.fixture
def networks(tmp_path: Path) -> tuple[Path, Path]:
    classifier = brightness_classifier(
        tmp_path / "c.onnx",
        factors=(4.0, -4.0),
        metadata={"task": "classify", "names": "['minibus', 'daisy']"},
    )
    box = np.array([[32], [24], [20], [10], [0.9], [0.0]], np.float32)[None]
    names = {"names": "{0: 'person', 1: 'car'}"}
    return classifier, constant_network(tmp_path / "d.onnx", box, metadata=names)


@pytest.mark.slow
def test_tag_joins_both_networks(networks: tuple[Path, Path]) -> None:
    classifier, detector = networks
    white = np.full((48, 64, 3), 255, np.uint8)
    tags = pipeline.tag(white, model=classifier, detector=detector)
    assert list(tags) == ["person", "minibus"]
    assert tags["minibus"] > 0.99
    assert list(pipeline.tag(white, model=classifier, detector="none")) == ["minibus"]


@pytest.mark.slow
def test_a_kept_classifier_serves_many_threads(networks: tuple[Path, Path]) -> None:
    classifier, detector = networks
    found: dict[int, dict[str, float]] = {}

    def ask(number: int) -> None:
        picture = np.full((48, 64, 3), 255 * (number % 2), np.uint8)
        found[number] = pipeline.tag(picture, model=kept, detector=seen)

    with pipeline.load_classifier(classifier) as kept, pipeline.load_model(detector) as seen:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(found[number] == found[number % 2] for number in range(8))
    assert found[0] != found[1]
    with pytest.raises(ModelError, match="closed; load it again"):
        kept.classify([np.zeros((8, 8, 3), np.uint8)])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"top": 0}, ConfigError, "top: want a whole number"),
        ({"threshold": 2}, ConfigError, "threshold: want a number from 0 to 1"),
        ({"model": 7}, ConfigError, "model: want a name"),
        ({"picture": "missing.jpg"}, SourceError, "missing.jpg"),
        ({"picture": None}, SourceError, "picture"),
    ],
)
def test_mistakes_are_one_line(arguments: Any, error: type[Exception], message: str) -> None:
    given = {"picture": np.zeros((8, 8, 3), np.uint8)} | arguments
    with pytest.raises(error, match=message):
        pipeline.tag(given.pop("picture"), **given)


def packaged(name: str) -> Path | None:
    """Return where a picture inside an installed package lies."""
    package, _, inside = name.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations)), inside)
    return path if path.is_file() else None


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BEST if packaged(name)])
def test_the_network_in_the_package_equals_the_original(name: str) -> None:
    """The reference is PyTorch's, written by training/convert_classifier.py.

    The pictures are those of the Python packages that are installed; matplotlib's always is.
    """
    want, path = BEST[name], packaged(name)
    assert path is not None
    with pipeline.load_classifier() as classifier:
        [row] = classifier.classify([pipeline.read_picture(path)])
    assert {place: row[int(place)] for place in want} == pytest.approx(want, abs=1e-3)


def test_the_licences_are_beside_the_network() -> None:
    folder = ROOT / "pipeline" / "models"
    text = (folder / "tags.LICENSE.txt").read_text("utf-8")
    assert (folder / "tags.onnx").stat().st_size < 10e6
    for each in ("Apache License 2.0", "Princeton University", "open_clip"):
        assert each in text
