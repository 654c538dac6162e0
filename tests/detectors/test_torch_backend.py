"""Batches on their way over a device: order, memory used again, overlap, several devices."""

from __future__ import annotations

import json
import struct
import sys
from collections import deque
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.detection_compare import PIXELS, SCORE, compare
from support.torch_backends import detected, pictures, rules_for, settings_for

from pipeline.core.data import Frame
from pipeline.core.errors import ModelError
from pipeline.core.yuv import YuvImage
from pipeline.detectors.common.backend import Network
from pipeline.detectors.common.layouts import identify
from pipeline.detectors.common.letterbox import fit
from pipeline.detectors.common.postprocess import Postprocess
from pipeline.detectors.yolo import Options

pytestmark = [pytest.mark.needs_torch, pytest.mark.usefixtures("one_torch_thread")]
torch = pytest.importorskip("torch", reason="needs torch and ultralytics")

from pipeline.detectors.torch.backend import TorchBackend  # noqa: E402
from pipeline.detectors.torch.batch_slot import BatchSlot, SlotResources  # noqa: E402
from pipeline.detectors.torch.cpu_slot import CpuBatchSlot  # noqa: E402
from pipeline.detectors.torch.device import CpuDevice  # noqa: E402
from pipeline.detectors.torch.device_choice import choose_device, choose_half, current_device  # noqa: E402
from pipeline.detectors.torch.postprocess import GpuPostprocess  # noqa: E402
from pipeline.detectors.torch.tensorrt import read_header  # noqa: E402

RULES = Postprocess(identify((1, 5, 84), (64, 64), 1, None), conf=0.1, iou=0.7, max_det=300)


class GreyNetwork:
    """One box per picture in the middle, its score the mean of the picture; `more` boxes beside."""

    dtype = torch.float32
    fixed_batch: int | None = None
    fixed_size = None
    stride = 32
    imgsz: int | None = None

    def __init__(self, more: int = 0) -> None:
        self.batches: list[int] = []
        self._more = more

    def __call__(self, pictures):
        self.batches.append(len(pictures))
        _, _, height, width = pictures.shape
        output = torch.zeros((len(pictures), 5, 84 + self._more))
        output[:, :4, : 1 + self._more] = torch.tensor([width / 2, height / 2, 8, 8])[:, None]
        output[:, 0, 1:] += torch.arange(83 + self._more)
        output[:, 4, 1 : 1 + self._more] = 0.2
        output[:, 4, 0] = pictures.mean((1, 2, 3))
        return output

    def kept(self):
        return ()

    def describe(self, size):
        return Network(size, (1, 5, 84), {0: "grey"})


def grey(shade: int, size=(64, 64)) -> np.ndarray:
    return np.full((*size, 3), shade, np.uint8)


def as_decoded(shade: int) -> YuvImage:
    half = np.full((32, 32), 128, np.uint8)
    return YuvImage(grey(shade)[..., 0], (half, half), to_bgr=lambda: grey(shade))


def resources(network: GreyNetwork, **more) -> SlotResources:
    return SlotResources(CpuDevice(), network, RULES, GpuPostprocess(RULES, **more))


def launched(slot, images):
    boxes = [fit(image.shape[:2], (64, 64), 32) for image in images]
    with torch.inference_mode():
        slot.launch(images, boxes)
        slot.wait()
        return slot.answers()


@pytest.mark.parametrize(
    "new_lane",
    [lambda network: BatchSlot(resources(network)), lambda network: CpuBatchSlot(network, RULES)],
    ids=["tensors", "opencv"],
)
def test_a_lane_answers_each_picture_of_every_batch(new_lane):
    """Batches run in memory of the next larger one: idle rows and old pictures must not show."""
    slot = new_lane(GreyNetwork())
    shades = deque(np.random.default_rng(0).permutation(np.arange(60, 250, 2)).tolist())
    for count in (3, 5, 1, 7, 5):
        now = [shades.popleft() for _ in range(count)]
        pictures = [grey(shade) if shade % 4 else as_decoded(shade) for shade in now]
        found = launched(slot, pictures)
        assert [one.score.tolist() for one in found] == [
            pytest.approx([shade / 255], abs=1e-5) for shade in now
        ]
        np.testing.assert_allclose(found[0].xyxy, [[28, 28, 36, 36]])


