"""Exports of every family are read rightly or refused: nothing is silently wrong."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from support.paths import ROOT
from support.tiny_networks import colour_network, constant_network

from pipeline.core.class_ids import wanted_ids
from pipeline.core.data import Frame
from pipeline.core.errors import ModelError
from pipeline.detectors.openvino.model import PictureModel
from pipeline.detectors.yolo import Options, build
from pipeline.models.metadata import BOX_TASKS, check_boxes_only, check_task, read_metadata
from pipeline.models.resolve import find_weights

NAMES = {"names": "{0: 'a', 1: 'b', 2: 'c'}"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKLINE_CACHE", str(tmp_path / "cache"))


def frame(size: tuple[int, int] = (64, 64)) -> Frame:
    return Frame(np.full((*size, 3), 200, np.uint8), "a", 0, 0.0, 0.0)


def without_numbers(text: str) -> str:
    return re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "#", text)


@pytest.mark.slow
def test_the_table_in_docs_is_what_the_code_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """YOLOX, v6, DeepStream and other exports ran without a word and gave nonsense."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import network_exports

    found = list(network_exports.rows())
    assert [export.name for export, result, _ in found if result == "WRONG"] == []
    page = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    written = page.partition(network_exports.BEGIN)[2].partition(network_exports.END)[0]
    assert without_numbers(written) == without_numbers(network_exports.table_of(found))
    sys.modules.pop("network_exports")


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (
            {"names": "{0: 'a'}", "stride": "64", "task": "detect"},
            {"names": {0: "a"}, "stride": 64},
        ),
        ({"names": {0: "a"}, "stride": 64, "head": "Detect"}, {"stride": 64, "head": "Detect"}),
        ({"names": {"0": "a", "1": "b"}}, {"names": {0: "a", 1: "b"}}),
        ({"end2end": "False", "args": "{'nms': True}"}, {"end2end": False, "final": True}),
        ({"end2end": False, "args": {"nms": True}}, {"nms": True, "final": True}),
        ({"end2end": True}, {"final": True}),
        ({"end2end": "False", "args": "{'nms': None}"}, {"final": False}),
        ({"args": "{'nms': False}"}, {"nms": False, "final": None}),
        ({"imgsz": "[480, 640]"}, {"imgsz": (480, 640)}),
        ({"imgsz": 640}, {"imgsz": (640, 640), "longest_side": 640}),
        ({"imgsz": "[480, 640]"}, {"longest_side": 640}),
        ({"imgsz": "[0, 0]"}, {"longest_side": None}),
        ({"imgsz": 1000000}, {"longest_side": None}),
        ({"stride": "[8, 16, 32]"}, {"stride": 32}),
        ({"stride": "?", "names": "?", "imgsz": "?", "args": "("}, {"stride": None, "names": {}}),
        ({}, {"task": None, "final": None}),
    ],
)
def test_metadata_is_read_typed_or_as_text(values, wanted) -> None:
    found = read_metadata(values)
    assert {key: getattr(found, key) for key in wanted} == wanted


@pytest.mark.parametrize("task", ["segment", "pose", "obb", "classify", "semantic", "depth"])
def test_a_file_for_another_task_says_so(task: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"this file is for the task {task}, want detect$"):
        check_task(read_metadata({"task": task}), Path("a.engine"))
    with pytest.raises(ModelError, match=f"this file is for the task {task}, want detect") as said:
        check_boxes_only(read_metadata({"task": task}), Path("a.engine"))
    assert ("are read from .onnx" in str(said.value)) == (task in BOX_TASKS)
    if task in BOX_TASKS:
        return
    path = colour_network(tmp_path / "a.onnx", metadata={**NAMES, "task": task})
    with pytest.raises(ModelError, match=f"this file is for the task {task}"):
        build(Options(model=str(path))).open()


def p6_network(path: Path, metadata: dict[str, str] | None) -> Path:
    """Pictures of any size; maps at stride 32 and, through it, 64 are added at the same size."""
    colour_network(path, metadata)
    model = onnx.load(str(path))
    graph, node = model.graph, helper.make_node
    scales = onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice")
    none = onnx.numpy_helper.from_array(np.zeros(1, np.float32), "none")
    graph.initializer.extend([scales, none])
    at = next(place for place, each in enumerate(graph.node) if each.output[0] == "cells32")
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    for place, made in enumerate(
        [
            node("AveragePool", ["mean32"], ["mean64"], **pool),
            node("Resize", ["mean64", "", "twice"], ["again32"], mode="nearest"),
            node("Mul", ["again32", "none"], ["no32"]),
            node("Add", ["mean32", "no32"], ["sum32"]),
        ]
    ):
        graph.node.insert(at + place, made)
    graph.node[at + 4].input[0] = "sum32"
    if metadata is None:
        del model.metadata_props[:]
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("metadata", [None, {**NAMES, "stride": "64"}], ids=["silent", "said"])
@pytest.mark.parametrize("size", [(96, 160), (360, 640), (64, 64)])
@pytest.mark.slow
def test_p6_networks_get_multiples_of_their_stride(tmp_path: Path, metadata, size) -> None:
    """They died after the run had begun: rectangles were cut to multiples of 32."""
    path = p6_network(tmp_path / "p6.onnx", metadata)
    detector = build(Options(model=str(path), imgsz=160, conf=0.5))
    detector.open()
    assert len(detector.detect([frame(size)])[0]) >= 1
    detector.close()


