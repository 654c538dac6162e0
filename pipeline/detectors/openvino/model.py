"""OpenVINO model: an `.onnx` file or OpenVINO folder, compiled to take decoded pictures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.data import Float32, Image
from pipeline.core.errors import ModelError
from pipeline.detectors.common.backend import (
    ExtraColumns,
    FamilyOptions,
    LayoutOverrides,
    Network,
)
from pipeline.detectors.common.families import find_reading, hint
from pipeline.detectors.common.masks_and_keypoints import (
    Shape,
    find_extra,
    find_prototypes,
    other_task,
    without_extra,
)
from pipeline.detectors.common.probe import RecognisedLayout, recognise
from pipeline.detectors.openvino.family_model import FamilyModel, graph_of
from pipeline.detectors.openvino.graph import (
    find_best_class,
    is_quantized,
    pixel_max_of,
    take_pictures,
)
from pipeline.models.metadata import BOX_TASKS, Metadata, check_task, read_metadata
from pipeline.models.openvino_library import (
    import_openvino,
    metadata_of,
    one_line,
    openvino_core,
    openvino_errors,
    picture_input,
    read_network,
    sides_of,
)

STRIDE = 32
_CHEAP_SIDE = 320
PROBE_SIZE = (640, 640)
"""Probe size of networks for pictures of any size; (height, width)."""


def open_network(path: Path, options: FamilyOptions) -> PictureModel | FamilyModel:
    """Read a network according to its family and the options; raises ModelError."""
    model = _read(path)
    with one_line(f"model: {path} is not a network that OpenVINO can read"):
        reading = find_reading(path, graph_of(model), options)
        if reading is None:
            return PictureModel(path, model)
        libraries = import_openvino(), openvino_core()
        return FamilyModel(libraries, model, reading, metadata_of(model, path), options.imgsz)


def _read(path: Path) -> Any:
    with one_line(f"model: {path} is not a network that OpenVINO can read"):
        return read_network(path)


class PictureModel:
    """An OpenVINO network with one picture as input; raises ModelError for anything else.

    `fixed_size` is (height, width), or None if the network takes any; `network` are the facts in
    the weights, `metadata` everything the exporter wrote.
    """

    family: str | None = None
    """The family beyond YOLO that it is of: see FamilyModel."""

    def __init__(self, path: Path, model: Any = None) -> None:
        self._ov = import_openvino()
        self._path = path
        self._model = _read(path) if model is None else model
        self.fixed_size = self._check_input()
        with one_line(f"model: {path} does not fit input of {PROBE_SIZE}"):
            self.metadata = metadata_of(self._model, path)
            self.network = self._describe(read_metadata(self.metadata))

    def _check_input(self) -> tuple[int, int] | None:
        port, sides = picture_input(self._model, self._path)
        if len(sides) != 4 or sides[1] not in (3, None):
            raise ModelError(
                f"model: {self._path} has input {port.partial_shape}, want [1,3,height,width]"
            )
        if sides[0] not in (1, None):
            raise ModelError(
                f"model: {self._path} takes {sides[0]} pictures at a time, want one or any number: "
                "export it with batch 1 or with dynamic axes"
            )
        self._type = port.element_type.to_string()
        if self._type not in _INPUT_TYPES:
            raise ModelError(
                f"model: {self._path} takes {self._type}, want {' or '.join(_INPUT_TYPES)}"
            )
        height, width = sides[2:]
        return None if height is None or width is None else (height, width)

    def _describe(self, metadata: Metadata) -> Network:
        check_task(metadata, self._path, *BOX_TASKS)
        size = self.fixed_size or PROBE_SIZE
        shapes = self._output_shapes(size)
        flat = [i for i, shape in enumerate(shapes) if shape.rank.is_static and len(shape) == 3]
        others = [shape for i, shape in enumerate(shapes) if i not in flat]
        # Some exports put the raw feature maps beside the boxes.
        if len(flat) != 1 or any(shape.rank.is_dynamic or len(shape) < 4 for shape in others):
            came = ", ".join(str(shape) for shape in shapes)
            raise ModelError(
                f"model: {self._path} has outputs {came}, want one with 3 dimensions"
                f"{other_task(shapes) or hint(graph_of(self._model))}"
            )
        self.output = flat[0]
        table, extra = self._find_extra(metadata, shapes, size)
        return Network(
            size,
            table,
            metadata.names,
            metadata.final,
            metadata.stride or self._find_stride(),
            _PIXEL_MAX.get(self._type) or pixel_max_of(self._model),
            extra,
            metadata.longest_side,
        )

    def _find_extra(
        self, metadata: Metadata, shapes: list[Any], size: tuple[int, int]
    ) -> tuple[Shape, ExtraColumns | None]:
        """Return the table's shape without the columns of masks or keypoints, and those."""
        sides = {place: tuple(sides_of(shape)) for place, shape in enumerate(shapes)}
        table = sides.pop(self.output)
        found = find_prototypes([*sides.values()], metadata.task, size)
        self.prototypes = None if found is None else [*sides][found]
        count = None if self.prototypes is None else sides[self.prototypes][1]
        try:
            extra = find_extra(metadata, table, count)
            return without_extra(table, extra), extra
        except ModelError as error:
            raise ModelError(f"model: {self._path}: {error}") from None

    def _output_shapes(self, size: tuple[int, int]) -> list[Any]:
        trial = self._model.clone()
        trial.reshape([1, 3, *size])
        return [output.partial_shape for output in trial.outputs]

    def _find_stride(self) -> int:
        """Return what the sides of the input must be multiples of, where the file does not say."""
        if self.fixed_size is not None:
            return STRIDE
        for stride in (STRIDE, 2 * STRIDE, 4 * STRIDE):
            side = stride * (PROBE_SIZE[0] // stride | 1)  # an odd multiple: of no larger stride
            with suppress(*openvino_errors()):
                self._output_shapes((side, side))
                return stride
        return STRIDE

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the layout of the answer to a probe picture; raises ModelError.

        The layout is the same at all sizes, so one is taken that is cheap and not unusual.
        """
        side = -(-_CHEAP_SIDE // self.network.stride) * self.network.stride
        size = self.fixed_size or (side, side)
        with one_line(f"model: {self._path} cannot be run on input of {size[1]}x{size[0]}"):
            model = self._model.clone()
            model.reshape([1, 3, *size])
            model = self._ov.Model([model.get_results()[self.output]], model.get_parameters(), "p")
            exact = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
            compiled = openvino_core().compile_model(model, "CPU", exact)

        def run(picture: Image, pixel_max: int) -> Float32:
            planes: Any = picture[..., ::-1].transpose(2, 0, 1)[None]
            if self._type != "u8":
                planes = planes * np.float32(pixel_max / 255)
            given = np.ascontiguousarray(planes, _INPUT_TYPES[self._type])
            with one_line(f"model: {self._path} cannot be run on input of {size[1]}x{size[0]}"):
                answer: Any = compiled(given)[0].astype(np.float32)
            if answer.ndim != 3 or len(answer) != 1:
                raise ModelError(f"model: {self._path} answers {answer.shape} to one picture")
            table = np.asarray(answer[0], np.float32)
            extra = self.network.extra
            return table if extra is None else extra.split(table)[0]

        return recognise(replace(self.network, input_size=size), run, forced)

    @property
    def quantized(self) -> bool:
        """Return whether convolutions or their weights are int8."""
        return is_quantized(self._model)

    def compile(
        self,
        size: tuple[int, int] | None,
        config: Mapping[str, Any],
        *,
        raw_bgr: bool,
        best: bool,
        pixel_max: int | None = None,
    ) -> Any:
        """Return the network compiled for pictures u8[1,H,W,3] BGR of one size, or any (None).

        `raw_bgr` and `pixel_max` as in Layout; with `best` it gives each box's best class,
        not all. Its answer is output 0; output 1, where there is one, are prototypes of masks.
        """
        model = self._model.clone()
        model.reshape([1, 3, *(size or (-1, -1))])
        results = model.get_results()
        wanted = [results[self.output]]
        wanted += [] if self.prototypes is None else [results[self.prototypes]]
        model = self._ov.Model(wanted, model.get_parameters(), "one")
        # What is quantized takes its own way into the first convolution.
        rows = None if self.quantized else size
        model = take_pictures(self._ov, model, rows, raw_bgr=raw_bgr, pixel_max=pixel_max)
        if best:
            extra = self.network.extra
            model = find_best_class(self._ov, model, 0 if extra is None else extra.count)
        return openvino_core().compile_model(model, "CPU", dict(config))


_INPUT_TYPES = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}
_PIXEL_MAX = {"u8": 255}
