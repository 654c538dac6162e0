"""The `yolo` detector on tiny networks whose answers are known, and on what is no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from pydantic import ValidationError
from support.tiny_networks import colour_network, constant_network, one_box_network

from pipeline.core.data import Frame
from pipeline.core.errors import ModelError
from pipeline.core.yuv import YuvImage
from pipeline.detectors.openvino.cache import CompiledModelCache
from pipeline.detectors.yolo import Options, build
from pipeline.models.resolve import find_weights

RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)


def frame(colour=BLUE, size=(64, 64), index=0):
    return Frame(np.full((*size, 3), colour, np.uint8), "test", index, index / 10, 0.0)


def detect(model: Path, frames: list[Frame], **options):
    detector = build(Options(model=str(model), **options))
    detector.open()
    try:
        return detector.detect(frames)
    finally:
        detector.close()


def refusal(model: Path | str, **options) -> str:
    with pytest.raises(ModelError) as error:
        build(Options(model=str(model), **options)).open()
    text = str(error.value)
    assert "\n" not in text
    assert ".cpp" not in text
    return text


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    return colour_network(tmp_path / "colours.onnx")


@pytest.mark.usefixtures("any_library")
def test_network_sees_rgb_between_0_and_1(colours):
    found = detect(colours, [frame(RED), frame((0, 153, 0)), frame(BLUE)], conf=0.5, imgsz=64)
    assert [one.class_id.tolist() for one in found] == [[0], [1], [2]]
    np.testing.assert_allclose([one.score[0] for one in found], [1, 0.6, 1], atol=5e-3)
    np.testing.assert_allclose(found[0].xyxy, [[30, 30, 50, 50]], atol=1e-3)


@pytest.mark.usefixtures("any_library")
def test_yolox_sees_bgr_up_to_255_and_pictures_in_the_corner(tmp_path):
    """Its layout alone says that it was trained on other pictures than the rest of the family."""
    path = tmp_path / "yolox.onnx"
    output = np.zeros((1, 84, 5 + 2), np.float32)
    output[0, 0] = [0.5, 0.5, 0, 0, 1, 0.9, 0]
    constant_network(path, output)
    # Objectness of the first cell: the mean over the picture of channel 0, over 255.
    model = onnx.load(str(path))
    graph = model.graph
    factor = np.zeros_like(output)
    factor[0, 0, 4] = 1
    graph.initializer.append(onnx.numpy_helper.from_array(factor / 255, "factor"))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0], np.int64), "first"))
    output[0, 0, 4] = 0
    graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(output, "answer"))
    del graph.node[:]
    node = onnx.helper.make_node
    graph.node.extend(
        [
            node("GlobalAveragePool", ["images"], ["pooled"]),
            node("Gather", ["pooled", "first"], ["channel"], axis=1),
            node("Squeeze", ["channel"], ["mean"]),
            node("Mul", ["mean", "factor"], ["objectness"]),
            node("Add", ["answer", "objectness"], ["output0"]),
        ]
    )
    onnx.save(model, str(path))
    blue, red = detect(path, [frame(BLUE, (32, 64)), frame(RED, (32, 64))], precision="fp32")
    # Half the input is padding of 114; the picture lies in the upper half, unscaled.
    np.testing.assert_allclose(blue.score, [0.9 * (255 + 114) / 2 / 255], rtol=1e-3)
    np.testing.assert_allclose(blue.xyxy, [[0, 0, 8, 8]], atol=1e-3)
    assert len(red) == 0


@pytest.mark.slow
def test_v5_and_end_to_end_boxes_come_out_of_a_network(tmp_path):
    v5 = np.zeros((1, 252, 5 + 80), np.float32)
    v5[0, 7, :5] = [32, 16, 20, 10, 0.9]
    v5[0, 7, 5 + 2] = 1
    final = np.zeros((1, 300, 6), np.float32)
    final[0, 0] = [22, 11, 42, 21, 0.9, 2]
    metadata = {"names": str({0: "a", 1: "b", 2: "c"}), "end2end": "True"}
    for path in (
        constant_network(tmp_path / "v5.onnx", v5),
        constant_network(tmp_path / "final.onnx", final, metadata=metadata),
    ):
        # Twice the network's size: boxes come back in pixels of the picture.
        (found,) = detect(path, [frame(size=(128, 128))], precision="fp32")
        np.testing.assert_allclose(found.xyxy, [[44, 22, 84, 42]], atol=1e-3)
        np.testing.assert_allclose(found.score, [0.9], rtol=1e-5)
        assert found.class_id.tolist() == [2]


@pytest.mark.slow
@pytest.mark.usefixtures("any_library")
def test_answers_keep_the_frames_order_over_many_sizes(colours):
    """Sizes share a few compiled networks, and requests finish in any order."""
    shades = np.random.default_rng(0).permutation(np.arange(130, 255, 3))
    sizes = [(64, 64), (64, 96), (200, 100), (480, 640), (120, 500), (300, 64), (90, 91)]
    frames = [
        frame((0, int(shade), 0), sizes[index % len(sizes)], index)
        for index, shade in enumerate(shades)
    ]
    for precision in ("fp32", "auto"):
        found = detect(colours, frames, conf=0.48, imgsz=128, precision=precision)
        best = np.array([one.score[0] for one in found])
        np.testing.assert_allclose(best, shades / 255, atol=5e-3)
        assert {int(one.class_id[0]) for one in found} == {1}


A, B, C, D = (64, 64), (64, 96), (96, 64), (128, 64)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes",
    [[A, B, A, C, A, B, C], [A] * 210 + [B, C, A, B] + [C] * 210 + [D, A, B, C]],
    ids=["all seldom", "two often"],
)
def test_sizes_lose_and_get_networks_of_their_own_without_a_trace(colours, sizes):
    """A third size replaces networks that are in use just then; a size that comes often gets one.

    Before, five networks were kept for a folder of photographs, which took 300 MB, and each bound
    its threads to the same cores, so that of two cores 1.6 worked.
    """
    shades = 130 + np.arange(len(sizes)) % 120
    frames = [
        frame((0, int(shade), 0), size, index)
        for index, (shade, size) in enumerate(zip(shades, sizes, strict=True))
    ]
    found = detect(colours, frames, conf=0.48, imgsz=128, precision="fp32")
    np.testing.assert_allclose([one.score[0] for one in found], shades / 255, atol=1e-4)


@pytest.mark.parametrize(
    "shapes", [[(64, 64)], [(48, 96)], [(48, 96), (64, 64)], [(1, 4000)]], ids=str
)
def test_what_is_expected_changes_no_answer(colours, shapes):
    frames = [frame(RED, size) for size in [(64, 64), (64, 64), (48, 96), (96, 48), (64, 64)]]
    detector = build(Options(model=str(colours), conf=0.5, imgsz=64))
    detector.expect(shapes)
    detector.open()
    found = [detector.detect([each])[0] for each in frames]
    detector.close()
    expected = detect(colours, frames, conf=0.5, imgsz=64)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.xyxy, other.xyxy)
        np.testing.assert_array_equal(one.score, other.score)


def test_a_network_for_a_size_that_is_expected_is_compiled_once(colours, monkeypatch):
    """Of two videos the second one's picture came first: the network for the other was dropped."""
    compiled, compile_ = [], CompiledModelCache.compile

    def counted(self, size, *options, **more):
        compiled.append(size)
        return compile_(self, size, *options, **more)

    monkeypatch.setattr(CompiledModelCache, "compile", counted)
    detector = build(Options(model=str(colours), imgsz=64))
    detector.expect([(64, 64), (32, 64)])
    detector.open()
    for size in [(32, 64), (64, 64), (32, 64)]:
        detector.detect([frame(RED, size)])
    detector.close()
    assert sorted(compiled) == [(32, 64), (64, 64)]


