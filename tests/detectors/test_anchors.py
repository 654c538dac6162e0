"""Anchors against boxes worked out by hand, and networks that answer offsets to them."""

from __future__ import annotations

from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_families import network

from pipeline.config.plugins import plugin
from pipeline.core.data import Detections, Frame
from pipeline.core.errors import ConfigError, ModelError
from pipeline.detectors.common.anchors import (
    AnchorsFile,
    anchors_of,
    decode_offsets,
    decode_yolov3,
    decode_yolov5,
    load_anchors,
    rcnn_shapes,
    ssd_scales,
    ssd_shapes,
)


def f32(values: Any) -> np.ndarray:
    return np.array(values, np.float32)


def test_scales_and_shapes_are_those_of_the_ssd_paper():
    assert ssd_scales(6) == pytest.approx([0.2, 0.34, 0.48, 0.62, 0.76, 0.9])
    assert ssd_shapes(0.2, 0.34, (2, 3)) == [
        (0.2, 0.2),
        pytest.approx((sqrt(0.068), sqrt(0.068))),
        pytest.approx((0.2 * sqrt(2), 0.2 / sqrt(2))),
        pytest.approx((0.2 / sqrt(2), 0.2 * sqrt(2))),
        pytest.approx((0.2 * sqrt(3), 0.2 / sqrt(3))),
        pytest.approx((0.2 / sqrt(3), 0.2 * sqrt(3))),
    ]
    assert ssd_shapes(0.2, None, (2, 0.5)) == [
        (0.2, 0.2),
        pytest.approx((0.2 * sqrt(2), 0.2 / sqrt(2))),
        pytest.approx((0.2 / sqrt(2), 0.2 * sqrt(2))),
    ]


def test_shapes_of_faster_rcnn_keep_the_area():
    assert rcnn_shapes((32, 64), (0.25, 1)) == [(64, 16), (128, 32), (32, 32), (64, 64)]


def test_anchors_lie_row_by_row_with_those_of_a_cell_together():
    file = AnchorsFile.model_validate(
        {
            "levels": [
                {"grid": [1, 2], "boxes": [[0.5, 0.25], [0.1, 0.1]]},
                {"stride": 64, "scale": 1},
            ]
        }
    )
    anchors, cells = anchors_of(file, (100, 200))
    np.testing.assert_allclose(
        anchors,
        [
            [50, 50, 100, 25],
            [50, 50, 20, 10],
            [150, 50, 100, 25],
            [150, 50, 20, 10],
            # 64 pixels apart: 2 rows and 4 columns, the last beyond the edge.
            *[[64 * x + 32, 64 * y + 32, 200, 100] for y in (0, 1) for x in range(4)],
        ],
        rtol=1e-6,
    )
    assert cells[2].tolist() == [1, 0, 100]
    assert file.per_cell == (2, 1)


@pytest.mark.parametrize(
    ("offsets", "variances", "box"),
    [
        ([0, 0, 0, 0], (0.1, 0.2), [40, 40, 60, 80]),
        # A tenth of 20 to the right, 2 tenths of 40 up; twice as wide.
        ([1, -2, 5 * log(2), 0], (0.1, 0.2), [32, 32, 72, 72]),
        ([0.5, 0, 0, log(0.5)], (1, 1), [50, 50, 70, 70]),
    ],
)
def test_offsets_of_ssd_and_faster_rcnn(offsets, variances, box):
    found = decode_offsets(f32([offsets]), f32([[50, 60, 20, 40]]), variances)
    np.testing.assert_allclose(found, [box], rtol=1e-5)


def test_yolov3_s_and_v5_s_boxes():
    """A cell in column 3 and row 1, 16 pixels wide; sigmoid(0) is a half, sigmoid(log 3) 3 / 4."""
    anchor, cell = f32([[0, 0, 10, 40]]), f32([[3, 1, 16]])
    found = decode_yolov3(f32([[0, log(3), log(2), 0]]), anchor, cell)
    np.testing.assert_allclose(found, [[56 - 10, 28 - 20, 56 + 10, 28 + 20]], rtol=1e-5)
    found = decode_yolov5(f32([[0, log(3), 0, log(3)]]), anchor, cell)
    # Centre 16 x (3 + 1 - 0.5), 16 x (1 + 1.5 - 0.5); sides 10 x 1 and 40 x 1.5 squared.
    np.testing.assert_allclose(found, [[56 - 5, 32 - 45, 56 + 5, 32 + 45]], rtol=1e-5)


# -- networks -------------------------------------------------------------------------------------


def detect(path: Path, anchors: str, **options: Any) -> Detections:
    """What the detector `ssd` finds in a picture 200 wide and 100 high."""
    file = path.with_suffix(".yaml")
    file.write_text(anchors)
    module = plugin("detectors", "ssd", "detector")
    detector = module.build(module.Options(model=str(path), anchors=file, **options))
    try:
        detector.open()
        return detector.detect([Frame(np.zeros((100, 200, 3), np.uint8), "test", 0, 0.0, 0.0)])[0]
    finally:
        detector.close()


