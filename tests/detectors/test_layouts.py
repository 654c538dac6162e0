"""Output layouts are told apart, and known numbers in them come out as known boxes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.class_ids import wanted_ids
from pipeline.core.errors import ModelError
from pipeline.detectors.common.layouts import cell_count, identify
from pipeline.models.class_names import COCO, default_names, parse_names


@pytest.mark.parametrize(
    ("shape", "size", "names", "end2end", "name", "classes"),
    [
        ((1, 84, 8400), (640, 640), 80, None, "v8", 80),
        ((1, 84, 6300), (480, 640), None, None, "v8", 80),
        ((1, 5, 8400), (640, 640), None, None, "v8", 1),
        ((1, 6, 8400), (640, 640), 2, False, "v8", 2),
        ((1, 84, 84), (64, 64), 80, None, "v8", 80),
        ((None, 84, 3549), (416, 416), 80, None, "v8", 80),
        ((1, 84, 34000), (640, 640), 80, None, "v8", 80),  # four feature maps, as in *-p2
        ((1, 25200, 85), (640, 640), 80, None, "v5", 80),
        ((1, 25200, 6), (640, 640), 1, None, "v5", 1),
        ((1, 3549, 85), (416, 416), None, None, "yolox", 80),
        ((1, 8400, 6), (640, 640), None, None, "yolox", 1),
        ((1, 300, 6), (640, 640), 80, True, "end-to-end", 80),
        ((1, 300, 6), (640, 640), None, None, "end-to-end", None),
        ((1, None, 6), (640, 640), None, None, "end-to-end", None),
        ((1, 84, 6), (64, 64), 80, True, "end-to-end", 80),
    ],
)
def test_layouts_are_distinguished(shape, size, names, end2end, name, classes):
    layout = identify(shape, size, names, end2end)
    assert (layout.name, layout.class_count) == (name, classes)


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((1, 1000), None),
        ((2, 84, 8400), None),
        ((1, 116, 8400), 80),  # a segmentation network
        ((1, 8400, 84), 80),
        ((1, 9000, 85), None),
        ((1, 4, 8400), None),
        ((1, 84, None), None),
    ],
)
def test_unknown_layouts_are_refused_with_what_came(shape, names):
    with pytest.raises(ModelError) as error:
        identify(shape, (640, 640), names, None)
    text = str(error.value)
    assert "\n" not in text
    assert str(shape[-2] or "?") in text
    assert "(1, 4+classes, N)" in text


def test_v8_reads_pixels_and_best_class():
    output = np.zeros((4 + 3, 84), np.float32)
    output[:, 10] = [30, 20, 10, 8, 0.1, 0.7, 0.3]
    output[:, 11] = [30, 20, 10, 8, 0.1, 0.2, 0.25]
    found = identify((1, 7, 84), (64, 64), None, None).decode(output, 0.25, (64, 64))
    np.testing.assert_allclose(found.xyxy, [[25, 16, 35, 24]])
    np.testing.assert_allclose(found.score, [0.7])  # the other is at, not above, the threshold
    assert found.class_id.tolist() == [1]


def test_v5_multiplies_objectness():
    output = np.zeros((252, 5 + 3), np.float32)
    output[10] = [30, 20, 10, 8, 0.5, 0.1, 0.8, 0.3]
    output[11] = [30, 20, 10, 8, 0.5, 0.1, 0.4, 0.3]
    found = identify((1, 252, 8), (64, 64), None, None).decode(output, 0.25, (64, 64))
    np.testing.assert_allclose(found.xyxy, [[25, 16, 35, 24]])
    np.testing.assert_allclose(found.score, [0.4])
    assert found.class_id.tolist() == [1]


@pytest.mark.parametrize(
    ("row", "xyxy"),
    [
        (0, [0, 0, 8, 8]),  # first cell at stride 8: middle at (0.5, 0.5) of 8, one cell wide
        (13, [24, 8, 32, 16]),  # 10 columns: row 1, column 3
        (80 + 7, [32, 16, 48, 32]),  # stride 16, 5 columns: row 1, column 2
        (80 + 20 + 3, [32, 32, 64, 64]),  # stride 32, 2 columns: row 1, column 1
    ],
)
def test_yolox_counts_in_cells(row, xyxy):
    """A rectangle, 64 high and 80 wide, so that rows and columns cannot be confused unnoticed."""
    size = (64, 80)
    assert cell_count(size) == 80 + 20 + 4
    output = np.zeros((cell_count(size), 5 + 2), np.float32)
    output[row] = [0.5, 0.5, 0, 0, 0.5, 0.1, 0.9]
    found = identify((1, *output.shape), size, None, None).decode(output, 0.25, size)
    np.testing.assert_allclose(found.xyxy, [xyxy])
    np.testing.assert_allclose(found.score, [0.45])
    assert found.class_id.tolist() == [1]


def test_end_to_end_is_taken_as_it_is():
    output = np.zeros((300, 6), np.float32)
    output[5] = [1, 2, 30, 40, 0.6, 17]
    found = identify((1, 300, 6), (64, 64), 80, True).decode(output, 0.25, (64, 64))
    np.testing.assert_allclose(found.xyxy, [[1, 2, 30, 40]])
    np.testing.assert_allclose(found.score, [0.6])
    assert found.class_id.tolist() == [17]


def test_names_fall_back_to_coco_for_80_classes_only():
    assert default_names(80) == dict(enumerate(COCO))
    assert default_names(80)[0] == "person"
    assert default_names(80)[79] == "toothbrush"
    assert default_names(3) == {0: "class_0", 1: "class_1", 2: "class_2"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'person', 1: 'car'}", {0: "person", 1: "car"}),
        ('{"0": "person"}', {0: "person"}),
        ("['a', 'b']", {0: "a", 1: "b"}),
        ("", {}),
        ("__import__('os')", {}),
        ("3", {}),
    ],
)
def test_names_in_metadata(text, names):
    assert parse_names(text) == names


def test_classes_by_name_and_id():
    names = default_names(80)
    assert wanted_ids(("Car", "person", 16, "3"), names) == [0, 2, 3, 16]


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [("persn", "close: person"), ("trafic light", "traffic light"), ("80", "80"), ("zzz", "bus")],
)
def test_unknown_class_names_what_is_near(wanted, hint):
    with pytest.raises(ModelError, match=f"no class '{wanted}'.*{hint}"):
        wanted_ids((wanted,), default_names(80))
