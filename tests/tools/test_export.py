"""Weights into other formats: boxes and names stay, nothing half-written is left."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from support.tiny_networks import colour_network
from support.tiny_videos import grey_video

from pipeline.cli.main import main
from pipeline.core.atomic_file import replacing_folder
from pipeline.core.data import Detections, Frame
from pipeline.core.errors import OutputError
from pipeline.detectors.yolo import Options, build
from pipeline.tools.export.agreement import agreement
from pipeline.tools.export.formats import read_graph, writing_output
from pipeline.tools.export.int8 import sensitive

COLOURS = {0: "red", 1: "green", 2: "blue"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def convolutional(path: Path) -> Path:
    """The colour network with three convolutions before it that change nothing."""
    model = onnx.load(str(colour_network(path)))
    weight = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    names = ["images", "first", "second", "third"]
    for node in model.graph.node:
        node.input[:] = ["third" if name == "images" else name for name in node.input]
    for index, (before, after) in enumerate(itertools.pairwise(names)):
        model.graph.initializer.append(numpy_helper.from_array(weight, f"weight{index}"))
        node = helper.make_node("Conv", [before, f"weight{index}"], [after], name=f"conv{index}")
        model.graph.node.insert(index, node)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def detect(model: Path, image: np.ndarray, **options: object) -> tuple[Detections, dict[int, str]]:
    detector = build(Options(model=str(model), **{"imgsz": 64, "conf": 0.1, **options}))
    try:
        names = detector.open()
        return detector.detect([Frame(image, "test", 0, 0.0, 0.0)])[0], dict(names)
    finally:
        detector.close()


@pytest.mark.slow
def test_onnx_becomes_an_openvino_folder_with_the_same_boxes_and_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = convolutional(tmp_path / "net.onnx")
    assert main(["models", "export", str(weights), "--format", "openvino"]) == 0
    assert capsys.readouterr().out == "net_openvino\n"
    folder = tmp_path / "net_openvino"
    assert sorted(each.name for each in folder.iterdir()) == ["metadata.yaml", "net.bin", "net.xml"]
    image = np.full((64, 64, 3), (200, 90, 30), np.uint8)
    before, names = detect(weights, image, precision="fp32")
    after, names_after = detect(folder, image, precision="fp32")
    assert names == names_after == COLOURS
    np.testing.assert_allclose(before.xyxy, after.xyxy, atol=1e-3)
    np.testing.assert_allclose(before.score, after.score, atol=1e-5)
    assert len(before) == 1


def test_only_the_decoding_and_what_feeds_it_stay_in_floating_point(tmp_path: Path) -> None:
    """Found by the graph's shape, whatever the exporter called its nodes."""
    graph = read_graph(convolutional(tmp_path / "net.onnx"))
    names = set(sensitive(graph))
    kept = [op for op in graph.get_ordered_ops() if op.get_type_name() == "Convolution"]
    assert [op.get_friendly_name() in names for op in kept] == [False, False, True]
    assert "output0" in names


@pytest.mark.slow
@pytest.mark.needs_shared
def test_what_stays_in_floating_point_of_a_real_network(shared: Path) -> None:
    graph = read_graph(shared / "models" / "yolo11n.onnx")
    names = set(sensitive(graph))
    kinds: dict[str, list[bool]] = {}
    for op in graph.get_ops():
        kinds.setdefault(op.get_type_name(), []).append(op.get_friendly_name() in names)
    # Six at the end of the head and the DFL's; one attention block; the head's own softmax.
    assert (kinds["Convolution"].count(True), len(kinds["Convolution"])) == (7, 81)
    assert all(kinds["Sigmoid"] + kinds["Softmax"] + kinds["MatMul"])
    assert not any(kinds["Swish"] + kinds["GroupConvolution"] + kinds["MaxPool"])


