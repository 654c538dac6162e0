"""YOLO detector: every layout in common use, on OpenVINO, torch and TensorRT.

The layout of a network's output is found by a probe picture before the first frame: what fits none,
or several, is refused, and the options `layout`, `names` and `input_scale` decide. A network that
is surely of another family (see `common.families`) is read as that one.
"""

from __future__ import annotations

from typing import Literal

from pipeline.detectors.common.backend import FamilyOptions
from pipeline.detectors.common.network_detector import NetworkDetector
from pipeline.detectors.common.network_options import (
    ImageSize,
    NetworkOptions,
    SuppressionOptions,
)
from pipeline.models.registry import BUILTIN

Layouts = Literal[
    "v8",
    "v5",
    "v6",
    "yolox",
    "yolox-decoded",
    "deepstream",
    "detr",
    "detr-best",
    "end-to-end",
    "class-first",
]


class Options(SuppressionOptions, NetworkOptions):
    """Options of the YOLO detector: weights, device, thresholds, classes."""

    model: str = BUILTIN
    """Weights: a name (see `trackline models`), an .onnx, .pt or .engine file, an OpenVINO folder,
    a URL."""
    imgsz: ImageSize | None = None
    """Longest side of the network's input in pixels; by default the size in the weights' metadata,
    else 640. Networks of fixed size keep their own."""
    layout: Layouts | None = None
    """Layout of the network's output, if it cannot be detected: v8, v5, v6, yolox, yolox-decoded,
    deepstream, detr, detr-best, end-to-end or class-first (see docs/networks.md)."""


def build(options: Options) -> NetworkDetector:
    """Return the detector, not yet open."""
    family = FamilyOptions(imgsz=options.imgsz, input_scale=options.input_scale)
    return NetworkDetector(
        "yolo", options, family, suppression=options, forced_layout=options.layout
    )
