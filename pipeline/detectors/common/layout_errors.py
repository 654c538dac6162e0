"""Errors about network outputs in an unknown layout, with the supported ones."""

from __future__ import annotations

from pipeline.core.errors import ModelError
from pipeline.detectors.common.decoding import Size, cell_count
from pipeline.detectors.common.network_graph import Shape


def why_none(shape: Shape, size: Size, names: int | None) -> str:
    """Return why an output of this shape, for an input of this size, fits no layout."""
    _, rows, columns = shape
    if names and columns != 5 + names and rows != 4 + names:
        return f"its metadata names {names} classes{_looks_like(shape, names)}"
    if columns is not None and columns < 6:
        return "too narrow"
    return (
        f"N is neither 1 nor 3 times the {cell_count(size)} cells of {size[0]}x{size[1]}"
        if rows is not None
        else "its size does not follow from the input's"
    )


_TASKS = {32: "segment", 51: "pose", 1: "obb"}


def _looks_like(shape: Shape, names: int) -> str:
    """Return the task of an output with more numbers per box than detection needs."""
    _, rows, columns = shape
    for side, besides in ((rows, 4 + names), (columns, 6)):
        if side is not None and (task := _TASKS.get(side - besides)):
            return f" (this looks like the task {task})"
    return ""


def of_classes(names: int | None) -> str:
    """Return the part of a message about the number of classes in the metadata."""
    return f" of {names} classes" if names else ""


def _shown(shape: Shape) -> str:
    return ", ".join("?" if side is None else str(side) for side in shape)


def unknown_layout(shape: Shape, why: str) -> ModelError:
    """Return the error for an output in no known layout."""
    return ModelError(
        f"model: unknown output layout ({_shown(shape)}): {why}; known are (1, 4+classes, N) as "
        "YOLOv8 and 11, (1, N, 5+classes) as YOLOv5 and YOLOX, (1, N, 6) end-to-end"
    )


def refused_output(shape: Shape, why: str) -> ModelError:
    """Return the error for an output that does not match its declared shape."""
    return ModelError(f"model: output ({_shown(shape)}): {why}")