def test_on_the_cpu_the_network_s_time_is_not_that_of_preparing_pictures():
    """It ran while the batch was begun: reports said 33 ms of `preprocess` and none of `infer`."""
    network = GreyNetwork()
    slot = CpuBatchSlot(network, RULES)
    with torch.inference_mode():
        slot.launch([grey(90)], [fit((64, 64), (64, 64), 32)])
        assert not network.batches
        slot.wait()
        slot.wait()
        assert network.batches == [1]
        assert len(slot.answers()) == 1


@pytest.mark.parametrize(
    ("new_lane", "batches"),
    [
        (lambda network: BatchSlot(resources(network)), [3, 2]),
        (lambda network: CpuBatchSlot(network, RULES), [2]),
    ],
    ids=["tensors", "opencv"],
)
def test_a_dropped_batch_is_not_computed_for_nothing_and_leaves_no_trace(new_lane, batches):
    """On the CPU the network ran for what was given up, where it could fail once more."""
    network = GreyNetwork()
    slot = new_lane(network)
    with torch.inference_mode():
        slot.launch([grey(90)] * 3, [fit((64, 64), (64, 64), 32)] * 3)
        slot.drop()
        slot.drop()
    assert len(launched(slot, [grey(70), grey(71)])) == 2
    assert network.batches == batches


def test_pictures_of_several_sizes_share_a_batch():
    """Cameras differ, and the network need not know: one input size is enough to go together."""
    network = GreyNetwork()
    slot = BatchSlot(resources(network))
    sizes = [(64, 64), (128, 128), (128, 128), (32, 32)]
    found = launched(slot, [grey(60 + 9 * n, size) for n, size in enumerate(sizes)])
    assert network.batches == [4]
    for n, (size, one) in enumerate(zip(sizes, found, strict=True)):
        assert one.score.tolist() == pytest.approx([(60 + 9 * n) / 255], abs=1e-5)
        np.testing.assert_allclose(one.xyxy[0], np.array([28, 28, 36, 36]) * size[0] / 64)


def test_answers_stay_when_the_lane_goes_on():
    slot = BatchSlot(resources(GreyNetwork()))
    first = launched(slot, [grey(100), grey(200)])
    before = [one.score.copy() for one in first]
    launched(slot, [grey(50), grey(60)])
    for one, score in zip(first, before, strict=True):
        np.testing.assert_array_equal(one.score, score)


def test_a_picture_with_too_many_candidates_goes_the_long_way():
    network = GreyNetwork(more=40)
    found = launched(BatchSlot(resources(network, candidates=8)), [grey(200)])
    usual = launched(BatchSlot(resources(GreyNetwork(more=40))), [grey(200)])
    np.testing.assert_array_equal(found[0].score, usual[0].score)
    assert len(found[0]) > 8


def test_a_batch_runs_in_the_engine_s_own_size():
    network = GreyNetwork()
    network.fixed_batch = 6
    assert len(launched(BatchSlot(resources(network)), [grey(90), grey(91)])) == 2
    assert network.batches == [6]


# -- the backend ----------------------------------------------------------------------------------


def opened(path: Path, *, tensors: bool, **more: Any) -> TorchBackend:
    backend = TorchBackend(settings_for(path, **more), tensors_on_cpu=tensors)
    backend.start(rules_for(backend.read()))
    return backend


@pytest.mark.needs_shared
def test_tensors_give_the_same_boxes_as_opencv(shared):
    """The way over the GPU, on CPU tensors, beside the CPU's own: within 1 pixel and 0.01."""
    images = pictures(shared, 8)
    path = shared / "models" / "yolo11n.pt"
    usual, tensors = opened(path, tensors=False), opened(path, tensors=True)
    expected, found = detected(usual, images), detected(tensors, images)
    result = compare(dict(enumerate(found)), expected)
    assert len(result.pixels) > 40
    assert max(result.pixels) <= PIXELS
    assert max(result.score) <= SCORE
    assert [score for score in result.alone if score > 0.26] == []
    assert set(tensors.stage_ms) == {"preprocess", "infer", "postprocess"}
    assert set(tensors.device_ms) == {"upload", "letterbox", "network", "download"}

    assert (usual.in_flight, tensors.in_flight) == (1, 2)
    tensors.submit(images[:3])
    tensors.submit(images[3:])
    overlapped = [*tensors.collect(), *tensors.collect()]
    for one, other in zip(overlapped, found, strict=True):
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=0.05)

    for _ in range(3):  # the first part of the batch is on its way when the second one fails
        with pytest.raises(ValueError, match="broadcast"):
            detected(tensors, [*images[:3], np.zeros((64, 64), np.uint8)])
    for backend in (usual, tensors):
        assert len(detected(backend, images[:4])) == 4
        backend.close()
        backend.close()


