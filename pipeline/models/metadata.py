"""Metadata that exporters write into weights, read alike from every file type.

ultralytics and trackline write the same keys everywhere: `metadata_props` of an `.onnx` file,
`metadata.yaml` beside an OpenVINO network (or its `rt_info`), the JSON header of a TensorRT
engine. Values are text in the first and typed in the others. `.pt` weights have attributes instead.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.data import ClassNames
from pipeline.core.errors import ModelError
from pipeline.models.class_names import parse_names

TASK = "detect"
BOX_TASKS = (TASK, "segment", "pose")
"""Tasks of detectors: boxes alone, with masks, with keypoints."""
MIN_SIDE, MAX_SIDE = 32, 8192
"""Shortest and longest side of a network's input."""
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no", "none", "")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata of a network; None (`names`: empty) if the file does not say.

    `task` is detect, segment, pose, ...; `head` the class of the last layer; `stride` divides both
    sides of the input; `end2end` whether the head itself outputs one box per object; `nms` whether
    the export suppresses duplicates after the head; `imgsz` the (height, width) it was exported
    for; `keypoints` how many there are, and of how many numbers, 2 or 3.
    """

    names: ClassNames = field(default_factory=dict)
    task: str | None = None
    head: str | None = None
    stride: int | None = None
    end2end: bool | None = None
    nms: bool | None = None
    imgsz: tuple[int, int] | None = None
    keypoints: tuple[int, int] | None = None

    @property
    def longest_side(self) -> int | None:
        """Return the longer side of `imgsz`, None if the file has no plausible one."""
        side = max(self.imgsz or (0,))
        return side if MIN_SIDE <= side <= MAX_SIDE else None

    @property
    def final(self) -> bool | None:
        """Return whether boxes need no further suppression, None if the file does not say."""
        return True if self.nms else self.end2end


def read_metadata(values: Mapping[str, Any]) -> Metadata:
    """Parse `values`, typed or as text; values that cannot be understood are ignored."""
    args = _literal(values.get("args"))
    nms = values.get("nms", args.get("nms") if isinstance(args, Mapping) else None)
    stride = _number(values.get("stride"))
    return Metadata(
        names=_names(values.get("names")),
        task=_text(values.get("task")),
        head=_text(values.get("head")),
        stride=stride if stride and stride > 0 else None,
        end2end=_flag(values.get("end2end")),
        nms=_flag(nms),
        imgsz=_size(values.get("imgsz")),
        keypoints=_keypoints(values.get("kpt_shape")),
    )


def check_task(metadata: Metadata, path: Path, *wanted: str) -> None:
    """Raise ModelError for a file that was made for none of the tasks `wanted`; default: TASK."""
    *others, last = wanted or (TASK,)
    if metadata.task not in (None, last, *others):
        allowed = f"{', '.join(others)} or {last}" if others else last
        raise ModelError(
            f"model: {path}: this file is for the task {metadata.task}, want {allowed}"
        )


def check_boxes_only(metadata: Metadata, path: Path) -> None:
    """Raise ModelError for a file that does not detect; where it may run if it finds boxes."""
    if metadata.task in BOX_TASKS and metadata.task != TASK:
        raise ModelError(
            f"model: {path}: this file is for the task {metadata.task}, want {TASK}; masks and "
            "keypoints are read from .onnx, on CPU and CUDA: export it with ultralytics"
        )
    check_task(metadata, path)


def _names(value: Any) -> dict[int, str]:
    return {} if value is None else parse_names(value if isinstance(value, str) else repr(value))


def _literal(value: Any) -> Any:
    """Return the value of a literal in a text, the text itself if it is none."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    value = _literal(value)
    if isinstance(value, list | tuple) and value:
        value = max(value)  # a stride per feature map
    return int(value) if isinstance(value, int | float) else None


def _flag(value: Any) -> bool | None:
    text = str(value).strip().casefold()
    if value is None or text not in (*_TRUE, *_FALSE):
        return None
    return text in _TRUE


def _keypoints(value: Any) -> tuple[int, int] | None:
    value = _size(value)
    return value if value is not None and value[0] > 0 and value[1] in (2, 3) else None


def _size(value: Any) -> tuple[int, int] | None:
    value = _literal(value)
    if isinstance(value, int):
        return value, value
    if isinstance(value, list | tuple) and len(value) == 2:
        height, width = value
        if isinstance(height, int) and isinstance(width, int):
            return height, width
    return None
