"""TensorRT engine as exported by ultralytics: a metadata header, then the plan.

The header is its length as a little-endian 32-bit number, then JSON. See NVIDIA's TensorRT 10
Python API for the rest. An engine runs only with the TensorRT version and kind of GPU it was made
with and for.
"""

from __future__ import annotations

import json
import struct
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import torch

from pipeline.core.errors import MissingExtraError, ModelError
from pipeline.core.install_hints import pip_command
from pipeline.detectors.common.backend import Network
from pipeline.models.metadata import check_boxes_only, read_metadata

Tensor = Any
STRIDE = 32
_MAX_HEADER = 1 << 20
_TYPES = {"FLOAT": torch.float32, "HALF": torch.float16}


class EngineNetwork:
    """A `TensorNetwork` (see batch_slot) that TensorRT runs; one picture input, one box output."""

    def __init__(self, path: Path, device: Any) -> None:
        trt = _import_tensorrt()
        with path.open("rb") as file:
            self._metadata = read_metadata(read_header(file, path))
            plan = file.read()
        self._device, self._path = device, path
        self.stride = self._metadata.stride or STRIDE
        self.imgsz = self._metadata.longest_side
        with torch.cuda.device(device):
            self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise ModelError(
                    f"model: TensorRT {trt.__version__} cannot load {path}: engines run only with "
                    "the version and the kind of GPU they were made with; export it again here"
                )
        self._find_tensors(trt)
        self.fixed_batch, self.fixed_size = self._input_limits()
        # An execution context holds one input size at a time, and so does a captured graph.
        self._contexts: dict[tuple[int, ...], tuple[Any, Tensor]] = {}
        self._last: tuple[Any, ...] = ()

    def describe(self, size: tuple[int, int]) -> Network:
        """Return what the header says, and the shape of the output for one input of `size`."""
        context = self._engine.create_execution_context()
        batch = self.fixed_batch or 1
        context.set_input_shape(self._input, (batch, 3, *size))
        _, *shape = context.get_tensor_shape(self._output)
        said = self._metadata
        return Network(size, (1, *shape), said.names, said.final, self.stride)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return the output [B,rows,columns] for [B,3,H,W]; the work is queued."""
        shape = tuple(pictures.shape)
        if shape not in self._contexts:
            context = self._engine.create_execution_context()
            context.set_input_shape(self._input, shape)
            planes = torch.empty(shape, dtype=self.dtype, device=self._device)
            self._contexts[shape] = context, planes
        context, planes = self._contexts[shape]
        planes.copy_(pictures)  # TensorRT reads planes one after the other, not channels-last
        output = torch.empty(
            tuple(context.get_tensor_shape(self._output)),
            dtype=self._output_type,
            device=self._device,
        )
        context.set_tensor_address(self._input, planes.data_ptr())
        context.set_tensor_address(self._output, output.data_ptr())
        if not context.execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream):
            raise RuntimeError(f"TensorRT cannot run {self._path} on input {shape}")
        self._last = (context, planes)
        return output

    def kept(self) -> tuple[Any, ...]:
        """Return the execution context and its input."""
        return self._last

    def _find_tensors(self, trt: Any) -> None:
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"model: {self._path} has {len(inputs)} inputs and {len(outputs)} outputs, "
                "want one picture in and one table of boxes out"
            )
        self._input, self._output = inputs[0], outputs[0]
        self.dtype = self._type_of(self._input)
        self._output_type = self._type_of(self._output)

    def _type_of(self, name: str) -> Any:
        kind = self._engine.get_tensor_dtype(name).name
        if kind not in _TYPES:
            raise ModelError(f"model: {self._path}: {name} is {kind}, want {' or '.join(_TYPES)}")
        return _TYPES[kind]

    def _input_limits(self) -> tuple[int | None, tuple[int, int] | None]:
        """Return the only batch and the only (height, width) it takes, None where it takes any."""
        batch, _, height, width = self._engine.get_tensor_shape(self._input)
        size = None if -1 in (height, width) else (height, width)
        if batch == -1:
            # What the profile allows is the most; smaller batches run in its place.
            batch = self._engine.get_tensor_profile_shape(self._input, 0)[2][0]
        return batch, size


def read_header(file: BinaryIO, path: Path) -> dict[str, Any]:
    """Return the header's values and leave `file` at the plan; raises ModelError.

    A file without a header is a bare plan: the file is left at its start and {} returned.
    """
    start = file.read(4)
    length = struct.unpack("<I", start)[0] if len(start) == 4 else 0
    if not 0 < length <= _MAX_HEADER:
        file.seek(0)
        return {}
    try:
        found = json.loads(file.read(length).decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        file.seek(0)
        return {}
    if not isinstance(found, dict):
        raise ModelError(f"model: {path} begins with JSON that is no table of what is in it")
    check_boxes_only(read_metadata(found), path)
    return found


def _import_tensorrt() -> Any:
    try:
        tensorrt: Any = import_module("tensorrt")
    except ImportError as error:
        raise MissingExtraError(
            f"model: .engine files need tensorrt: {pip_command('tensorrt')}"
        ) from error
    return tensorrt
