"""Loads `.pt` weights with ultralytics, and makes their network ready to run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

from pipeline.errors import MissingExtraError, ModelError
from pipeline.install_hints import install_command

_ENVIRONMENT = {
    # ultralytics looks for the internet, installs what it misses and greets, unless told not to.
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    # Since 8.4 it can refuse pickles that hold anything but a network. Set this to false for
    # weights of your own making that are refused.
    "ULTRALYTICS_SAFE_LOAD": "true",
}

_ZIP = b"PK\x03\x04"

_LOAD_ERRORS = (
    AttributeError,
    EOFError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


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
    if yolo.task != "detect":
        raise ModelError(f"model: {path} is for task {yolo.task!r}, want 'detect'")
    return yolo


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
        return ultralytics.YOLO(path)
    except _LOAD_ERRORS as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"model: ultralytics cannot load {path}: {reason[0]}") from error
