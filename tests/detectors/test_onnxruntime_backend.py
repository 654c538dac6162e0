"""`.onnx` on CUDA with ONNX Runtime: what is refused, and that it is this backend that runs.

What networks answer is tested where it is for OpenVINO, with the fixture `any_library`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.onnxruntime_on_cpu import use_onnxruntime
from support.tiny_networks import colour_network

from pipeline.core.data import Frame, Image
from pipeline.core.errors import MissingExtraError, ModelError
from pipeline.core.yuv import YuvColour, YuvImage
from pipeline.detectors.yolo import Options, build


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    return colour_network(tmp_path / "colours.onnx")


def refusal(model: Path, error: type[Exception] = ModelError, **options: Any) -> str:
    with pytest.raises(error) as caught:
        build(Options(model=str(model), **options)).open()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def library(*providers: str, works: bool = True) -> SimpleNamespace:
    """ONNX Runtime as it may be installed; it reads every network."""
    used = [*providers] if works else [*providers[1:]]
    return SimpleNamespace(
        get_available_providers=lambda: [*providers],
        preload_dlls=lambda: None,
        SessionOptions=SimpleNamespace,
        InferenceSession=lambda *_: SimpleNamespace(get_providers=lambda: used),
    )


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("installed", "error", "says"),
    [
        (None, MissingExtraError, "onnx-cuda"),
        (library(CPU), MissingExtraError, "onnx-cuda"),
        (library(CUDA, CPU, works=False), ModelError, "cannot use it: no such GPU"),
    ],
    ids=["not installed", "for the CPU only", "no GPU"],
)
def test_without_what_it_takes_the_error_names_the_way_out(
    colours, monkeypatch, installed, error, says
) -> None:
    """Without a GPU the library runs networks on the CPU and says so in its log alone."""
    monkeypatch.setitem(sys.modules, "onnxruntime", installed)
    said = refusal(colours, error, device="cuda:1")
    assert said.startswith("device: cuda:1: ")
    assert says in said
    assert "cpu" in said


def test_precision_must_suit_the_device(colours) -> None:
    assert "allowed are auto and fp32" in refusal(colours, device="cuda:0", precision="fp16")


@pytest.mark.parametrize("devices", [("cuda:0", "cpu"), ("cpu", "cpu"), ("auto", "cuda:0")])
def test_a_file_runs_on_one_cpu_or_on_gpus(colours, monkeypatch, devices) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", library(CUDA, CPU))
    assert f"got {', '.join(devices)}" in refusal(colours, device=devices)


def as_decoded(shade: int) -> YuvImage:
    """Return a grey picture, large enough that it is scaled before it is converted."""

    def refuse() -> Image:
        raise AssertionError("made BGR on the thread that feeds all devices")

    half = np.full((64, 64), 128, np.uint8)
    luma = np.full((128, 128), shade + 1, np.uint8)
    return YuvImage(luma, (half, half), YuvColour(full_range=True), refuse)


def test_several_gpus_share_the_batches(colours, monkeypatch) -> None:
    """Pictures went to them as BGR, made one after the other on the thread of inference."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from pipeline.detectors.onnxruntime import backend

    real = backend.OnnxRuntimeBackend

    def on_cpu(settings: Any) -> Any:
        return real(settings, on_cpu=True)

    monkeypatch.setattr(backend, "OnnxRuntimeBackend", on_cpu)
    detector = build(Options(model=str(colours), conf=0.3, imgsz=64, device=("cuda:0", "cuda:1")))
    detector.open()
    shades = range(100, 250, 15)
    for batch in shades:
        detector.submit([Frame(as_decoded(batch), "a", 0, 0.0, 0.0)])
    best = [detector.collect()[0].score.max() for _ in shades]
    detector.close()
    np.testing.assert_allclose(best, np.array(shades) / 255, atol=5e-3)


def test_only_onnx_runs_there(tmp_path: Path) -> None:
    """An OpenVINO network on a GPU has one error, whatever is installed."""
    folder = tmp_path / "net_openvino_model"
    folder.mkdir()
    (folder / "net.xml").write_text("<net/>")
    assert "allowed are auto and cpu" in refusal(folder, device="cuda:0")


def test_a_file_that_is_no_network_is_refused_in_one_line(tmp_path, monkeypatch) -> None:
    use_onnxruntime(monkeypatch)
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no network")
    assert "ONNX Runtime can" in refusal(path)


@pytest.mark.parametrize("options", [{"slice": 64}, {}], ids=["in tiles", "whole"])
def test_pictures_of_many_sizes_come_back_in_order(colours, monkeypatch, options) -> None:
    use_onnxruntime(monkeypatch)
    detector = build(Options(model=str(colours), conf=0.3, imgsz=64, **options))
    detector.open()
    sizes = [(64, 64), (90, 60), (64, 128)] * 3
    frames = [
        Frame(np.full((*size, 3), 100 + 15 * n, np.uint8), "a", n, 0.0, 0.0)
        for n, size in enumerate(sizes)
    ]
    found = detector.detect(frames)
    detector.close()
    best = [each.score.max() for each in found]
    np.testing.assert_allclose(best, [(100 + 15 * n) / 255 for n in range(9)], atol=0.02)
