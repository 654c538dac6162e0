"""Post-training quantization to int8 with NNCF, calibrated on the user's own footage."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from typing import Any

import numpy as np

from pipeline.core.data import Float32, Image
from pipeline.core.errors import MissingExtraError
from pipeline.core.install_hints import install_command
from pipeline.detectors.common.backend import LayoutOverrides
from pipeline.detectors.common.letterbox import PADDING, fit, paste
from pipeline.detectors.openvino.model import PictureModel
from pipeline.models.class_names import default_names
from pipeline.models.openvino_library import import_openvino, no_telemetry
from pipeline.tools.export.formats import plain_metadata, read_graph, save_openvino

CONVOLUTIONS = ("Convolution", "GroupConvolution")


class Quantizer:
    """A network about to become int8; knows how it wants its pictures. Opens the file at once."""

    def __init__(self, weights: Path, imgsz: int) -> None:
        picture_model = PictureModel(weights)
        network = picture_model.network
        side = -(-imgsz // network.stride) * network.stride
        self._target = picture_model.fixed_size or (side, side)
        self._stride = network.stride if picture_model.fixed_size is None else None
        layout = picture_model.recognise(LayoutOverrides()).layout
        self._weights = weights
        self._raw_bgr, self._pixel_max = layout.raw_bgr, layout.pixel_max
        self._metadata = plain_metadata(picture_model.metadata)
        if not network.names and layout.class_count:
            self._metadata["names"] = default_names(layout.class_count)

    def shrink(self, image: Image) -> Image:
        """Return a picture scaled as the network would see it, without padding."""
        import cv2

        height, width = fit(image.shape[:2], self._target, self._stride).scaled_size
        if (height, width) == image.shape[:2]:
            return image
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]

    def write(self, images: Sequence[Image], folder: Path, stem: str) -> None:
        """Quantize, calibrated on `images`, and write an OpenVINO folder with `stem`.xml.

        Raises MissingExtraError without NNCF. Takes about as long as running the pictures twice.
        """
        nncf = import_nncf()
        graph = read_graph(self._weights)
        names = sensitive(graph)
        # NNCF's progress bars go to stdout, which is for results.
        with redirect_stdout(stderr):
            quantized = nncf.quantize(
                graph,
                nncf.Dataset(list(images), self._tensor),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(images),
                ignored_scope=nncf.IgnoredScope(names=names, validate=False),
            )
        by = f"NNCF {nncf.__version__}, {len(images)} frames"
        metadata = {**self._metadata, "int8": by}
        save_openvino(quantized, folder, stem, metadata, half=False)

    def _tensor(self, image: Image) -> Float32:
        """Return f32[1,3,H,W]: the picture letterboxed, in the colours and range the file wants."""
        box = fit(image.shape[:2], self._target, self._stride, not self._raw_bgr)
        canvas = np.full((*box.input_size, 3), PADDING, np.uint8)
        paste(image, box, canvas)
        if not self._raw_bgr:
            canvas = canvas[..., ::-1]
        tensor = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
        return tensor if self._pixel_max == 255 else tensor / np.float32(255)


def sensitive(graph: Any) -> list[str]:
    """Return the names of the operations that stay in floating point.

    Everything behind the last convolutions, which turns maps into boxes and scores and where one
    step of 256 is pixels wide; those convolutions themselves, a hundredth of the work; and
    attention, whose products of two activations int8 serves badly. Found by walking back from the
    outputs, so it does not matter what the exporter called them.
    """
    found: dict[str, None] = {}
    waiting = list(graph.get_results())
    while waiting:
        node = waiting.pop()
        name, kind = node.get_friendly_name(), node.get_type_name()
        if name in found or kind in ("ShapeOf", "Constant", "Parameter"):
            continue
        found[name] = None
        if kind in CONVOLUTIONS and not _follows_softmax(node):
            continue
        waiting += [port.get_source_output().get_node() for port in node.inputs()]
    for node in graph.get_ops():
        if _is_attention(node):
            found[node.get_friendly_name()] = None
    return list(found)


def _follows_softmax(convolution: Any) -> bool:
    """Return whether a convolution only averages a distribution, as YOLOv8's and 11's DFL does."""
    node = convolution.input_value(0).get_node()
    while node.get_type_name() in ("Transpose", "Reshape"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Softmax")


def _is_attention(node: Any) -> bool:
    kind = node.get_type_name()
    if kind != "MatMul":
        return bool(kind == "Softmax")
    return all(
        port.get_source_output().get_node().get_type_name() != "Constant" for port in node.inputs()
    )


def import_nncf() -> Any:
    """Return the module `nncf`, quiet and without telemetry; raises MissingExtraError."""
    import_openvino()
    try:
        with no_telemetry():
            import nncf
    except ImportError as error:
        raise MissingExtraError(
            f"export: --int8 needs {error.name}: {install_command('quantize')}"
        ) from error
    nncf.set_log_level(logging.ERROR)
    return nncf