def test_it_may_be_closed_while_a_network_is_compiled_for_what_is_expected(colours):
    detector = build(Options(model=str(colours), imgsz=64))
    detector.expect([(64, 64)])
    for _ in range(3):
        detector.open()
        detector.close()
    detector.open()
    assert detector.detect([frame(RED)])[0].class_id.tolist() == [0]
    detector.close()


def test_one_frame_at_a_time_gives_the_same(colours):
    detector = build(Options(model=str(colours), conf=0.5, imgsz=64, precision="fp32"))
    detector.open(prefer_latency=True)
    assert detector.batch_size == 1
    frames = [frame(RED), frame(GREEN)]
    assert [detector.detect([one])[0].class_id.tolist() for one in frames] == [[0], [1]]
    assert [one.class_id.tolist() for one in detector.detect(frames)] == [[0], [1]]
    detector.close()


def test_filter_by_class_and_most(tmp_path, colours):
    white = frame((255, 255, 255))
    assert detect(colours, [white], imgsz=64, classes=["red"])[0].class_id.tolist() == [0]
    assert len(detect(colours, [frame(BLUE)], conf=0.5, imgsz=64, classes=["red", 1])[0]) == 0
    many = np.zeros((1, 5, 84), np.float32)
    many[0, :, :40] = np.array([[x, 30, 1, 1, x / 100] for x in range(30, 70)]).T
    found = detect(constant_network(tmp_path / "many.onnx", many), [white], max_det=3)[0]
    np.testing.assert_allclose(found.score, [0.69, 0.68, 0.67], rtol=1e-5)


