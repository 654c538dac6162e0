"""What every embedder plug-in must keep, run on each one that is found in its room."""

from __future__ import annotations

from collections.abc import Callable
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
from support.tiny_networks import colour_embedder
from support.tiny_videos import noise_picture

import pipeline.embedders
from pipeline.core.errors import ModelError

# How each plug-in is set up for a test, given an empty folder to put files in.
OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "appearance": lambda _: {},
    "reid": lambda folder: {"model": str(colour_embedder(folder / "net.onnx"))},
}

HEAVY = ("cv2", "openvino", "torch", "onnxruntime", "PIL")
PICTURE = noise_picture(1, 90, 120)
PICTURE[20:60, 30:50] = (30, 30, 200)
PICTURE[20:60, 70:90] = (200, 60, 30)
BOXES = np.array(
    [
        [30, 20, 50, 60],
        [70, 20, 90, 60],
        [0, 0, 5, 80],
        [10.4, 10.6, 12.2, 11.1],
        [40, 40, 40, 40],
        [-50, -50, 10, 10],
        [500, 500, 600, 600],
        [-1e6, -1e6, 1e6, 1e6],
    ],
    np.float32,
)
"""Two objects, a narrow one, less than a pixel, nothing, half outside, wholly outside, all."""


def test_every_plugin_has_options_here() -> None:
    check_all_have_options(pipeline.embedders, OPTIONS)


plugin, options, embedder = contract_fixtures(pipeline.embedders, OPTIONS)


def test_options_are_strict_frozen_and_described(plugin: Any, options: Any) -> None:
    check_options(plugin, options)


@pytest.mark.slow
def test_import_and_build_load_no_heavy_library(plugin: Any, options: Any) -> None:
    assert loaded_by_building(plugin, options, HEAVY) == "[]"


@pytest.mark.parametrize("count", [0, 1, 2, len(BOXES)])
def test_one_unit_vector_for_each_box(embedder: Any, count: int) -> None:
    embedder.open()
    found = embedder.embed(PICTURE, BOXES[:count])
    assert found.dtype == np.float32
    assert found.shape == (count, embedder.embed(PICTURE, BOXES).shape[1])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_boxes_in_any_order_get_the_vectors_they_get_alone(embedder: Any) -> None:
    embedder.open()
    alone = np.concatenate([embedder.embed(PICTURE, each[None]) for each in BOXES])
    order = [5, 0, 7, 0, 2]
    np.testing.assert_allclose(embedder.embed(PICTURE, BOXES[order]), alone[order], atol=1e-5)
    same = embedder.embed(PICTURE[:, ::1].copy(), BOXES)
    np.testing.assert_allclose(same, alone, atol=1e-5)


def test_two_colours_differ_and_a_moved_object_does_not(embedder: Any) -> None:
    """An embedder that ignores its boxes would give one vector for all."""
    embedder.open()
    moved = np.roll(PICTURE, (7, 11), (0, 1))
    first = embedder.embed(PICTURE, BOXES[:2])
    later = embedder.embed(moved, BOXES[:2] + np.float32([11, 7, 11, 7]))
    assert 0 <= embedder.min_similarity < 1
    assert (first * later).sum(1) == pytest.approx([1, 1], abs=1e-4)
    assert first[0] @ later[1] < (first * later).sum(1).min()


def test_vectors_and_the_picture_stay_as_they_are(embedder: Any) -> None:
    """Vectors must not be views of memory that the next call writes to."""
    embedder.open()
    picture = PICTURE.copy()
    picture.flags.writeable = False
    first = embedder.embed(picture, BOXES)
    kept = first.copy()
    embedder.embed(255 - picture, BOXES)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(picture, PICTURE)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_boxes_that_are_not_finite_are_refused(embedder: Any, number: float) -> None:
    embedder.open()
    with pytest.raises(ValueError, match="finite"):
        embedder.embed(PICTURE, np.array([[0, 0, number, 5]], np.float32))


def test_close_is_safe_at_any_time_and_open_works_again(embedder: Any) -> None:
    embedder.close()
    embedder.open()
    first = embedder.embed(PICTURE, BOXES)
    embedder.close()
    embedder.close()
    embedder.open()
    np.testing.assert_allclose(embedder.embed(PICTURE, BOXES), first, atol=1e-5)


def test_use_before_open_and_after_close_is_a_model_error(embedder: Any) -> None:
    for _ in range(2):
        with pytest.raises(ModelError, match="before open"):
            embedder.embed(PICTURE, BOXES)
        embedder.open()
        embedder.close()
