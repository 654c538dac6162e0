"""What every classifier plug-in must keep, run on each one that is found in its room."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fresh_imports import loaded_by_building
from support.plugin_contracts import (
    check_all_have_options,
    check_options,
    contract_fixtures,
)
from support.tiny_networks import brightness_classifier
from support.tiny_videos import grey_picture, noise_picture

import pipeline
import pipeline.classifiers
from pipeline.core.errors import ModelError

# How each plug-in is set up for a test, given an empty folder to put files in.
OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "imagenet": lambda folder: {"model": str(brightness_classifier(folder / "net.onnx"))},
}

HEAVY = ("cv2", "openvino", "torch", "ultralytics", "onnxruntime", "PIL")
SIZES = [(20, 30), (64, 48), (1, 1), (300, 7)]
PICTURES = [noise_picture(number, *size) for number, size in enumerate(SIZES)] + [
    grey_picture(0), grey_picture(255), grey_picture(120)[:, ::-1], grey_picture(90)[::2, ::2],
]  # fmt: skip


def test_every_plugin_has_options_here() -> None:
    check_all_have_options(pipeline.classifiers, OPTIONS)


plugin, options, classifier = contract_fixtures(pipeline.classifiers, OPTIONS)


def test_options_are_strict_frozen_and_described(plugin: Any, options: Any) -> None:
    check_options(plugin, options)


@pytest.mark.slow
def test_import_and_build_load_no_heavy_library(plugin: Any, options: Any) -> None:
    assert loaded_by_building(plugin, options, HEAVY) == "[]"


@pytest.mark.parametrize("count", [0, 1, 2, len(PICTURES)])
def test_one_row_of_scores_for_each_picture(classifier: Any, count: int) -> None:
    names = classifier.open()
    assert sorted(names) == list(range(len(names)))
    assert all(isinstance(name, str) and name for name in names.values())
    found = classifier.classify(PICTURES[:count])
    assert found.dtype == np.float32
    assert found.shape == (count, len(names))
    assert ((found >= 0) & (found <= 1)).all()


def test_pictures_in_any_order_get_the_scores_they_get_alone(classifier: Any) -> None:
    classifier.open()
    alone = [classifier.classify([each])[0] for each in PICTURES]
    assert len({row.tobytes() for row in alone}) > 3, "the network sees its pictures"
    for order in (range(len(PICTURES)), [5, 0, 7, 0, 2]):
        found = classifier.classify([PICTURES[place] for place in order])
        np.testing.assert_allclose(found, [alone[place] for place in order], atol=1e-5)


def test_earlier_scores_and_the_pictures_stay_as_they_are(classifier: Any) -> None:
    """Scores must not be views of memory that the next call writes to."""
    classifier.open()
    given = [each.copy() for each in PICTURES[:2]]
    first = classifier.classify(given)
    kept = first.copy()
    classifier.classify(PICTURES[2:])
    np.testing.assert_array_equal(first, kept)
    for picture, before in zip(given, PICTURES, strict=False):
        np.testing.assert_array_equal(picture, before)


def test_close_is_safe_at_any_time_and_open_works_again(classifier: Any) -> None:
    classifier.close()
    names = classifier.open()
    first = classifier.classify(PICTURES)
    classifier.close()
    classifier.close()
    assert classifier.open() == names
    np.testing.assert_allclose(classifier.classify(PICTURES), first, atol=1e-5)


def test_use_before_open_and_after_close_is_a_model_error(classifier: Any) -> None:
    for _ in range(2):
        with pytest.raises(ModelError, match="before open"):
            classifier.classify(PICTURES[:1])
        classifier.open()
        classifier.close()


def test_a_loaded_classifier_serves_threads_until_it_is_closed(plugin: Any, options: Any) -> None:
    kind = plugin.__name__.rpartition(".")[2]
    loaded = pipeline.load_classifier(kind=kind, **options.model_dump(exclude_unset=True))
    with loaded, ThreadPoolExecutor(4) as threads:
        want = loaded.classify(PICTURES)
        places = [number % len(PICTURES) for number in range(24)]
        rows = threads.map(lambda place: loaded.classify([PICTURES[place]])[0], places)
        np.testing.assert_allclose(list(rows), want[places], atol=1e-5)
    loaded.close()
    with pytest.raises(ModelError, match="closed; load it again"):
        loaded.classify(PICTURES[:1])