class GreyBackend(TorchBackend):
    """The backend with a network that needs no file."""

    def __init__(self, network: GreyNetwork) -> None:
        super().__init__(settings_for(Path("grey.pt")))
        self._grey = network

    def _load(self, *, is_engine: bool) -> GreyNetwork:
        assert not is_engine
        return self._grey


def test_an_answer_that_cannot_be_read_leaves_no_other_behind():
    """The next batch got the answers of the one that was in flight beside the failing one.

    That one is not computed any more either: what failed in it replaced the first error.
    """
    network = GreyNetwork()
    backend = GreyBackend(network)
    backend.read()
    calls = iter(range(1000))

    def fails_once(output, box):
        if next(calls) == 0:
            raise RuntimeError("device lost")
        return RULES(output, box)

    backend.start(fails_once)
    backend.submit([grey(90)])
    backend.submit([grey(91)] * 2)
    with pytest.raises(RuntimeError, match="device lost"):
        backend.collect()
    assert len(detected(backend, [grey(92)] * 3)) == 3
    assert network.batches == [1, 3]
    backend.close()


@pytest.mark.needs_shared
def test_halves_leave_boxes_where_they_are(shared):
    """At 640 pixels neighbouring fp16 numbers are half a pixel apart: the last step is in fp32."""
    from pipeline.detectors.torch.network import UltralyticsNetwork

    path, cpu = shared / "models" / "yolo11n.pt", torch.device("cpu")
    image = pictures(shared, 1)[0]
    box = fit(image.shape[:2], (640, 640), 32)
    found = []
    for half in (False, True):
        network = UltralyticsNetwork(path, cpu, half=half)
        rules = identify(network.describe(box.input_size).output_shape, box.input_size, 80, False)
        slot = CpuBatchSlot(network, Postprocess(rules, conf=0.25, iou=0.7, max_det=300))
        with torch.inference_mode():
            slot.launch([image], [box])
            slot.wait()
            found += slot.answers()
    assert network.kept()[0].dtype == torch.float32
    result = compare({0: found[1]}, [found[0]])
    assert len(result.pixels) >= 5
    assert max(result.pixels) < 0.1
    assert max(result.score) <= SCORE


class FakeTorch:
    """torch with so many CUDA devices."""

    def __init__(self, count: int) -> None:
        self.cuda = self
        self._count = count

    def is_available(self) -> bool:
        return self._count > 0

    def device_count(self) -> int:
        return self._count

    def device(self, kind: str, index: int | None = None) -> str:
        return kind if index is None else f"{kind}:{index}"


@pytest.mark.parametrize(
    ("file", "device", "count", "wanted"),
    [
        ("a.pt", "auto", 0, "cpu"),
        ("a.pt", "auto", 2, "cuda:0"),
        ("a.pt", "cpu", 2, "cpu"),
        ("a.pt", "cuda", 1, "cuda:0"),
        ("a.pt", "cuda:1", 2, "cuda:1"),
        ("a.pt", "cuda:2", 2, "no cuda:2: torch sees 2 CUDA devices; cpu is allowed"),
        ("a.engine", "auto", 1, "cuda:0"),
        ("a.engine", "auto", 0, "no cuda:0: torch sees 0 CUDA devices"),
        ("a.engine", "cpu", 1, ".engine files run on CUDA only"),
    ],
)
def test_device_must_be_there(file, device, count, wanted):
    chosen = settings_for(Path(file), device=device)
    if wanted in ("cpu", "cuda:0", "cuda:1"):
        assert choose_device(FakeTorch(count), chosen) == wanted
        return
    with pytest.raises(ModelError) as error:
        choose_device(FakeTorch(count), chosen)
    assert wanted in str(error.value)


