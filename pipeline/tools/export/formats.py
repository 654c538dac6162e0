"""Export of weights: `.pt` to ONNX, ONNX to OpenVINO, class names included."""

from __future__ import annotations

import ast
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.atomic_file import replacing, replacing_folder
from pipeline.core.errors import MissingExtraError, ModelError, OutputError
from pipeline.core.install_hints import install_command
from pipeline.detectors.openvino.model import PictureModel
from pipeline.detectors.torch.weights import load_yolo
from pipeline.models.openvino_library import import_openvino, no_telemetry, openvino_core


def onnx_from_pt(weights: Path, onnx: Path, imgsz: int) -> None:
    """Write `.pt` weights as ONNX that takes pictures of any size, through ultralytics' exporter.

    Raises MissingExtraError without ultralytics or onnx, ModelError for weights it cannot export.
    """
    if find_spec("onnx") is None:
        raise MissingExtraError(f"export: .pt weights need onnx: {install_command('ultralytics')}")
    # The exporter writes beside the weights, which may be a place that is not ours to write to.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "weights.pt"
        shutil.copyfile(weights, copy)
        yolo = load_yolo(copy)
        try:
            made = yolo.export(
                format="onnx", dynamic=True, simplify=False, imgsz=imgsz, verbose=False
            )
        except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(f"export: ultralytics cannot export {weights}: {reason[0]}") from error
        with writing_output(onnx), replacing(onnx) as partial:
            shutil.copyfile(made, partial)


def openvino_from_onnx(onnx: Path, folder: Path, stem: str, *, half: bool) -> None:
    """Write an ONNX network as an OpenVINO folder; `half` stores the weights as fp16."""
    metadata = plain_metadata(PictureModel(onnx).metadata)
    save_openvino(read_graph(onnx), folder, stem, metadata, half=half)


def read_graph(path: Path) -> Any:
    """Return a `.onnx` or `.xml` file as an openvino.Model, with its operations fused.

    Unlike what runs a network, what quantizes one does not fuse by itself: x * sigmoid(x) left in
    two pieces gets a quantizer in the middle, which costs a third of the speed.
    """
    openvino = import_openvino()
    with no_telemetry():
        if path.suffix.lower() == ".xml":
            return openvino_core().read_model(path)
        return openvino.convert_model(path)


def save_openvino(
    graph: Any, folder: Path, stem: str, metadata: Mapping[str, Any], *, half: bool
) -> None:
    """Write `stem`.xml, `stem`.bin and metadata.yaml into `folder`, all or nothing."""
    openvino = import_openvino()
    with writing_output(folder), replacing_folder(folder) as partial:
        openvino.save_model(graph, partial / f"{stem}.xml", compress_to_fp16=half)
        text = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True)
        (partial / "metadata.yaml").write_text(text, encoding="utf-8")


def plain_metadata(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what an exporter wrote, with literals such as the class names as values, not text."""
    return {key: _literal(value) for key, value in metadata.items()}


@contextmanager
def writing_output(path: Path) -> Iterator[None]:
    """Raise OutputError where a file or folder cannot be written, or must not be replaced.

    A folder is replaced only where it is empty or holds an OpenVINO network.
    """
    if path.is_dir() and any(path.iterdir()) and not any(path.glob("*.xml")):
        raise OutputError(f"{path} is a folder that holds something else; choose another with -o")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error


def _literal(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, dict | list | int | float | bool) else text
