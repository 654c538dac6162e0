"""What every detector plug-in must keep, run on each one that is found in its room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.fresh_imports import loaded_by_building
from support.plugin_contracts import check_all_have_options, contract_fixtures
from support.tiny_families import network, seeing_network
from support.tiny_networks import colour_network

import pipeline.detectors
from pipeline.core.data import Detections, Frame
from pipeline.core.options import descriptions


def _detections(folder: Path) -> dict[str, Any]:
    """A file of boxes for the frames that `frames` gives; the third frame has none."""
    path = folder / "boxes.txt"
    path.write_text("".join(f"{n},-1,{n},5,20,30,0.{n}\n" for n in (1, 2, 4, 5, 5, 6)))
    return {"paths": [str(path)]}


def _pixels(folder: Path) -> dict[str, Any]:
    """A network that answers one box in pixels."""
    outputs = {
        "boxes": np.array([[1, 2, 30, 40]], np.float32),
        "labels": np.array([1]),
        "scores": np.array([0.9], np.float32),
    }
    return {"model": str(network(folder / "net.onnx", outputs, (3, "height", "width")))}


def _tensorflow(folder: Path) -> dict[str, Any]:
    """A network that answers one box as TensorFlow's do."""
    outputs = {
        "detection_boxes": np.array([[[0.1, 0.1, 0.5, 0.5]]], np.float32),
        "detection_scores": np.array([[0.9]], np.float32),
        "detection_classes": np.array([[1.0]], np.float32),
    }
    return {"model": str(network(folder / "net.onnx", outputs, (1, "height", "width", 3)))}


# How each plug-in is set up for a test, given an empty folder to put files in.
OPTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "detr": lambda folder: {"model": str(seeing_network(folder / "net.onnx")), "scores": "none"},
    "rcnn": _pixels,
    "replay": _detections,
    "ssd": _tensorflow,
    "yolo": lambda folder: {"model": str(colour_network(folder / "net.onnx")), "imgsz": 64},
}

HEAVY = ("cv2", "openvino", "torch", "ultralytics", "onnxruntime", "av")


def test_every_plugin_has_options_here():
    check_all_have_options(pipeline.detectors, OPTIONS)


plugin, options, detector = contract_fixtures(pipeline.detectors, OPTIONS)


def frames(count: int) -> list[Frame]:
    """Frames of two sizes with something in them, in memory that nothing else refers to."""
    rng = np.random.default_rng(count)
    sizes = [(48, 64), (90, 160)]
    return [
        Frame(rng.integers(0, 256, (*sizes[n % 2], 3), np.uint8), "test", n, n / 10, n / 10)
        for n in range(count)
    ]


def test_options_are_strict_frozen_and_described(plugin, options):
    with pytest.raises(ValidationError):
        plugin.Options(**options.model_dump(), no_such_option=1)
    with pytest.raises(ValidationError):
        setattr(options, next(iter(plugin.Options.model_fields)), None)
    assert descriptions(plugin.Options).keys() == plugin.Options.model_fields.keys()


@pytest.mark.slow
def test_import_and_build_load_no_heavy_library(plugin, options):
    assert loaded_by_building(plugin, options, HEAVY) == "[]"


@pytest.mark.parametrize("prefer_latency", [False, True])
@pytest.mark.slow
def test_one_answer_per_frame_in_pixels_of_that_frame(detector, prefer_latency):
    names = detector.open(prefer_latency=prefer_latency)
    assert names
    assert all(isinstance(key, int) and isinstance(name, str) for key, name in names.items())
    assert detector.batch_size >= 1
    for count in (0, 1, 2, detector.batch_size + 3):
        pictures = frames(count)
        found = detector.detect(pictures)
        assert len(found) == count
        for frame, one in zip(pictures, found, strict=True):
            assert isinstance(one, Detections)
            height, width = frame.image.shape[:2]
            assert (one.xyxy >= 0).all()
            assert (one.xyxy <= [width, height, width, height]).all()
            assert ((one.score >= 0) & (one.score <= 1)).all()
            assert {int(class_id) for class_id in one.class_id} <= set(names)


def test_same_frames_same_answers_and_earlier_ones_stay(detector):
    """Answers must not be views of memory that the next call writes to."""
    detector.open()
    pictures = frames(5)
    first = detector.detect(pictures)
    copies = [(one.xyxy.copy(), one.score.copy()) for one in first]
    detector.detect(frames(7))
    again = detector.detect(pictures)
    for one, other, (xyxy, score) in zip(first, again, copies, strict=True):
        np.testing.assert_array_equal(one.xyxy, xyxy)
        np.testing.assert_array_equal(one.score, score)
        np.testing.assert_allclose(other.xyxy, xyxy, atol=1e-3)


def test_frames_are_left_unchanged_and_let_go(detector):
    """Frame memory is pooled: a slot is used again once nobody refers to its array."""
    detector.open()
    pictures = frames(4)
    before = [frame.image.copy() for frame in pictures]
    references = [sys.getrefcount(frame.image.base) for frame in pictures]
    detector.detect(pictures)
    assert [sys.getrefcount(frame.image.base) for frame in pictures] == references
    for frame, image in zip(pictures, before, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_stage_times_are_milliseconds_by_name(detector):
    detector.open()
    detector.detect(frames(3))
    stages = getattr(detector, "stage_ms", {})
    assert all(isinstance(name, str) and value >= 0 for name, value in stages.items())


def test_close_is_safe_at_any_time_and_open_works_again(detector):
    detector.close()
    detector.open()
    first = detector.detect(frames(2))
    detector.close()
    detector.close()
    detector.open()
    second = detector.detect(frames(2))
    assert [len(one) for one in first] == [len(one) for one in second]