def test_a_class_name_twice_stands_for_both() -> None:
    """Boxes of the first class of that name were lost with --classes."""
    assert wanted_ids(("Car",), {0: "car", 1: "van", 2: "car", 3: "CAR "}) == [0, 2, 3]


BAD = {
    "scores up to 3": [32, 32, 20, 20, 3.0, 0],
    "unusable": [32, 32, 0, 0, 0.9, 0],
    "unusable: NaN": [np.nan, 32, 10, 10, 0.9, 0],
    "or outside": [640, 32, 10, 10, 0.9, 0],
}


@pytest.mark.parametrize("says", BAD)
def test_unusable_answers_are_warned_of_once(tmp_path: Path, caplog, says: str) -> None:
    """What shows only when something is found cannot be seen on a probe picture."""
    from pipeline.detectors.common.layouts import identify
    from pipeline.detectors.common.letterbox import fit
    from pipeline.detectors.common.output_check import OutputCheck
    from pipeline.detectors.common.postprocess import Postprocess

    output = np.zeros((6, 84), np.float32)
    output[:, 3] = BAD[says]
    layout = identify((1, 6, 84), (64, 64), 2, None)
    watch = OutputCheck("a.onnx", {0: "a", 1: "b"})
    read = Postprocess(layout, conf=0.25, iou=0.7, max_det=300, output_check=watch)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            read(output, fit((64, 64), (64, 64), 32))
    assert [says in record.getMessage() for record in caplog.records] == [True]


def test_boxes_that_are_as_they_should_be_are_not_warned_of(tmp_path: Path, caplog) -> None:
    detector = build(Options(model=str(colour_network(tmp_path / "a.onnx")), imgsz=64))
    detector.open()
    detector.detect([frame()] * 3)
    detector.close()
    assert not caplog.records


def test_the_probe_runs_once_and_is_kept(tmp_path: Path, monkeypatch) -> None:
    path = colour_network(tmp_path / "a.onnx")

    def opened(**more) -> str:
        detector = build(Options(model=str(path), imgsz=64, **more))
        detector.open()
        detector.close()
        return detector.layout

    assert opened() == "v8 of 3 classes"
    monkeypatch.setattr(PictureModel, "recognise", None)
    assert opened() == "v8 of 3 classes"
    with pytest.raises(TypeError):
        opened(layout="v8")  # another question


@pytest.mark.slow
def test_names_come_from_the_option_or_its_file(tmp_path: Path) -> None:
    path = colour_network(tmp_path / "a.onnx")
    listed = tmp_path / "my.names"
    listed.write_text("x\ny\n\nz\n")
    for names in ("x, y,z", ["x", "y", "z"], str(listed)):
        found = build(Options(model=str(path), names=names)).open()
        assert found == {0: "x", 1: "y", 2: "z"}
    with pytest.raises(ModelError, match="no layout of 2 classes"):
        build(Options(model=str(path), names="x,y")).open()
    with pytest.raises(ModelError, match="cannot be read"):
        build(Options(model=str(path), names="no.names")).open()


def test_a_layout_the_shape_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "a.onnx", np.zeros((1, 7, 84), np.float32))
    for layout in ("end-to-end", "yolox"):
        with pytest.raises(ModelError, match=f"cannot hold {layout}"):
            build(Options(model=str(path), layout=layout)).open()


def opened_layout(**options) -> str:
    detector = build(Options(**options))
    detector.open()
    detector.close()
    return detector.layout


@pytest.mark.slow
@pytest.mark.parametrize("imgsz", [32, 96, 320, 1280])
def test_the_builtin_network_is_recognised_at_every_size(imgsz: int) -> None:
    """At 32 it was refused for boxes as large as those it was trained on."""
    assert opened_layout(model="builtin", imgsz=imgsz) == "v8 of 6 classes"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "named"),
    [
        ((32, 32), False), ((32, 96), False), ((96, 32), False), ((64, 320), False),
        ((352, 96), False), ((288, 512), False), ((32, 32), True), ((352, 96), True),
    ],
    ids=str,
)  # fmt: skip
def test_a_fixed_size_is_recognised_with_and_without_names(tmp_path: Path, size, named) -> None:
    model = onnx.load(str(find_weights("builtin")))
    if not named:
        del model.metadata_props[:]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, side in zip(dims, (1, 3, *size), strict=True):
        dim.dim_value = side
    del model.graph.value_info[:]
    onnx.save(model, str(tmp_path / "fixed.onnx"))
    assert opened_layout(model=str(tmp_path / "fixed.onnx")) == "v8 of 6 classes"


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize("imgsz", [32, 416, 1280])
@pytest.mark.parametrize("file", ["yolo11n.onnx", "yolo11n_int8_openvino"])
def test_trained_networks_are_recognised_at_every_size(shared, file, imgsz) -> None:
    assert opened_layout(model=str(shared / "models" / file), imgsz=imgsz) == "v8 of 80 classes"


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("yolo11n.onnx", "v8 of 80 classes"),
        ("yolox_nano_416.onnx", "yolox of 80 classes"),
    ],
)
def test_trained_networks_are_recognised_without_metadata(shared, tmp_path, file, wanted) -> None:
    model = onnx.load(str(shared / "models" / file))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / file))
    detector = build(Options(model=str(tmp_path / file)))
    detector.open()
    detector.close()
    assert detector.layout == wanted
