"""ONNX networks of families beyond YOLO, of a few kilobytes, whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
_TYPES = {"f": TensorProto.FLOAT, "i": TensorProto.INT64}


def network(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    picture: Sequence[int | str] = (1, 3, 64, 64),
    *,
    pixel: int = TensorProto.FLOAT,
    sized: Sequence[str] = (),
    subtracts: float = 0.0,
) -> Path:
    """A network that answers `outputs` whatever picture it sees.

    The outputs in `sized` are boxes from 0 to 1, multiplied by the second input, orig_target_sizes.
    The graph begins with the subtraction of `subtracts` from each pixel, if that is not 0.
    """
    nodes = [helper.make_node("Cast", ["picture"], ["pixels"], to=TensorProto.FLOAT)]
    constants = {"zero": np.zeros(1, np.float32), "mean": np.full(1, subtracts, np.float32)}
    step = "Sub" if subtracts else "Add"
    nodes.append(helper.make_node(step, ["pixels", "mean" if subtracts else "zero"], ["shifted"]))
    nodes.append(helper.make_node("ReduceMean", ["shifted"], ["average"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["average", "zero"], ["nothing"]))
    for name, values in outputs.items():
        kind = values.dtype.kind
        constants[f"{name} is"] = values.astype(np.float32 if kind == "f" else np.int64)
        plain = f"{name} of 1x1" if name in sized else name
        nodes.append(helper.make_node("Cast", ["nothing"], [f"{name} 0"], to=_TYPES[kind]))
        nodes.append(helper.make_node("Add", [f"{name} is", f"{name} 0"], [plain]))
        if name in sized:
            nodes.append(helper.make_node("Mul", [plain, "both corners"], [name]))
    given = [helper.make_tensor_value_info("picture", pixel, list(picture))]
    if sized:
        given.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2]))
        nodes[:0] = [
            helper.make_node("Cast", ["orig_target_sizes"], ["size"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["size", "size"], ["both corners"], axis=1),
        ]
    return _save(path, nodes, constants, given, outputs)


def seeing_network(
    path: Path,
    picture: Sequence[int | str] = (1, 3, 64, 64),
    *,
    count: int = 3,
    names: tuple[str, str] = ("logits", "pred_boxes"),
) -> Path:
    """A DETR with three queries: query i finds class i, its logit the average of channel i."""
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["averages"], axes=[2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["averages", "last"], ["column"]),
        helper.make_node("Mul", ["column", "each its own"], ["own"]),
        helper.make_node("Add", ["own", "none else"], [names[0]]),
        helper.make_node("Identity", ["boxes"], [names[1]]),
    ]
    own = np.eye(3, count, dtype=np.float32)[None]
    constants = {
        "last": np.array([2], np.int64),
        "each its own": own,
        "none else": np.where(own, 0, -50).astype(np.float32),
        "boxes": np.full((1, 3, 4), 0.5, np.float32),
    }
    given = [helper.make_tensor_value_info("picture", TensorProto.FLOAT, list(picture))]
    outputs = dict(zip(names, (np.zeros((1, 3, count)), np.zeros((1, 3, 4))), strict=True))
    return _save(path, nodes, constants, given, outputs)


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    given: list[onnx.ValueInfoProto],
    outputs: Mapping[str, np.ndarray],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        given,
        [
            helper.make_tensor_value_info(name, _TYPES[values.dtype.kind], list(values.shape))
            for name, values in outputs.items()
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
