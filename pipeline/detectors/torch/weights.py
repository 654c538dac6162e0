"""Loading of `.pt` weights with ultralytics."""

from __future__ import annotations

import os
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from pipeline.core.errors import MissingExtraError, ModelError
from pipeline.core.install_hints import install_command
from pipeline.detectors.common.metadata import Metadata, check_task

_ENVIRONMENT = {
    # ultralytics looks for the internet, installs what it misses and greets, unless these are set.
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    # Since 8.4 it can refuse pickles that hold anything but a network. Set this to false for
    # weights of your own making that are refused.
    "ULTRALYTICS_SAFE_LOAD": "true",
}

_ZIP = b"PK\x03\x04"


def import_libraries() -> tuple[Any, Any]:
    """Return torch and ultralytics, imported quietly; raises MissingExtraError."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import torch
        import ultralytics
    except ImportError as error:
        raise MissingExtraError(
            f"model: .pt weights need {error.name}: {install_command('ultralytics')}"
        ) from error
    return torch, ultralytics


def load_yolo(path: Path) -> Any:
    """Return a file that detects as an ultralytics.YOLO; raises ModelError or MissingExtraError."""
    _, ultralytics = import_libraries()
    yolo = _load(ultralytics, path)
    check_task(Metadata(task=yolo.task), path)
    return yolo


def load_network(path: Path) -> Any:
    """Return the torch module of a file that detects, fused; errors as of `load_yolo`."""
    model = load_yolo(path).model
    try:
        model = model.eval().fuse(verbose=False).requires_grad_(False)
        model.stride.max(), dict(model.names)  # what the rest of the program asks for
    except Exception as error:
        raise _not_loadable(path, error) from error
    return model


def keep_boxes_exact(network: Any) -> None:
    """Make a network that runs in fp16 work its boxes out in fp32; scores and features stay fp16.

    At 640 pixels neighbouring fp16 numbers are half a pixel apart, which a box that is scaled up
    to the picture shows. The head's last step, from distances to edges to boxes in pixels, is a
    thousandth of the network's work. Heads without that step are left as they are.
    """
    head = network.model[-1]
    inherited = getattr(type(head), "_inference", None)
    if inherited is None or not hasattr(head, "dfl"):
        return
    head.dfl.float()
    head.shape = None  # what it has computed for the last input size is in fp16

    def inference(predictions: dict[str, Any]) -> Any:
        # Of the feature maps only sizes and type are looked at: one channel is enough.
        exact = {
            name: [each[:, :1].float() for each in value] if name == "feats" else value.float()
            for name, value in predictions.items()
        }
        return inherited(head, exact)

    head._inference = inference


def grid_of(network: Any) -> tuple[Any, ...]:
    """Return the tensors that a head computes per input size, which a captured graph goes on using.

    The head itself lets go of them as soon as it sees another size.
    """
    head = network.model[-1]
    return tuple(getattr(head, name, None) for name in ("anchors", "strides"))


def _load(ultralytics: Any, path: Path) -> Any:
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            # Unpickled all the same, random bytes can do and raise anything.
            raise ModelError(
                f"model: {path} is not a file that torch.save of torch 1.6 or later made"
            )
    try:
        # It prints what it thinks of foreign files, over many lines.
        with redirect_stdout(StringIO()):
            return ultralytics.YOLO(path)
    except Exception as error:  # weights of other programs raise whatever their classes do
        raise _not_loadable(path, error) from error


def _not_loadable(path: Path, error: Exception) -> ModelError:
    lines = [_COLOURS.sub("", line).strip() for line in str(error).splitlines()]
    reason = next((line for line in lines if line), type(error).__name__)
    return ModelError(
        f"model: ultralytics cannot load {path}: {reason} (weights of other programs: export them "
        "to .onnx there)"
    )


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
