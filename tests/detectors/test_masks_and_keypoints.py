"""Networks that give masks or keypoints with their boxes, in every layout; what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from support.tiny_networks import constant_network

from pipeline.core.data import Detections, Frame, Tracks
from pipeline.core.errors import ModelError
from pipeline.detectors.yolo import Options, build

pytestmark = pytest.mark.usefixtures("any_library")

SIZE = (64, 64)
NAMES = {"names": "{0: 'cat', 1: 'dog'}"}
SEGMENT = {**NAMES, "task": "segment", "end2end": "False"}
POSE = {**NAMES, "task": "pose", "end2end": "False"}
CORNERS = np.array([[8, 16, 40, 48], [24, 16, 56, 48]], np.float32)
SCORES = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
COEFFICIENTS = np.array([[1, 0], [0, -2]], np.float32)
"""The cat is what lies left of 32, the dog what lies below 32, both in pixels of the input."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKLINE_CACHE", str(tmp_path / "cache"))


def prototypes(height: int = 16, width: int = 16) -> np.ndarray:
    """Two prototypes: 1 in the left half and -1 in the right, 1 in the upper and -1 below."""
    out = np.ones((1, 2, height, width), np.float32)
    out[0, 0, :, width // 2 :] = -1
    out[0, 1, height // 2 :] = -1
    return out


def table(layout: str, extra: np.ndarray) -> np.ndarray:
    """The two boxes as a network of that layout answers them."""
    centres = np.concatenate(
        ((CORNERS[:, :2] + CORNERS[:, 2:]) / 2, CORNERS[:, 2:] - CORNERS[:, :2]), axis=1
    )
    ones, classes = np.ones((2, 1)), np.array([[0], [1]])
    best = SCORES.max(axis=1, keepdims=True)
    return {
        "v8": lambda: np.concatenate((centres, SCORES, extra), axis=1).T,
        "v5": lambda: np.concatenate((centres, ones, SCORES, extra), axis=1),
        "end-to-end": lambda: np.concatenate((CORNERS, best, classes, extra), axis=1),
    }[layout]()[None]


LAYOUTS = {
    "v8": {"end2end": "False"},
    "v5": {"end2end": "False", "layout": "v5"},
    "end-to-end": {"end2end": "True"},
}


def open_network(path: Path, layout: str, extra: np.ndarray, metadata: dict[str, str], **more):
    """A detector of a network with the two boxes."""
    said = {**metadata, **LAYOUTS[layout]}
    chosen = {"layout": said.pop("layout")} if "layout" in said else {}
    constant_network(path, table(layout, extra), SIZE, said, prototypes=more.pop("masks", None))
    detector = build(Options(model=str(path), **{**chosen, **more}))
    detector.open()
    return detector


def detect(detector, height: int = 64, width: int = 64) -> Detections:
    [found] = detector.detect([Frame(np.full((height, width, 3), 90, np.uint8), "a", 0, 0.0, 0.0)])
    return found


def pixels(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> np.ndarray:
    out = np.zeros(size, np.bool_)
    out[top:bottom, left:right] = True
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("metadata", [SEGMENT, NAMES], ids=["task", "no task"])
def test_masks_in_every_layout(tmp_path: Path, layout: str, metadata) -> None:
    """The file of YOLOv5 does not name its task; the second output does."""
    path = tmp_path / "a.onnx"
    detector = open_network(path, layout, COEFFICIENTS, metadata, masks=prototypes())
    found = detect(detector)
    np.testing.assert_allclose(found.xyxy, CORNERS, atol=1e-4)
    assert found.class_id.tolist() == [0, 1]
    assert found.keypoints is None
    assert found.masks is not None
    cat, dog = (mask.decode() for mask in found.masks)
    np.testing.assert_array_equal(cat, pixels(SIZE, 8, 16, 32, 48))
    np.testing.assert_array_equal(dog, pixels(SIZE, 24, 32, 56, 48))
    detector.close()


@pytest.mark.parametrize(
    ("size", "boxes"),
    [
        ((128, 128), ((16, 32, 64, 96), (48, 64, 112, 96))),
        ((48, 64), ((8, 8, 32, 40), (24, 24, 56, 40))),  # padding above and below
        ((96, 128), ((16, 16, 64, 80), (48, 48, 112, 80))),
        ((128, 64), ((0, 32, 32, 96), (16, 64, 64, 96))),  # left and right
    ],
)
def test_masks_lie_on_the_picture_not_on_the_networks_input(tmp_path: Path, size, boxes) -> None:
    path = tmp_path / "a.onnx"
    detector = open_network(path, "v8", COEFFICIENTS, SEGMENT, masks=prototypes())
    found = detect(detector, *size)
    assert found.masks is not None
    for mask, (left, top, right, bottom) in zip(found.masks, boxes, strict=True):
        np.testing.assert_array_equal(mask.decode(), pixels(size, left, top, right, bottom))
    detector.close()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("numbers", [2, 3])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.slow
def test_keypoints_in_every_layout(tmp_path: Path, layout: str, numbers: int, count: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (2, count, numbers)).astype(np.float32)
    points[..., :2] = points[..., :2] * 60 + 2
    said = {**POSE, "kpt_shape": f"[{count}, {numbers}]"}
    detector = open_network(tmp_path / "a.onnx", layout, points.reshape(2, -1), said)
    found = detect(detector, 128, 128)
    np.testing.assert_allclose(found.xyxy, CORNERS * 2, atol=1e-3)
    assert found.masks is None
    assert found.keypoints is not None
    assert found.keypoints.shape == (2, count, 3)
    np.testing.assert_allclose(found.keypoints[..., :2], points[..., :2] * 2, atol=1e-3)
    scores = points[..., 2] if numbers == 3 else np.ones((2, count))
    np.testing.assert_allclose(found.keypoints[..., 2], scores, atol=1e-6)
    detector.close()


def test_keypoints_end_at_the_picture(tmp_path: Path) -> None:
    points = np.array([[[-9, 32, 1], [90, 2, 0.5]]] * 2, np.float32)  # 2 lies in the padding
    said = {**POSE, "kpt_shape": "[2, 3]"}
    detector = open_network(tmp_path / "a.onnx", "v8", points.reshape(2, -1), said)
    found = detect(detector, 48, 64)
    assert found.keypoints is not None
    assert found.keypoints[0].tolist() == [[0, 24, 1], [64, 0, 0.5]]
    detector.close()


def test_the_number_of_keypoints_follows_from_the_shape(tmp_path: Path) -> None:
    points = np.full((2, 12), 20, np.float32)
    detector = open_network(tmp_path / "a.onnx", "v8", points, POSE)
    found = detect(detector)
    assert found.keypoints is not None
    assert found.keypoints.shape == (2, 4, 3)
    detector.close()


@pytest.mark.parametrize(
    ("options", "areas"),
    [
        ({}, [24 * 32, 32 * 16]),
        ({"classes": ["dog"]}, [32 * 16]),
        ({"max_det": 1}, [24 * 32]),
        ({"conf": 0.85}, [24 * 32]),
        ({"conf": 0.95}, []),
        ({"nms": "diou"}, [24 * 32, 32 * 16]),
        ({"nms": "soft"}, [24 * 32, 32 * 16]),
        ({"nms": "wbf"}, [24 * 32, 32 * 16]),
        ({"agnostic_nms": True, "iou": 0.1}, [24 * 32]),
    ],
    ids=str,
)
@pytest.mark.slow
def test_masks_stay_with_their_boxes(tmp_path: Path, options, areas: list[int]) -> None:
    path = tmp_path / "a.onnx"
    detector = open_network(path, "v8", COEFFICIENTS, SEGMENT, masks=prototypes(), **options)
    found = detect(detector)
    assert found.masks is not None
    assert [mask.area for mask in found.masks] == areas
    detector.close()


def test_the_second_start_takes_all_from_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    areas = []
    for _ in range(2):
        detector = open_network(path, "v8", COEFFICIENTS, SEGMENT, masks=prototypes())
        found = detect(detector)
        assert found.masks is not None
        areas.append([mask.area for mask in found.masks])
        detector.close()
    assert areas[0] == areas[1] == [24 * 32, 32 * 16]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_plain_networks_have_neither(tmp_path: Path, layout: str) -> None:
    detector = open_network(tmp_path / "a.onnx", layout, np.empty((2, 0), np.float32), NAMES)
    found = detect(detector)
    assert len(found) == 2
    assert found.masks is None
    assert found.keypoints is None
    tracks = Tracks.untracked(found)
    assert tracks.masks(found) is None
    detector.close()


def test_boxes_that_are_no_numbers_have_an_empty_mask(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Masks are made before the engine leaves such boxes out."""
    path = tmp_path / "a.onnx"
    output = table("v8", COEFFICIENTS)
    output[0, 2, 1] = np.inf
    constant_network(path, output, SIZE, SEGMENT, prototypes=prototypes())
    detector = build(Options(model=str(path), layout="v8"))
    with caplog.at_level(logging.ERROR):
        detector.open()
        found = detect(detector)
    assert found.masks is not None
    assert [mask.area for mask in found.masks] == [24 * 32, 0]
    detector.close()


BOXES = table("v8", np.empty((2, 0), np.float32))


@pytest.mark.parametrize(
    ("output", "metadata", "masks", "why"),
    [
        (BOXES, SEGMENT, None, "task is segment, but it has no output of mask prototypes"),
        (BOXES, SEGMENT, prototypes(5, 5), "no output of mask prototypes"),
        (BOXES, POSE, None, "task is pose, but it does not say how many keypoints"),
        (BOXES, {**POSE, "kpt_shape": "[17, 3]"}, None, "want at least 56: box, score and 17 key"),
        (BOXES, {**NAMES, "task": "obb"}, None, "for the task obb, want detect, segment or pose"),
        (BOXES, {**NAMES, "task": "classify"}, None, "the task classify, want detect, segment or"),
        (BOXES, {**NAMES, "task": "semantic"}, None, "the task semantic, want detect, segment or"),
        (np.zeros((1, 1000)), NAMES, None, "looks like a classifier: trackline tag"),
        (np.zeros((1, 19, 64, 64)), NAMES, None, "looks like semantic segmentation"),
        (np.zeros((1, 64, 64)), {**NAMES, "task": "depth"}, None, "for the task depth, want"),
        (np.zeros((1, 57, 2)), NAMES, None, "looks like the task pose"),
        (np.zeros((1, 38, 84)), NAMES, None, "looks like the task segment"),
        (np.zeros((1, 7, 84)), NAMES, None, "looks like the task obb"),
    ],
)
def test_networks_for_something_else_are_named(
    tmp_path: Path, output, metadata, masks, why: str
) -> None:
    path = constant_network(tmp_path / "a.onnx", output, SIZE, metadata, prototypes=masks)
    with pytest.raises(ModelError, match=why) as raised:
        build(Options(model=str(path))).open()
    assert "\n" not in str(raised.value)