def test_a_device_is_current_only_while_it_is_worked_on():
    """A program that uses another GPU itself must not find its own current one changed."""
    entered = []

    class Torch:
        @staticmethod
        @contextmanager
        def device(which):
            entered.append(which)
            yield
            entered.append("left")

    Torch.cuda = Torch
    for kind in ("cuda", "cpu"):
        with current_device(Torch, SimpleNamespace(type=kind)):
            entered.append("work")
    assert entered == [SimpleNamespace(type="cuda"), "work", "left", "work"]


def test_precision_must_suit_the_device():
    path = Path("a.pt")
    assert choose_half(settings_for(path), on_cuda=True)
    assert not choose_half(settings_for(path, precision="fp32"), on_cuda=True)
    assert not choose_half(settings_for(path), on_cuda=False)
    for precision, on_cuda in (("bf16", True), ("fp16", False)):
        with pytest.raises(ModelError, match="precision"):
            choose_half(settings_for(path, precision=precision), on_cuda=on_cuda)


def test_devices_as_they_are_written():
    assert Options(device="cuda:0,cuda:1").device == ("cuda:0", "cuda:1")
    assert Options(device=["cuda:0", "cuda:1"]).device == ("cuda:0", "cuda:1")
    assert Options(device="cuda").device == "cuda"
    for wrong in ("gpu", "cuda:0,tpu", [], "cuda:x"):
        with pytest.raises(ValidationError):
            Options(device=wrong)


# -- engines --------------------------------------------------------------------------------------


def engine_file(values: Any, plan: bytes = b"plan") -> BytesIO:
    text = json.dumps(values).encode()
    return BytesIO(struct.pack("<I", len(text)) + text + plan)


def test_an_engine_s_header_is_read_and_the_plan_is_left():
    file = engine_file({"task": "detect", "names": {"0": "person"}, "imgsz": [640, 640]})
    assert read_header(file, Path("a.engine"))["names"] == {"0": "person"}
    assert file.read() == b"plan"
    bare = BytesIO(b"ftrt\x00\x00\x00\x00plan without a header")
    assert read_header(bare, Path("a.engine")) == {}
    assert bare.tell() == 0
    with pytest.raises(ModelError, match="task segment"):
        read_header(engine_file({"task": "segment"}), Path("a.engine"))


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x05\x00\x00\x00\xff\xfe\xfd\xfc\xfb"])
def test_what_is_no_header_is_left_to_tensorrt(content):
    file = BytesIO(content)
    assert read_header(file, Path("a.engine")) == {}
    assert file.read() == content


# -- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.needs_shared
@pytest.mark.needs_cuda
def test_captured_graphs_give_what_the_cpu_gives_for_every_batch_and_size(shared, cuda):
    """Each size and batch is a graph of its own, and all stay right while others are captured."""
    images = pictures(shared, 8)
    path = shared / "models" / "yolo11n.pt"
    expected = detected(opened(path, tensors=False), images)
    backend = opened(path, tensors=False, device=str(cuda), batch=8)
    for count in (8, 1, 3, 8, 2, 8):
        found = detected(backend, images[:count])
        result = compare(dict(enumerate(found)), expected)
        assert max(result.pixels) <= PIXELS
        assert max(result.score) <= SCORE
        assert [score for score in result.alone if score > 0.27] == []
    assert all(value >= 0 for value in backend.device_ms.values())
    backend.close()


@pytest.mark.needs_shared
@pytest.mark.needs_cuda
def test_overlapping_batches_on_cuda_do_not_mix(shared, cuda):
    images = pictures(shared, 8)
    backend = opened(shared / "models" / "yolo11n.pt", tensors=False, device=str(cuda), batch=4)
    alone = [detected(backend, [image])[0] for image in images]
    for _ in range(5):
        backend.submit(images[:4])
        backend.submit(images[4:])
        together = [*backend.collect(), *backend.collect()]
        result = compare(dict(enumerate(together)), alone)
        assert max(result.pixels) <= PIXELS
    backend.close()


def test_frames_of_a_detector_on_torch_are_let_go():
    """Pictures are copied when a batch begins, so slots hold no frame's memory."""
    slot = BatchSlot(resources(GreyNetwork()))
    frame = Frame(grey(90), "a", 0, 0.0, 0.0)
    before = sys.getrefcount(frame.image.base)
    launched(slot, [frame.image])
    after = sys.getrefcount(frame.image.base)  # in an `assert` there would be one more
    assert after == before