ONE_LEVEL = "levels: [{grid: [2, 2], boxes: [[0.5, 0.5]]}]"


def heads(best: float) -> dict[str, np.ndarray]:
    """Four anchors: a car in the first, the same again beside it, nothing in the others."""
    classes = np.full((1, 4, 3), 0.0)
    classes[0, :, 0] = 20
    classes[0, 0] = [0, 0, best]
    classes[0, 1] = [0, 0, 1]
    offsets = np.zeros((1, 4, 4))
    offsets[0, 1, 0] = -9  # 9 tenths of its width to the left
    return {"offsets": f32(offsets), "classes": f32(classes)}


@pytest.mark.usefixtures("any_library")
def test_raw_heads_of_ssd_are_decoded_and_suppressed(tmp_path):
    path = network(tmp_path / "n.onnx", heads(3))
    found = detect(path, ONE_LEVEL)
    np.testing.assert_allclose(found.xyxy, [[0, 0, 100, 50]], atol=1e-3)
    assert found.score == pytest.approx([exp(3) / (exp(3) + 2)], abs=1e-4)
    assert found.class_id.tolist() == [1]  # of two: nothing comes before them
    assert len(detect(path, ONE_LEVEL, iou=0.95)) == 2
    fused = detect(path, ONE_LEVEL, nms="wbf")
    assert len(fused) == 1
    assert 0 < fused.xyxy[0, 0] < 10


@pytest.mark.usefixtures("any_library")
def test_scores_and_background_may_be_others(tmp_path):
    path = network(tmp_path / "n.onnx", heads(2))
    found = detect(path, ONE_LEVEL, scores="sigmoid", background="none", conf=0.8)
    assert sorted(found.class_id.tolist()) == [0, 0, 2]


@pytest.mark.parametrize("coding", ["yolov3", "yolov5"])
@pytest.mark.parametrize("five", [False, True])
@pytest.mark.usefixtures("any_library")
def test_feature_maps_of_yolo(tmp_path, coding, five):
    """Two maps, coarse one first; one object each, at row 1 and column 0, by the second anchor."""
    outputs = {}
    for name, cells in (("coarse", 2), ("fine", 4)):
        values = np.full((1, 2, 7, cells, cells), -20.0)
        values[0, 1, :4, 1, 0] = 0
        values[0, 1, 4:, 1, 0] = [20, -20, 2 if name == "fine" else 1]
        outputs[name] = f32(
            values.transpose(0, 1, 3, 4, 2) if five else values.reshape(1, 14, cells, cells)
        )
    path = network(tmp_path / "n.onnx", outputs)
    found = detect(
        path,
        f"coding: {coding}\n"
        "levels:\n"
        "  - {stride: 16, boxes: [[1, 1], [8, 4]]}\n"
        "  - {stride: 32, boxes: [[1, 1], [16, 16]]}\n".replace("\\\n", "\n"),
        fit="stretch",
    )
    # Centres (8, 24) and (16, 48) of an input of 64x64.
    wide, high = 200 / 64, 100 / 64
    by_hand = [[4, 22, 12, 26], [8, 40, 24, 56]]
    np.testing.assert_allclose(found.xyxy, f32(by_hand) * [wide, high, wide, high], atol=2e-3)
    assert found.score == pytest.approx([1 / (1 + exp(-2)), 1 / (1 + exp(-1))], abs=1e-4)
    assert found.class_id.tolist() == [1, 1]


@pytest.mark.usefixtures("any_library")
def test_anchors_of_another_network_are_refused(tmp_path):
    path = network(tmp_path / "n.onnx", heads(3))
    with pytest.raises(ModelError, match=r"they are 9 .* the network has 4"):
        detect(path, "levels: [{grid: [3, 3], boxes: [[0.5, 0.5]]}]")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[]", "no table of keys"),
        ("levels: []", "levels"),
        ("levels: [{grid: [2, 2]}]", "want one of boxes, scale, sizes"),
        ("levels: [{boxes: [[1, 1]]}]", "want stride or grid"),
        ("levels: [{grid: [2, 2], boxes: [[1, 1]]}]\ncodng: ssd".replace("\\\n", "\n"), "codng"),
        ("a: [", "cannot be read as YAML"),
    ],
)
@pytest.mark.usefixtures("any_library")
def test_mistakes_in_the_file_are_named(tmp_path, text, wrong):
    path = tmp_path / "anchors.yaml"
    path.write_text(text)
    with pytest.raises((ModelError, ConfigError), match=wrong) as error:
        load_anchors(path)
    assert "\n" not in str(error.value)
