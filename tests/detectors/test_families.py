"""Networks of families beyond YOLO: what is recognised, what boxes come of it, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.tiny_families import network, seeing_network
from support.tiny_networks import colour_network

from pipeline.config.plugins import plugin
from pipeline.core.data import Detections, Frame
from pipeline.core.errors import ModelError

pytestmark = pytest.mark.usefixtures("any_library")

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def f32(values: Any) -> np.ndarray:
    return np.array(values, np.float32)


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


def frame(size=(100, 200), colour=BLUE) -> Frame:
    """A picture of (height, width)."""
    return Frame(np.full((*size, 3), colour, np.uint8), "test", 0, 0.0, 0.0)


def detect(
    kind: str, path: Path, shown: Frame, **options: Any
) -> tuple[dict[int, str], Detections]:
    """The class names and the boxes of one picture."""
    module = plugin("detectors", kind, "detector")
    detector = module.build(module.Options(model=str(path), **options))
    try:
        names = detector.open()
        return names, detector.detect([shown])[0]
    finally:
        detector.close()


def refusal(kind: str, path: Path, **options: Any) -> str:
    module = plugin("detectors", kind, "detector")
    with pytest.raises(ModelError) as error:
        module.build(module.Options(model=str(path), **options)).open()
    assert "\n" not in str(error.value)
    return str(error.value)


def queries(scores: list[list[float]], names: tuple[str, str] = ("logits", "pred_boxes")):
    """Two queries: the left half of the picture, and its lower right quarter."""
    logits = f32([[[logit(each) for each in row] for row in scores]])
    boxes = f32([[[0.25, 0.5, 0.5, 1], [0.75, 0.75, 0.5, 0.5]]])
    return dict(zip(names, (logits, boxes), strict=True))


LEFT, QUARTER = [0, 0, 100, 100], [100, 50, 200, 100]
"""Where the boxes of `queries` are in a picture 200 wide and 100 high."""


def check(found: Detections, boxes: list, scores: list, classes: list) -> None:
    np.testing.assert_allclose(found.xyxy, f32(boxes).reshape(-1, 4), atol=2e-3)
    np.testing.assert_allclose(found.score, scores, atol=1e-4)
    assert found.class_id.tolist() == classes


# -- DETR -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["yolo", "detr"])
@pytest.mark.parametrize("shape", [(1, 3, 64, 64), ("batch", 3, "height", "width")])
def test_queries_of_a_detr_need_no_kind_and_are_stretched(tmp_path, kind, shape):
    path = network(tmp_path / "n.onnx", queries([[0.3, 0.9, 0.1], [0.6, 0.2, 0.1]]), shape)
    names, found = detect(kind, path, frame())
    check(found, [LEFT, QUARTER], [0.9, 0.6], [1, 0])
    assert names == {0: "class_0", 1: "class_1", 2: "class_2"}


@pytest.mark.slow
def test_a_query_is_reported_for_each_class_only_if_asked(tmp_path):
    path = network(tmp_path / "n.onnx", queries([[0.5, 0.9, 0.1], [0.6, 0.2, 0.1]]))
    _, found = detect("detr", path, frame(), multi_label=True, conf=0.4)
    # As the published postprocessing: the best two of all pairs of query and class, not three.
    check(found, [LEFT, QUARTER], [0.9, 0.6], [1, 0])
    path = network(tmp_path / "m.onnx", queries([[0.7, 0.9, 0.1], [0.6, 0.2, 0.1]]))
    _, found = detect("detr", path, frame(), multi_label=True)
    check(found, [LEFT, LEFT], [0.9, 0.7], [1, 0])


@pytest.mark.parametrize(
    ("count", "column", "name"),
    [
        (80, 2, "car"),
        (91, 3, "car"),  # COCO's own numbers, of which 0 is no class and 12 is not used
        (91, 13, "stop sign"),
        (91, 90, "toothbrush"),
    ],
)
def test_coco_s_names_go_by_the_number_of_classes(tmp_path, count, column, name):
    scores = np.full((2, count), 0.01)
    scores[0, column] = 0.9
    path = network(tmp_path / "n.onnx", queries(scores.tolist()))
    names, found = detect("yolo", path, frame())
    assert [names[each] for each in found.class_id.tolist()] == [name]


def test_the_first_detr_s_scores_are_a_softmax_whose_last_class_is_nothing(tmp_path):
    outputs = queries([[0.5] * 92] * 2)
    outputs["logits"][:] = 0
    outputs["logits"][0, 0, 3] = 9  # a car; exp(9) of 91 others
    outputs["logits"][0, 1, 91] = 20
    names, found = detect("yolo", network(tmp_path / "n.onnx", outputs), frame())
    check(found, [LEFT], [np.exp(9) / (np.exp(9) + 91)], [2])
    assert names[2] == "car"


def test_rf_detr_is_known_by_its_names_and_gets_imagenet_s_colours(tmp_path):
    path = network(tmp_path / "n.onnx", queries([[0.3, 0.9], [0.6, 0.2]], ("labels", "dets")))
    _, found = detect("yolo", path, frame())
    check(found, [LEFT, QUARTER], [0.9, 0.6], [1, 0])


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({}, [0.2, 0.4, 0.6]),
        ({"colours": "bgr"}, [0.6, 0.4, 0.2]),
        ({"input_scale": 255}, [51, 102, 153]),
        ({"mean": (0.1, 0.2, 0.3)}, [0.1, 0.2, 0.3]),
        ({"mean": "0.1,0.2,0.3", "std": "0.5,1,0.25"}, [0.2, 0.2, 1.2]),
        (
            {"fit": "letterbox"},
            [(0.2 + 114 / 255) / 2, (0.4 + 114 / 255) / 2, (0.6 + 114 / 255) / 2],
        ),
    ],
)
def test_what_the_network_sees(tmp_path, options, seen):
    """A picture of (r, g, b) = (0.2, 0.4, 0.6), twice as wide as high."""
    path = seeing_network(tmp_path / "n.onnx")
    _, found = detect(
        "detr", path, frame(colour=(153, 102, 51)), conf=0.0, scores="none", **options
    )
    by_class = dict(zip(found.class_id.tolist(), found.score.tolist(), strict=True))
    assert [by_class[each] for each in range(3)] == pytest.approx(seen, abs=2e-3)


@pytest.mark.parametrize(
    ("count", "names", "score"),
    [
        (3, ("logits", "pred_boxes"), 0.5),
        (3, ("labels", "dets"), (0.5 - 0.456) / 0.224),
        (91, ("logits", "pred_boxes"), (0.5 - 0.456) / 0.224),  # RF-DETR as transformers exports it
    ],
)
def test_colours_are_normalised_where_networks_of_a_kind_want_it(tmp_path, count, names, score):
    path = seeing_network(tmp_path / "n.onnx", count=count, names=names)
    grey = frame(colour=(127.5, 127.5, 127.5))
    _, found = detect("detr", path, grey, scores="none", background="none", conf=0.0)
    assert found.score[found.class_id == 1] == pytest.approx([score], abs=0.02)


def test_labels_for_a_size_wanted_come_once_for_each_box(tmp_path):
    outputs = {
        "labels": np.array([[2, 0, 1]]),
        "boxes": f32([[[0, 0, 0.5, 1], [0, 0, 0.5, 1], [0.5, 0.5, 1, 1]]]),
        "scores": f32([[0.9, 0.8, 0.7]]),
    }
    path = network(tmp_path / "n.onnx", outputs, sized=["boxes"])
    _, found = detect("yolo", path, frame())
    check(found, [LEFT, QUARTER], [0.9, 0.7], [2, 1])
    _, found = detect("detr", path, frame(), multi_label=True)
    check(found, [LEFT, LEFT, QUARTER], [0.9, 0.8, 0.7], [2, 0, 1])


def test_kind_detr_reads_ultralytics_exports_too_and_stretches_the_picture(tmp_path):
    rows = f32([[[0.25, 0.5, 0.5, 1, 0.1, 0.9, 0], [0.75, 0.75, 0.5, 0.5, 0.6, 0, 0.1]]])
    rows = np.tile(rows, (1, 31, 1))
    rows[0, 2:, 4:] = 0
    path = network(tmp_path / "n.onnx", {"output0": rows})
    _, found = detect("detr", path, frame())
    check(found, [LEFT, QUARTER], [0.9, 0.6], [1, 0])


# -- R-CNN ----------------------------------------------------------------------------------------

PIXELS = {
    "boxes": f32([[10, 20, 30, 40], [50, 60, 70, 80]]),
    "labels": np.array([3, 1]),
    "scores": f32([0.9, 0.6]),
}


@pytest.mark.parametrize("kind", ["yolo", "rcnn"])
def test_torchvision_s_networks_get_pictures_as_they_are(tmp_path, kind):
    """Label 0 is nothing, so that class 0 is label 1."""
    path = network(tmp_path / "n.onnx", PIXELS, (3, "height", "width"))
    _, found = detect(kind, path, frame())
    check(found, PIXELS["boxes"], [0.9, 0.6], [2, 0])


def test_imgsz_makes_pictures_smaller_for_networks_of_any_size(tmp_path):
    path = network(tmp_path / "n.onnx", PIXELS, (3, "height", "width"))
    _, found = detect("rcnn", path, frame((200, 400)), imgsz=200)
    check(found, 2 * PIXELS["boxes"], [0.9, 0.6], [2, 0])


def test_a_network_of_one_size_gets_letterboxed_pictures(tmp_path):
    path = network(tmp_path / "n.onnx", PIXELS, (3, 100, 100))
    _, found = detect("rcnn", path, frame((50, 100)))
    check(found, [[10, 0, 30, 15], [50, 35, 70, 50]], [0.9, 0.6], [2, 0])


@pytest.mark.slow
def test_detectron2_s_networks_are_known_by_their_means_and_get_a_side_of_800(tmp_path):
    path = network(tmp_path / "n.onnx", PIXELS, (3, "height", "width"), subtracts=110.0)
    _, found = detect("yolo", path, frame((400, 600)))
    check(found, PIXELS["boxes"] / 2, [0.9, 0.6], [3, 1])
    _, found = detect("rcnn", path, frame((400, 600)), style="torchvision")
    check(found, PIXELS["boxes"], [0.9, 0.6], [2, 0])


def test_boxes_with_their_scores_in_one_output(tmp_path):
    dets = np.concatenate((PIXELS["boxes"], PIXELS["scores"][:, None]), axis=1)[None]
    outputs = {"dets": dets, "labels": PIXELS["labels"][None]}
    path = network(tmp_path / "n.onnx", outputs, (1, 3, 100, 200))
    _, found = detect("yolo", path, frame())
    check(found, PIXELS["boxes"], [0.9, 0.6], [3, 1])


def over_boxes() -> np.ndarray:
    """Masks f32[2,1,28,28]: of the first box the left half is inside, of the second the upper."""
    masks = np.zeros((2, 1, 28, 28), np.float32)
    masks[0, :, :, :14] = masks[1, :, :14] = 0.9
    return masks


def over_picture() -> np.ndarray:
    """The same as f32[2,1,100,200], pixels of the picture."""
    masks = np.zeros((2, 1, 100, 200), np.float32)
    for mask, box, half in zip(masks, PIXELS["boxes"].astype(int), ("left", "upper"), strict=True):
        left, top, right, bottom = box
        if half == "left":
            right = (left + right) // 2
        else:
            bottom = (top + bottom) // 2
        mask[0, top:bottom, left:right] = 0.9
    return masks


@pytest.mark.parametrize(
    ("masks", "packed", "options"),
    [
        (over_boxes(), False, {}),
        (over_boxes(), False, {"style": "detectron2", "imgsz": 200}),
        (over_boxes().swapaxes(0, 1), True, {}),
        (over_picture(), False, {}),
        (over_picture() > 0.5, False, {"style": "detectron2", "imgsz": 200}),
    ],
    ids=["torchvision", "Detectron2", "MMDetection", "over the picture", "as bits"],
)
def test_masks_of_an_r_cnn_stay_with_their_boxes(tmp_path, masks, packed, options):
    if packed:
        dets = np.concatenate((PIXELS["boxes"], PIXELS["scores"][:, None]), axis=1)[None]
        outputs = {"dets": dets, "labels": PIXELS["labels"][None], "masks": masks}
    else:
        outputs = {**PIXELS, "masks": masks.astype(np.float32)}
    shape = (1, 3, 100, 200) if packed or options else (3, "height", "width")
    path = network(tmp_path / "n.onnx", outputs, shape)
    _, found = detect("rcnn", path, frame(), **options)
    assert found.masks is not None
    for mask, wanted in zip(found.masks, over_picture()[:, 0] > 0.5, strict=True):
        ours = mask.decode()
        assert (ours & wanted).sum() / (ours | wanted).sum() > 0.85  # a row more or less
    # Filtered by class, each mask stays with its box.
    _, last = detect("rcnn", path, frame(), classes=[int(found.class_id[1])], **options)
    assert last.masks is not None
    assert [mask.area for mask in last.masks] == [found.masks[1].area]
    # A picture twice as large has masks twice as wide and high.
    _, large = detect("rcnn", path, frame((200, 400)), **{"imgsz": 200, **options})
    assert large.masks is not None
    assert [each.area / mask.area for each, mask in zip(large.masks, found.masks, strict=True)] == (
        pytest.approx([4, 4], rel=0.12)
    )


def without_rows(path: Path) -> Path:
    """The same network, of whose answers no row is left, which only running it shows."""
    model = onnx.load(path)
    ends = helper.make_node("Cast", ["nothing"], ["end"], to=TensorProto.INT64)
    start = numpy_helper.from_array(np.zeros(1, np.int64), "start")
    model.graph.initializer.append(start)
    model.graph.node.extend([ends, helper.make_node("Reshape", ["end", "minus one"], ["ends"])])
    model.graph.initializer.append(numpy_helper.from_array(-np.ones(1, np.int64), "minus one"))
    for output in model.graph.output:
        whole, output.name = output.name, f"few {output.name}"
        cut = helper.make_node("Slice", [whole, "start", "ends", "start"], [output.name])
        model.graph.node.append(cut)
        output.type.tensor_type.shape.dim[0].dim_param = f"rows of {whole}"
    onnx.save(model, path)
    return path


def test_an_r_cnn_that_finds_nothing_has_no_masks(tmp_path):
    path = network(tmp_path / "n.onnx", {**PIXELS, "masks": over_boxes()}, (3, "h", "w"))
    _, found = detect("rcnn", path, frame(), conf=0.95)
    assert len(found) == 0
    assert not found.masks
    _, found = detect("rcnn", without_rows(path), frame())
    assert len(found) == 0
    assert not found.masks


# -- SSD as TensorFlow and OpenVINO have it -------------------------------------------------------


TENSORFLOW = {
    "detection_boxes": f32([[[0, 0, 1, 0.5], [0.5, 0.5, 1, 1], [0, 0, 0, 0]]]),
    "detection_scores": f32([[0.9, 0.6, 0]]),
    "detection_classes": f32([[3, 1, 1]]),
    "num_detections": f32([2]),
}


def test_tensorflow_s_detections_are_known_by_their_names(tmp_path):
    """Corners come y before x, parts of the sides; classes from 1; rows of zeros fill up."""
    path = network(tmp_path / "n.onnx", TENSORFLOW, (1, "h", "w", 3), pixel=TensorProto.UINT8)
    _, found = detect("yolo", path, frame())
    check(found, [LEFT, QUARTER], [0.9, 0.6], [2, 0])


def test_openvino_s_detection_output(tmp_path):
    rows = f32([[[[0, 3, 0.9, 0, 0, 0.5, 1], [0, 1, 0.6, 0.5, 0.5, 1, 1], [-1, 0, 0, 0, 0, 0, 0]]]])
    path = network(tmp_path / "n.onnx", {"out": rows})
    _, found = detect("yolo", path, frame())
    check(found, [LEFT, QUARTER], [0.9, 0.6], [2, 0])


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "outputs", "wanted"),
    [
        ("rcnn", queries([[0.9], [0.6]]), "it is of kind: detr"),
        ("detr", PIXELS, "it is of kind: rcnn"),
        ("yolo", queries([[0.9], [0.6]], ("a", "b")), "kind: detr or kind: ssd with its anchors"),
    ],
)
def test_the_error_names_the_right_kind(tmp_path, kind, outputs, wanted):
    assert wanted in refusal(kind, network(tmp_path / "n.onnx", outputs))


@pytest.mark.parametrize("kind", ["detr", "rcnn"])
def test_a_yolo_network_is_named_as_one(tmp_path, kind):
    assert "it is of kind: yolo" in refusal(kind, colour_network(tmp_path / "n.onnx"))


def test_the_option_layout_is_for_yolo_s_tables(tmp_path):
    path = network(tmp_path / "n.onnx", queries([[0.9], [0.6]]))
    assert "of kind: detr" in refusal("yolo", path, layout="v8")


@pytest.mark.parametrize(
    ("kind", "outputs", "options"),
    [
        ("ssd", TENSORFLOW, {"scores": "sigmoid"}),
        ("ssd", TENSORFLOW, {"anchors": "anchors.yaml"}),
    ],
)
def test_options_for_raw_heads_are_refused_where_the_network_finishes_its_boxes(
    tmp_path, kind, outputs, options
):
    """They were ignored without a word."""
    (tmp_path / "anchors.yaml").write_text("levels: [{stride: 8, sizes: [8]}]\nunit: pixels\n")
    [option] = options
    if option == "anchors":
        options = {"anchors": tmp_path / options["anchors"]}
    said = refusal(kind, network(tmp_path / "n.onnx", outputs), **options)
    assert said.startswith(f"{option}: does nothing for ")


def test_a_yolo_network_is_run_without_what_it_does_itself_and_says_so(tmp_path, caplog):
    """`iou` and `nms` were ignored without a word by networks that suppress duplicates."""
    path = network(tmp_path / "n.onnx", queries([[0.3, 0.9], [0.6, 0.2]]))
    detect("yolo", path, frame(), iou=0.4, nms="diou")
    detect("yolo", path, frame())
    [line] = [each.message for each in caplog.records]
    assert line.endswith("iou, nms: without effect, as it suppresses duplicates itself")


@pytest.mark.slow
def test_answers_are_kept_with_the_compiled_network(tmp_path, monkeypatch):
    """The second start reads nothing but the cache, and options are part of what is kept."""
    monkeypatch.setenv("TRACKLINE_CACHE", str(tmp_path / "cache"))
    path = network(tmp_path / "n.onnx", queries([[0.3, 0.9], [0.6, 0.2]]))
    first = detect("yolo", path, frame())
    assert [*detect("yolo", path, frame())[1].xyxy.ravel()] == [*first[1].xyxy.ravel()]
    _, other = detect("detr", path, frame(), scores="none")
    assert other.score[0] == pytest.approx(logit(0.9))