@pytest.mark.parametrize("value", ["person, car", ["person", "car"], ("person", "car")])
def test_classes_as_the_command_line_writes_them(value):
    assert Options(model="x.onnx", classes=value).classes == ("person", "car")


@pytest.mark.parametrize(
    "wrong",
    [{"classes": []}, {"classes": ","}, {"conf": 1.5}, {"imgsz": 0}, {"device": "gpu"}, {"x": 1}],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Options(model="x.onnx", **wrong)


@pytest.mark.slow
def test_names_come_from_the_file_or_are_numbers(tmp_path, colours):
    assert build(Options(model=str(colours))).open() == {0: "red", 1: "green", 2: "blue"}
    nameless = constant_network(tmp_path / "a.onnx", np.zeros((1, 6, 84), np.float32))
    assert build(Options(model=str(nameless))).open() == {0: "class_0", 1: "class_1"}


@pytest.mark.slow
def test_openvino_folder_with_names_beside_it(tmp_path, colours):
    import openvino

    folder = tmp_path / "net"
    openvino.save_model(openvino.Core().read_model(colours), folder / "net.xml")
    (folder / "metadata.yaml").write_text("names:\n  0: r\n  1: g\n  2: b\n")
    assert find_weights(str(folder)) == folder / "net.xml"
    assert build(Options(model=str(folder))).open() == {0: "r", 1: "g", 2: "b"}
    assert detect(folder, [frame(GREEN)], imgsz=64, conf=0.5)[0].class_id.tolist() == [1]


def test_what_is_not_there_or_no_network_is_refused_in_one_line(tmp_path, colours):
    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    assert "no such file" in refusal(tmp_path / "none.onnx")
    assert ".onnx, .pt, .xml" in refusal(file("net.weights", b"x"))
    assert "0 .xml files" in refusal(tmp_path)
    for name in ("bad.onnx", "bad.xml"):
        assert name in refusal(file(name, b"hello" * 99))
        assert name in refusal(file(name, b""))
    cut = colours.read_bytes()
    assert "cut.onnx" in refusal(file("cut.onnx", cut[: len(cut) // 2]))
    assert "close: green" in refusal(colours, classes=["gren"])


def test_nets_for_something_else_are_refused(tmp_path):
    whole = constant_network(tmp_path / "a.onnx", np.zeros((1, 1000), np.float32))
    assert "outputs [1,1000]" in refusal(whole)
    segments = np.zeros((1, 4 + 80 + 32, 84), np.float32)
    names = {"names": str({n: str(n) for n in range(80)})}
    assert "80 classes" in refusal(constant_network(whole, segments, metadata=names))
    grey = onnx.load(str(colour_network(whole)))
    grey.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(grey, str(whole))
    assert "height,width" in refusal(whole)


def test_precision_must_suit_the_file(colours):
    assert "allowed are auto, fp32, bf16" in refusal(colours, precision="fp16")


@pytest.mark.slow
def test_int8_takes_the_quantized_network_or_says_how_to_make_one(tmp_path, colours):
    wanted = f"trackline models export {colours} --int8 --calibrate VIDEO"
    assert wanted in refusal(colours, precision="int8")
    beside = tmp_path / "colours_int8_openvino"
    openvino.save_model(openvino.convert_model(colours), beside / "colours.xml")
    told = refusal(colours, precision="int8")  # it is no int8 network, but it was looked at
    assert f"precision: {beside} is not quantized" in told
    assert ".pt --int8" in refusal(colours.rename(tmp_path / "other.pt"), precision="int8")


@pytest.mark.slow
def test_damaged_network_prints_nothing_to_stderr(tmp_path):
    """Left to guess the format, OpenVINO's TensorFlow reader complains there in C++."""
    (tmp_path / "bad.onnx").write_bytes(b"hello" * 99)
    code = (
        "import sys; from pipeline.detectors.yolo import *; from pipeline.core.errors import *\n"
        "try: build(Options(model=sys.argv[1])).open()\n"
        "except ModelError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "bad.onnx"], capture_output=True, text=True
    )
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.slow
def test_openvino_comes_without_its_telemetry(colours):
    """`import openvino` by itself reports to an analytics service on a thread of its own."""
    code = (
        "import sys, threading; from pipeline.detectors.yolo import *\n"
        "build(Options(model=sys.argv[1])).open()\n"
        "print(threading.active_count(), [m for m in sys.modules if 'openvino_telemetry' in m])\n"
        "from openvino import convert_model; print(convert_model.__module__.split('.')[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, colours], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n") == ["1 []", "openvino", ""]


@pytest.mark.usefixtures("any_library")
def test_a_failed_call_leaves_the_detector_usable(colours):
    """A picture that cannot be converted must not leave requests in flight for ever."""

    def fails():
        raise ValueError("no such conversion")

    detector = build(Options(model=str(colours), conf=0.5, imgsz=64))
    detector.open()
    chroma = np.zeros((32, 32), np.uint8)
    planes = YuvImage(np.zeros((64, 64), np.uint8), (chroma, chroma), to_bgr=fails)
    broken = Frame(planes, "a", 0, 0.0, 0.0)
    for _ in range(4):
        with pytest.raises(ValueError, match="no such conversion"):
            detector.detect([frame(RED), frame(GREEN), broken])
    assert [len(found) for found in detector.detect([frame(RED)] * 9)] == [1] * 9
    detector.close()


@pytest.mark.usefixtures("any_library")
def test_batches_overlap_and_come_back_in_order(colours):
    """More batches than requests, of one picture or many, also with a close in the middle."""
    shades = [int(shade) for shade in np.random.default_rng(0).permutation(np.arange(130, 255, 5))]
    detector = build(Options(model=str(colours), conf=0.48, imgsz=64))
    detector.open()
    assert detector.in_flight > 1
    sizes = [1, 1, 0, 3, 9, 1]
    batches = [[frame((0, shades.pop(), 0)) for _ in range(size)] for size in sizes]
    for batch in batches:
        detector.submit(batch)
    for batch in batches:
        best = [one.score[0] for one in detector.collect()]
        np.testing.assert_allclose(best, [f.image[0, 0, 1] / 255 for f in batch], atol=5e-3)
    detector.submit(batches[-1])
    detector.close()
    detector.open(prefer_latency=True)
    assert (detector.in_flight, detector.batch_size) == (1, 1)
    assert len(detector.detect(batches[3])) == 3
    detector.close()


@pytest.mark.slow
def test_pt_without_ultralytics_says_what_to_install(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"x")
    code = (
        "import sys; from pipeline.detectors.yolo import *; from pipeline.core.errors import *\n"
        "sys.modules['ultralytics'] = None\n"
        "try: build(Options(model=sys.argv[1])).open()\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "net.pt"], capture_output=True, text=True
    )
    assert done.stdout.endswith("[ultralytics]'\n")


@pytest.mark.needs_torch
def test_pt_that_holds_no_network_is_refused_in_one_line(tmp_path):
    pytest.importorskip("ultralytics", reason="needs torch and ultralytics")
    torch = pytest.importorskip("torch", reason="needs torch and ultralytics")
    path = tmp_path / "net.pt"
    for content in (b"", b"\x80\x02}q\x00.", np.random.default_rng(0).bytes(3000)):
        path.write_bytes(content)
        assert "torch.save" in refusal(path)
    torch.save({"weights": torch.zeros(3)}, path)
    assert "cannot load" in refusal(path)
    assert "precision" in refusal(path, precision="bf16", device="cpu")
    assert "no cuda:77" in refusal(path, device="cuda:77")


@pytest.mark.parametrize(
    ("metadata", "options", "width"),
    [
        ({"imgsz": "[64, 64]"}, {}, 40),
        ({"imgsz": "[32, 128]"}, {}, 20),
        ({"imgsz": "[64, 64]"}, {"imgsz": 128}, 20),
        ({}, {}, 4),
        ({"imgsz": "[0, 0]"}, {}, 4),
    ],
)
def test_the_input_has_the_size_that_the_weights_are_for_unless_it_is_set(
    tmp_path: Path, metadata: dict[str, str], options: dict[str, int], width: int
) -> None:
    """The network's box is 20 pixels of its input wide; 640 where the weights are silent."""
    network = colour_network(tmp_path / "net.onnx", metadata)
    detector = build(Options(model=str(network), **options))
    detector.open()
    image = np.full((128, 128, 3), 255, np.uint8)
    (found,) = detector.detect([Frame(image, "a", 0, 0.0, 0.0)])
    assert round(float(found.xyxy[0, 2] - found.xyxy[0, 0])) == width
    detector.close()


def test_sources_have_inputs_of_their_own_size_on_one_network(tmp_path: Path) -> None:
    """The network's box is 20 pixels of its input wide, whatever that shows."""
    network = colour_network(tmp_path / "net.onnx")
    detector = build(Options(model=str(network), imgsz=64))
    detector.open()
    image = np.full((128, 128, 3), 255, np.uint8)
    near, far = (Frame(image, name, 0, 0.0, 0.0) for name in ("near", "far"))

    def widths() -> list[float]:
        return [
            float((found.xyxy[0, 2] - found.xyxy[0, 0]).round())
            for found in detector.detect([near, far, near])
        ]

    assert widths() == [40, 40, 40]
    assert detector.takes_sizes
    detector.set_sizes({"far": 128})
    assert widths() == [40, 20, 40]
    detector.set_sizes({})
    assert widths() == [40, 40, 40]
    detector.close()


def test_a_network_of_fixed_size_says_that_it_keeps_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    detector = build(Options(model=str(one_box_network(tmp_path / "one.onnx"))))
    detector.open()
    assert not detector.takes_sizes
    detector.set_sizes({"door": 960})
    assert "imgsz of door is left out" in caplog.text
    detector.close()
