"""Loading of `.pt` files with ultralytics, imported quietly."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from pipeline.core.environment import variables
from pipeline.core.errors import MissingExtraError, ModelError
from pipeline.core.install_hints import install_command

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
    """Return torch and ultralytics, imported quietly; raises MissingExtraError.

    ultralytics reads its variables while it is imported, and sets OMP_NUM_THREADS.
    """
    with variables(_ENVIRONMENT, others=("OMP_NUM_THREADS",)):
        try:
            import torch
            import ultralytics
        except ImportError as error:
            raise missing_library(error) from error
    return torch, ultralytics


def missing_library(error: ImportError) -> MissingExtraError:
    """Return the error for `.pt` weights without a library that they need."""
    return MissingExtraError(
        f"model: .pt weights need {error.name}: {install_command('ultralytics')}"
    )


def load_pt(path: Path) -> Any:
    """Return a file of whatever task as an ultralytics.YOLO.

    Raises ModelError or MissingExtraError.
    """
    _, ultralytics = import_libraries()
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
        raise not_loadable(path, error) from error


def not_loadable(path: Path, error: Exception) -> ModelError:
    """Return the error for a file that ultralytics, or the code in it, stumbled over."""
    lines = [_COLOURS.sub("", line).strip() for line in str(error).splitlines()]
    reason = next((line for line in lines if line), type(error).__name__)
    return ModelError(
        f"model: ultralytics cannot load {path}: {reason} (weights of other programs: export them "
        "to .onnx there)"
    )


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
