"""Classifier network on the CPU: `.onnx` files and OpenVINO folders, run by OpenVINO in fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.classifiers._network import Facts
from pipeline.core.cpu_count import cores
from pipeline.core.data import Float32
from pipeline.core.errors import ModelError
from pipeline.models.openvino_library import (
    import_openvino,
    metadata_of,
    one_line,
    openvino_core,
    picture_input,
    read_network,
    sides_of,
)

_TYPES = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}


class OpenVinoNetwork:
    """A `Network` (see _network) with several pictures in flight, as many as OpenVINO has streams.

    Channels first or last: what has 3 of them is found by the input's shape.
    """

    def __init__(self, path: Path) -> None:
        self._ov = import_openvino()
        self._path = path
        self._compiled: Any = None
        with one_line(f"model: {path} is not a network that OpenVINO can read"):
            self._model = read_network(path)
            metadata = metadata_of(self._model, path)
        size = self._check_input()
        self.facts = Facts(size, metadata, 255 if self._type == "u8" else 1)

    def _check_input(self) -> tuple[int, int] | None:
        port, sides = picture_input(self._model, self._path)
        self._channels_last = len(sides) == 4 and sides[1] != 3 and sides[3] == 3
        if self._channels_last:
            sides = [sides[0], sides[3], sides[1], sides[2]]
        if len(sides) != 4 or sides[1] not in (3, None) or sides[0] not in (1, None):
            raise ModelError(
                f"model: {self._path} has input {port.partial_shape}, want [1,3,height,width] or "
                "[1,height,width,3], one picture at a time or any number"
            )
        self._type = port.element_type.to_string()
        if self._type not in _TYPES:
            raise ModelError(f"model: {self._path} takes {self._type}, want {' or '.join(_TYPES)}")
        height, width = sides[2:]
        return None if height is None or width is None else (height, width)

    def start(self, size: tuple[int, int]) -> None:
        """Compile for input of `size`; raises ModelError for what is no classifier."""
        shape = [1, *size, 3] if self._channels_last else [1, 3, *size]
        with one_line(f"model: {self._path} cannot be run on input of {size[1]}x{size[0]}"):
            self._model.reshape(shape)
            shapes = [output.partial_shape for output in self._model.outputs]
            self._output = self._find_output(shapes)
            config = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
            if (available := cores()).rationed:
                config["INFERENCE_NUM_THREADS"] = str(available.threads)
            self._compiled = openvino_core().compile_model(self._model, "CPU", config)

    def _find_output(self, shapes: list[Any]) -> int:
        """Return which output holds one number per class: [1,C], or [1,C,1,1] as of a convolution.

        Beside it may be features; anything with boxes or maps is no classifier.
        """
        rows = [sides_of(shape) if shape.rank.is_static else [] for shape in shapes]
        found = [
            place
            for place, sides in enumerate(rows)
            if len(sides) >= 2 and all(side == 1 for side in (sides[0], *sides[2:]))
        ]
        if len(found) != 1:
            came = ", ".join(map(str, shapes))
            raise ModelError(
                f"model: {self._path} has outputs {came}, want one [1,classes] of a classifier"
            )
        return found[0]

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
                queue.start_async({0: given.astype(_TYPES[self._type])[None]}, place)
            queue.wait_all()
        return np.asarray(answers, np.float32)

    def close(self) -> None:
        """Release the network; safe to call twice."""
        self._compiled = None
