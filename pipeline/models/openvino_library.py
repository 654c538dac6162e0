"""The OpenVINO library: quiet import, reading of networks, its errors in one line."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from pipeline.core.errors import ModelError

_TELEMETRY, _CONVERTER = "openvino_telemetry", "openvino.tools.ovc"
_hidden: Counter[str] = Counter()
_hiding = threading.Lock()
"""How many threads want a module to be missing now, and the lock of that."""


def import_openvino() -> Any:
    """Return the module `openvino`, imported without its telemetry.

    `import openvino` reports itself to an analytics service and leaves an id in the home folder.
    Where the package that does so is missing OpenVINO goes without; here it is made to be missing,
    and so is its converter of other libraries' networks, a third of the time, until it is used.
    """
    with _missing(_TELEMETRY, *([] if "openvino" in sys.modules else [_CONVERTER])):
        import openvino
    if "convert_model" not in vars(openvino):
        vars(openvino).setdefault("__getattr__", _converter)
    return openvino


def _converter(name: str) -> Any:
    """Return openvino.convert_model, which exporters use: the `__getattr__` of the module."""
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    with no_telemetry():
        from openvino.tools.ovc import convert_model
    return convert_model


@cache
def openvino_core() -> Any:
    """Return OpenVINO's Core, the same for as long as the process lives.

    Its CPU plug-in gives the thread that first uses it a stack for signals, and takes that memory
    away when the plug-in goes, on whatever thread: the next signal would then kill the process.
    """
    return import_openvino().Core()


def no_telemetry() -> AbstractContextManager[None]:
    """Make the package that reports to the analytics service missing while others are imported."""
    return _missing(_TELEMETRY)


@contextmanager
def _missing(*names: str) -> Iterator[None]:
    """Make modules that are not imported yet missing while others are, by several threads too."""
    with _hiding:
        hidden = [name for name in names if _hidden[name] or name not in sys.modules]
        _hidden.update(hidden)
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        with _hiding:
            _hidden.subtract(hidden)
            for name in hidden:
                if not _hidden[name]:
                    del sys.modules[name]


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn what OpenVINO raises into a ModelError without its list of C++ source files."""
    try:
        yield
    except openvino_errors() as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reasons = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
        raise ModelError(f"{what}: {reasons[-1] if reasons else type(error).__name__}") from error


def openvino_errors() -> tuple[type[Exception], ...]:
    """Return what OpenVINO raises for networks that it cannot read or run."""
    with no_telemetry():
        from openvino import frontend
    return (
        RuntimeError,
        ValueError,
        frontend.GeneralFailure,
        frontend.InitializationFailure,
        frontend.NotImplementedFailure,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
    )


def read_network(path: Path) -> Any:
    """Return an `.onnx`, `.xml` or `.pb` file as an openvino.Model; wrap it in `one_line`."""
    # By the frontend's name: left to guess, OpenVINO lets its TensorFlow reader have a go at any
    # damaged file, which prints to stderr.
    with no_telemetry():
        from openvino.frontend import FrontEndManager
    kind = {".onnx": "onnx", ".pb": "tf"}.get(path.suffix.lower(), "ir")
    frontend = FrontEndManager().load_by_framework(kind)
    return frontend.convert(frontend.load(str(path)))


def sides_of(shape: Any) -> list[int | None]:
    """Return the sides of a partial shape of known rank, None for one that is not fixed."""
    return [side.get_length() if side.is_static else None for side in shape]


def picture_input(network: Any, path: Path) -> tuple[Any, list[int | None]]:
    """Return a network's only input, and its sides as of `sides_of`, empty where their number
    is not fixed; raises ModelError where there is not one input.
    """
    if len(network.inputs) != 1:
        raise ModelError(f"model: {path} has {len(network.inputs)} inputs, want one, a picture")
    [port] = network.inputs
    shape = port.partial_shape
    return port, [] if shape.rank.is_dynamic else sides_of(shape)


class PictureInput(NamedTuple):
    """A network's input of pictures: None for a side, or a number of pictures, that is not fixed.

    `size` is (height, width), `kind` the name of the numbers in `INPUT_TYPES`.
    """

    batch: int | None
    size: tuple[int, int] | None
    kind: str
    channels_last: bool

    def shape(self, batch: int, size: tuple[int, int]) -> list[int]:
        """Return the shape of an input of so many pictures of (height, width)."""
        return [batch, *size, 3] if self.channels_last else [batch, 3, *size]


INPUT_TYPES = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}


def picture_layout(network: Any, path: Path) -> PictureInput:
    """Return the layout of a network's only input; raises ModelError where it takes no pictures.

    Channels first or last: what has 3 of them is found by the input's shape.
    """
    port, sides = picture_input(network, path)
    channels_last = len(sides) == 4 and sides[1] != 3 and sides[3] == 3
    if channels_last:
        sides = [sides[0], sides[3], sides[1], sides[2]]
    if len(sides) != 4 or sides[1] not in (3, None):
        raise ModelError(
            f"model: {path} has input {port.partial_shape}, want [1,3,height,width] or "
            "[1,height,width,3], one picture at a time or any number"
        )
    kind = port.element_type.to_string()
    if kind not in INPUT_TYPES:
        raise ModelError(f"model: {path} takes {kind}, want {' or '.join(INPUT_TYPES)}")
    batch, _, height, width = sides
    size = None if height is None or width is None else (height, width)
    return PictureInput(batch, size, kind, channels_last)


def vector_output(network: Any, path: Path, what: str, batch: int = 1) -> int:
    """Return which output holds the numbers of each picture: [1,C], or [1,C,1,1] of a convolution.

    Beside it may be maps. Raises ModelError, which calls the output `what`, where not one fits.
    """
    shapes = [output.partial_shape for output in network.outputs]
    rows = [sides_of(shape) if shape.rank.is_static else [] for shape in shapes]
    found = [
        place
        for place, sides in enumerate(rows)
        if len(sides) >= 2 and sides[0] == batch and all(side == 1 for side in sides[2:])
    ]
    if len(found) != 1:
        came = ", ".join(map(str, shapes))
        raise ModelError(f"model: {path} has outputs {came}, want one {what}")
    return found[0]


def metadata_of(network: Any, path: Path) -> dict[str, str]:
    """Return what an exporter wrote into the ONNX file, or beside or into the OpenVINO one."""
    beside = path.with_name("metadata.yaml")
    if path.suffix.lower() == ".xml" and beside.is_file():
        found = yaml.safe_load(beside.read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in found.items()}
    info = network.get_rt_info()
    if "framework" in info:
        values = info["framework"]
        return {key: values[key].astype(str) for key in values}
    if "model_info" in info and "labels" in info["model_info"]:
        labels = info["model_info"]["labels"].astype(str).split()
        return {"names": repr([label.replace("_", " ") for label in labels])}
    return {}
