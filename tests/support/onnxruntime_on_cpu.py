"""Detectors whose `.onnx` networks run in ONNX Runtime, as on CUDA, but on the CPU."""

from __future__ import annotations

import pytest

from pipeline.detectors.common.backend import Settings


def use_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run networks with the backend for CUDA; the test is skipped without ONNX Runtime."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from pipeline.detectors.onnxruntime.backend import OnnxRuntimeBackend

    def on_cpu(settings: Settings) -> OnnxRuntimeBackend:
        return OnnxRuntimeBackend(settings, on_cpu=True)

    monkeypatch.setattr("pipeline.detectors.openvino.backend.OpenVinoBackend", on_cpu)
