"""Classifier network on the CPU: `.onnx` files and OpenVINO folders, run by OpenVINO in fp32."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.classifiers._network import Facts
from pipeline.core.cpu_count import cores
from pipeline.core.data import Float32
from pipeline.core.errors import ModelError
from pipeline.models.compiled_files import CompiledFiles
from pipeline.models.openvino_library import (
    INPUT_TYPES,
    import_openvino,
    metadata_of,
    one_line,
    openvino_core,
    picture_layout,
    read_network,
    vector_output,
)

_OUTPUT = "[1,classes] of a classifier"


class OpenVinoNetwork:
    """A `Network` (see _network) with as many pictures in flight as OpenVINO has streams.

    Whether channels come first or last is derived from the input's shape: that axis has size 3.
    """

    def __init__(self, path: Path) -> None:
        self._ov = import_openvino()
        self._path = path
        self._model: Any = None
        self._compiled: Any = None
        self._files = CompiledFiles(path, (sys.modules[__name__],), None)
        found = self._files.facts(None, ".json", self._look)
        size, metadata, self._type, self._channels_last = found
        self.facts = Facts(size and (size[0], size[1]), metadata, 255 if self._type == "u8" else 1)

    def _read(self) -> Any:
        if self._model is None:
            with one_line(f"model: {self._path} is not a network that OpenVINO can read"):
                self._model = read_network(self._path)
        return self._model

    def _look(self) -> list[Any]:
        """Return size, metadata, type and whether channels come last; raises ModelError."""
        network = self._read()
        layout = picture_layout(network, self._path)
        if layout.batch not in (1, None):
            raise ModelError(
                f"model: {self._path} takes {layout.batch} pictures at once, want one or any number"
            )
        metadata = metadata_of(network, self._path)
        return [layout.size, metadata, layout.kind, layout.channels_last]

    def start(self, size: tuple[int, int]) -> None:
        """Compile for input of `size`; raises ModelError if the network is not a classifier."""
        shape = [1, *size, 3] if self._channels_last else [1, 3, *size]
        config = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        if (available := cores()).rationed:
            config["INFERENCE_NUM_THREADS"] = str(available.threads)

        def compile_it() -> Any:
            network = self._read()
            network.reshape(shape)
            vector_output(network, self._path, _OUTPUT)
            return openvino_core().compile_model(network, "CPU", config)

        with one_line(f"model: {self._path} cannot be run on input of {size[1]}x{size[0]}"):
            self._compiled = self._files.compiled(shape, config, compile_it)
        self._model = None
        self._output = vector_output(self._compiled, self._path, _OUTPUT)

    def run(self, planes: Float32) -> Float32:
        """Return the output for each picture; f32[N,3,H,W] in, f32[N,classes] out."""
        answers: list[Float32 | None] = [None] * len(planes)

        def keep(request: Any, place: int) -> None:
            answers[place] = request.get_output_tensor(self._output).data.reshape(-1).copy()

        queue = self._ov.AsyncInferQueue(self._compiled)
        queue.set_callback(keep)
        with one_line(f"model: {self._path} failed on a picture"):
            for place, each in enumerate(planes):
                given = each.transpose(1, 2, 0) if self._channels_last else each
                if self._type == "u8":
                    given = given.round().clip(0, 255)
                queue.start_async({0: given.astype(INPUT_TYPES[self._type])[None]}, place)
            queue.wait_all()
        return np.asarray(answers, np.float32)

    def close(self) -> None:
        """Release the network; safe to call twice."""
        self._compiled = None
