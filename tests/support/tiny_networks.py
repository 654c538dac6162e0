"""ONNX networks of a few kilobytes whose answers are known, written by the tests that use them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
COLOURS = {0: "red", 1: "green", 2: "blue"}


def constant_network(
    path: Path,
    output: np.ndarray,
    size: tuple[int, int] = (64, 64),
    metadata: dict[str, str] | None = None,
    *,
    prototypes: np.ndarray | None = None,
) -> Path:
    """A network that answers `output` [1, rows, columns] whatever picture it sees.

    `prototypes` [1, C, h, w] are a second answer.
    """
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["answer", "nothing"], ["output0"]),
    ]
    constants = {"zero": np.zeros(1, np.float32), "answer": output.astype(np.float32)}
    shapes: tuple[list[int | str], ...] = ([1, 3, *size], [*output.shape])
    if prototypes is not None:
        nodes.append(helper.make_node("Add", ["masks", "nothing"], ["output1"]))
        constants["masks"] = prototypes.astype(np.float32)
        shapes = (*shapes, [*prototypes.shape])
    return _save(path, nodes, constants, shapes, metadata)


def one_box_network(path: Path) -> Path:
    """A network in the v8 layout that finds a person in the middle of every 64 x 48 picture."""
    one_box = np.array([[32], [24], [20], [10], [0.9], [0.0]], np.float32)[None]
    return constant_network(path, one_box, metadata={"names": "{0: 'person', 1: 'car'}"})


def colour_network(
    path: Path, metadata: dict[str, str] | None = None, *, sigmoid: bool = False
) -> Path:
    """A network in YOLOv8's layout for pictures of any size, with a class per colour channel.

    Every cell answers the same box, 20 pixels wide and high around (40, 40), and as score of class
    0, 1 and 2 what the network received there in channel 0, 1 and 2, averaged over the cell; or
    that number's sigmoid, written as ultralytics' export writes it.
    """
    nodes = []
    for stride in (8, 16, 32):
        pool = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        nodes += [
            helper.make_node("AveragePool", ["images"], [f"mean{stride}"], **pool),
            helper.make_node("Reshape", [f"mean{stride}", "flat"], [f"cells{stride}"]),
        ]
    nodes += [
        helper.make_node("Concat", ["cells8", "cells16", "cells32"], ["averages"], axis=2),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["averages"], ["scores"]),
        helper.make_node("ReduceMean", ["scores"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "box"], ["boxes"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    constants = {
        "flat": np.array([1, 3, -1], np.int64),
        "zero": np.zeros(1, np.float32),
        "box": np.array([40, 40, 20, 20], np.float32).reshape(1, 4, 1),
    }
    shapes = ([1, 3, "height", "width"], [1, 7, "boxes"])
    return _save(path, nodes, constants, shapes, metadata or {"names": str(COLOURS)})


def brightness_classifier(
    path: Path,
    *,
    size: tuple[int | str, int | str] = (8, 8),
    channels_last: bool = False,
    softmax: bool = False,
    factors: tuple[float, ...] = (4.0, 0.0, -4.0),
    metadata: dict[str, str] | None = None,
) -> Path:
    """A classifier that answers the mean of all it received times a factor for each class."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["bright"]),
        helper.make_node("MatMul", ["bright", "factors"], ["answer"]),
        helper.make_node("Softmax" if softmax else "Identity", ["answer"], ["output0"]),
    ]
    constants = {
        "column": np.array([-1, 1], np.int64),
        "factors": np.array([factors], np.float32),
    }
    picture = [*size, 3] if channels_last else [3, *size]
    return _save(path, nodes, constants, (["batch", *picture], ["batch", len(factors)]), metadata)


def colour_embedder(
    path: Path,
    *,
    size: tuple[int | str, int | str] = (16, 8),
    channels_last: bool = False,
    fixed_batch: int | None = None,
) -> Path:
    """A network whose vector is the mean of what each channel received.

    `fixed_batch` is in the middle of the graph, as some exports have it, so nothing can change it.
    """
    axes = [1, 2] if channels_last else [2, 3]
    batch: int | str = fixed_batch or "batch"
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=axes, keepdims=1),
        helper.make_node("Reshape", ["means", "rows"], ["rowed"]),
        helper.make_node("MatMul", ["rowed", "each"], ["output0"]),
    ]
    constants = {
        "rows": np.array([fixed_batch, -1] if fixed_batch else [-1, 3], np.int64),
        "each": np.eye(3, dtype=np.float32),
    }
    picture = [*size, 3] if channels_last else [3, *size]
    return _save(path, nodes, constants, ([batch, *picture], [batch, 3]), None)


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shapes: tuple[list[int | str], ...],
    metadata: dict[str, str] | None,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shapes[0])],
        [
            helper.make_tensor_value_info(f"output{place}", TensorProto.FLOAT, shape)
            for place, shape in enumerate(shapes[1:])
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