def test_an_openvino_folder_is_replaced_and_other_folders_are_not(tmp_path: Path) -> None:
    """`-o .` or `-o ~/videos` must not cost anybody their files."""
    folder = tmp_path / "net"
    for name in ("a.xml", "b.xml"):
        with writing_output(folder), replacing_folder(folder) as partial:
            (partial / name).touch()
    assert [each.name for each in folder.iterdir()] == ["b.xml"]
    (folder / "b.xml").rename(folder / "diary.txt")
    with pytest.raises(OutputError, match="holds something else"), writing_output(folder):
        pass
    assert (folder / "diary.txt").is_file()


ONNX = "net.onnx"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([ONNX, "--format", "onnx"], "only .pt weights become ONNX"),
        ([ONNX, "--int8"], "--int8 needs --calibrate"),
        ([ONNX, "--calibrate", "a.mkv"], "--calibrate is for --int8"),
        ([ONNX, "--int8", "--calibrate", "a.mkv", "--half"], "leave out --half"),
        ([ONNX, "--int8", "--calibrate", "a.mkv", "--format", "onnx"], "--int8 writes OpenVINO"),
        ([ONNX, "--format", "onnx", "--half"], "--half is for --format openvino"),
        ([ONNX, "--imgsz", "8"], "--imgsz of 32 or more"),
        (["none.onnx"], "no such file: none.onnx"),
        ([ONNX, "--format", "openvino", "-o", "full"], "holds something else"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_exit_2(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour_network(tmp_path / ONNX)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").touch()
    assert main(["models", "export", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [
        ("nncf", ["net.onnx", "--int8", "--calibrate", "a.mkv"], "[quantize]"),
        ("onnx", ["net.pt"], "[ultralytics]"),
        ("ultralytics", ["net.pt"], "[ultralytics]"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    library: str,
    arguments: list[str],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    colour_network(tmp_path / "net.onnx")
    (tmp_path / "net.pt").write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, library, None)
    if library == "ultralytics":
        monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["models", "export", *arguments]) == 2
    assert extra in capsys.readouterr().err


@pytest.mark.needs_torch
@pytest.mark.needs_shared
@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_pt_weights_are_exported_for_pictures_of_any_size(
    shared: Path, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("ultralytics", reason="needs torch and ultralytics")
    weights = shared / "models" / "yolo11n.pt"
    assert main(["models", "export", str(weights), "--format", kind, "-o", "out.onnx"]) == 0
    frame = first_frame(shared)
    for imgsz in (320, 640):
        exported, names = detect(tmp_path / "out.onnx", frame, imgsz=imgsz, precision="fp32")
        known, _ = detect(shared / "models" / "yolo11n.onnx", frame, imgsz=imgsz, precision="fp32")
        result = agreement([known], [exported], 0.25)
        assert (result.recall, result.precision) == (1, 1)
        assert result.mean_iou > 0.999
        assert names[0] == "person"


def first_frame(shared: Path) -> np.ndarray:
    import av

    with av.open(str(shared / "video" / "plaza_walkers.avi")) as container:
        return next(container.decode(video=0)).to_ndarray(format="bgr24")


@pytest.mark.needs_nncf
@pytest.mark.parametrize("make", [colour_network, convolutional])
def test_int8_keeps_boxes_and_names_and_says_what_it_costs(
    make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf", reason="needs nncf")
    weights = make(tmp_path / "net.onnx")
    footage = grey_video(tmp_path / "a.mkv", 60)
    command = ["models", "export", str(weights), "--int8", "--calibrate", str(footage)]
    assert main([*command, "--imgsz", "64", "--frames", "40"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("net_int8_openvino\ncalibrated on ")
    assert "times as fast as the original in fp32" in told
    image = np.full((48, 64, 3), (80, 50, 15), np.uint8)  # within what it was calibrated on
    (before, _), (after, names) = (
        detect(weights, image),
        detect(tmp_path / "net_int8_openvino", image),
    )
    assert names == COLOURS
    assert before.class_id.tolist() == after.class_id.tolist()
    np.testing.assert_allclose(before.score, after.score, atol=0.02)
