"""Re-identification network on the CPU: any `.onnx` or OpenVINO file that outputs one vector.

Person re-identification networks such as OSNet (Zhou, Yang, Cavallaro, Xiang, ICCV 2019) are
trained so that pictures of one person give similar vectors. Size and layout of the input come from
the network; the pixel range and normalisation come from the options, else from the file's name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from pipeline.core.cpu_count import cores
from pipeline.core.data import Float32, Image
from pipeline.core.errors import ModelError
from pipeline.core.fork_check import mark_used
from pipeline.core.options import OptionsModel
from pipeline.embedders._crops import crops, unit_rows
from pipeline.models.compiled_files import CompiledFiles
from pipeline.models.openvino_library import (
    INPUT_TYPES,
    PictureInput,
    one_line,
    openvino_core,
    picture_layout,
    read_network,
    vector_output,
)

Three = tuple[float, float, float]

_SIZE = (256, 128)
"""Height and width if the network leaves them open: those most person networks are trained with."""
_RAW_NAMES = ("person-reidentification-retail-", "person-reidentification-")
"""Prefixes of the file names of Open Model Zoo's networks, which take BGR from 0 to 255."""
_OUTPUT = "[1,numbers] of a re-identification network"


class Options(OptionsModel):
    """Options of a re-identification network."""

    model: str
    """Weights: osnet-x0.25, person-reidentification-retail-0286, an .onnx or .xml file, an OpenVINO
    folder, a URL."""
    pixels: Literal["auto", "imagenet", "raw"] = "auto"
    """Input of the network: imagenet (RGB, minus `mean`, divided by `std`, as in torchreid and
    most others) or raw (BGR from 0 to 255). auto: raw for Open Model Zoo's networks, by their file
    names, and for networks that take bytes; imagenet for others."""
    mean: Three = (0.485, 0.456, 0.406)
    """Mean of the pixels, RGB from 0 to 1; by default ImageNet's."""
    std: Three = (0.229, 0.224, 0.225)
    """Standard deviation of the pixels, likewise."""
    min_similarity: float = Field(0.65, ge=0, lt=1)
    """Minimum cosine similarity of two crops of one object."""

    @field_validator("std")
    @classmethod
    def _not_zero(cls, value: Three) -> Three:
        if min(value) <= 0:
            raise ValueError("want numbers above 0")
        return value


def build(options: Options) -> ReId:
    """Return the embedder, not yet open."""
    return ReId(options)


class ReId:
    """An Embedder (pipeline.core.interfaces) that runs one network in fp32."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.min_similarity = options.min_similarity
        self._compiled: Any = None

    def open(self) -> None:
        """Load the weights; raises ModelError if the output is not one vector per picture."""
        mark_used()
        from pipeline.models.resolve import find_weights

        path = find_weights(self._options.model)
        if path.suffix.lower() not in (".onnx", ".xml"):
            raise ModelError(
                f"model: {path} has suffix {path.suffix!r}; re-identification networks are .onnx "
                "and OpenVINO folders"
            )
        files = CompiledFiles(path, (sys.modules[__name__],), None)
        found = files.facts("embedder", ".json", lambda: [*_layout(path)])
        batch, size, kind, channels_last = found
        self._layout = PictureInput(batch, (size[0], size[1]), kind, channels_last)
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if (available := cores()).rationed:
            config["INFERENCE_NUM_THREADS"] = str(available.threads)
        shape = self._layout.shape(batch, self._layout.size or _SIZE)

        def compile_it() -> Any:
            network = _read(path)
            network.reshape(shape)
            return openvino_core().compile_model(network, "CPU", config)

        with one_line(f"model: {path} cannot be run on pictures of {size[1]}x{size[0]}"):
            self._compiled = files.compiled(shape, config, compile_it)
        self._output = vector_output(self._compiled, path, _OUTPUT, batch)
        self._is_raw = self._takes_raw(path)

    def _takes_raw(self, path: Path) -> bool:
        if self._options.pixels != "auto":
            return self._options.pixels == "raw"
        return self._layout.kind == "u8" or path.stem.startswith(_RAW_NAMES)

    def embed(self, image: Image, xyxy: Float32) -> Float32:
        """Return a unit vector f32[N,D] for each box f32[N,4] of a picture BGR u8[H,W,3]."""
        if self._compiled is None:
            raise ModelError("embedder reid: embed before open")
        numbers = self._compiled.outputs[self._output].partial_shape[1].get_length()
        inputs, batch = self._inputs(image, xyxy), self._layout.batch or 1
        vectors = np.empty((-(-len(inputs) // batch) * batch, numbers), np.float32)
        with one_line(f"model: {self._options.model} failed on a picture"):
            for at in range(0, len(inputs), batch):
                some = inputs[at : at + batch]
                rest = np.zeros((batch - len(some), *some.shape[1:]), some.dtype)
                answer = self._compiled([np.concatenate((some, rest))])[self._output]
                vectors[at : at + batch] = answer.reshape(batch, -1)
        vectors = vectors[: len(inputs)]
        if not np.isfinite(vectors).all():
            raise ModelError(f"model: {self._options.model} answers numbers that are not finite")
        return unit_rows(vectors)

    def _inputs(self, image: Image, xyxy: Float32) -> NDArray[Any]:
        """Return the network's input for the boxes, one row each."""
        import cv2

        layout = self._layout
        height, width = layout.size or _SIZE
        size = (len(xyxy), height, width, 3)
        pixels = np.empty(size, np.uint8 if self._is_raw else np.float32)
        for row, one in zip(pixels, crops(image, xyxy), strict=True):
            small = cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR)
            row[:] = small if self._is_raw else small[..., ::-1]
        if not self._is_raw:
            scale = np.array(self._options.std, np.float32) * 255
            pixels = (pixels - np.array(self._options.mean, np.float32) * 255) / scale
        planes = pixels if layout.channels_last else pixels.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(planes, INPUT_TYPES[layout.kind])

    def close(self) -> None:
        """Release the network; safe to call twice."""
        self._compiled = None


def _read(path: Path) -> Any:
    with one_line(f"model: {path} is not a network that OpenVINO can read"):
        return read_network(path)


def _layout(path: Path) -> PictureInput:
    """Return the input shape to run a network with: one picture, or the batch size it is fixed to.

    Exports may fix the batch size in the middle of the graph, where it cannot be changed.
    """
    network = _read(path)
    given = picture_layout(network, path)
    size = given.size or _SIZE
    batch = 1
    try:
        with one_line(f"model: {path}"):
            network.reshape(given.shape(1, size))
        vector_output(network, path, _OUTPUT)
    except ModelError:
        batch = given.batch or 1
        vector_output(_read(path), path, _OUTPUT, batch)
    return given._replace(batch=batch, size=size)
