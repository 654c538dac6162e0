"""Makes exports of every known family with random weights and says which are taken, which refused.

    python benchmarks/network_exports.py                           prints the table
    python benchmarks/network_exports.py --write docs/networks.md  puts it into that page

Each network is one convolution per feature map with random weights, followed by the exact algebra
of its family, so boxes, scores and classes are known: a taken export whose boxes are not those of
its twin, which gives them plainly, is shown as WRONG and the exit code is 1. Needs onnx.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.core.data import Frame
from pipeline.core.errors import ModelError
from pipeline.detectors.common.decoding import STRIDES, grid
from pipeline.detectors.common.probe import picture
from pipeline.detectors.yolo import Options, build
from pipeline.models.openvino_library import openvino_core

SIZE = (128, 192)
CONF = 0.3
BEGIN, END = "<!-- made by benchmarks/network_exports.py -->\n", "<!-- end -->\n"
P6, TINY = (8, 16, 32, 64), (16, 32)
_RANGES = re.compile(r" \(columns .*?\)(?=:)")
TYPES = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "u8": TensorProto.UINT8}


class Graph:
    """An ONNX graph under construction; values are named by what `op` returns."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """Add an operation; arrays and numbers among its inputs become constants."""
        name = f"v{len(self.nodes)}"
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        self.nodes.append(helper.make_node(kind, names, [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Add a constant: whole arrays as i64, all else as f32."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def part(self, value: str, first: int, end: int, axis: int = 2) -> str:
        """Return some columns."""
        return self.op("Slice", value, np.array([first]), np.array([end]), np.array([axis]))

    def join(self, *values: str, axis: int = 2) -> str:
        """Return values side by side."""
        return self.op("Concat", *values, axis=axis)


@dataclass(frozen=True)
class Parts:
    """What every family is made of, [1,N,...]: `offset` and `logs` in cells, the rest as named."""

    graph: Graph
    offset: str
    logs: str
    centre: str
    side: str
    objectness: str
    logits: str
    scores: str
    extra: str

    def corners(self) -> str:
        """Return left, top, right, bottom."""
        half = self.graph.op("Mul", self.side, 0.5)
        low, high = (self.graph.op(kind, self.centre, half) for kind in ("Sub", "Add"))
        return self.graph.join(low, high)

    def best(self, scores: str) -> tuple[str, str]:
        """Return the best score and its class as f32."""
        g = self.graph
        class_id = g.op("ArgMax", scores, axis=2, keepdims=1)
        return g.op("ReduceMax", scores, axes=[2], keepdims=1), g.op("Cast", class_id, to=1)

    def normalised(self, boxes: str) -> str:
        """Return boxes as parts of the input's sides."""
        return self.graph.op("Div", boxes, np.array([SIZE[1], SIZE[0]] * 2, np.float32))

    def both(self) -> str:
        """Return objectness times score per class."""
        return self.graph.op("Mul", self.objectness, self.scores)


Make = Callable[[Parts], "list[str]"]
"""From the parts to the network's outputs."""


@dataclass(frozen=True)
class Export:
    """One kind of file: how its outputs are made, and what is known to be in them."""

    name: str
    make: Make
    classes: int = 80
    strides: tuple[int, ...] = STRIDES
    anchors: int = 1
    named: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "f32"
    scale: float = 1.0
    bgr: bool = False
    white: int = 1
    has_objectness: bool = False
    most: int | None = None
    batch: int = 1
    extra: int = 0


def parts_of(g: Graph, export: Export) -> Parts:
    """Return the convolutions and what all families have in common."""
    random = np.random.default_rng(len(export.strides) + export.classes)
    wide = 5 + export.classes + export.extra
    source = "images" if export.dtype == "f32" else g.op("Cast", "images", to=1)
    if export.scale != 1:
        source = g.op("Div", source, export.scale)
    gain = 1 / export.white if export.scale == 1 else 1.0
    levels, cells, steps = [], [], []
    for stride in export.strides:
        shape = (export.anchors * wide, 3, stride, stride)
        weights = random.normal(0, gain * 6 / stride, shape).astype(np.float32)
        level = g.op("Conv", source, weights, strides=[stride, stride])
        level = g.op("Reshape", level, np.array([export.batch, export.anchors, wide, -1]))
        level = g.op("Transpose", level, perm=[0, 1, 3, 2])
        levels.append(g.op("Reshape", level, np.array([export.batch, -1, wide])))
        corner, step = grid(SIZE, (stride,))
        cells.append(np.tile(corner, (export.anchors, 1)))
        steps.append(np.tile(step, (export.anchors, 1)))
    raw = g.join(*levels, axis=1)
    corner, step = np.concatenate(cells), np.concatenate(steps)
    offset = g.op("Add", g.op("Mul", g.op("Tanh", g.part(raw, 0, 2)), 0.4), 0.5)
    logs = g.op("Mul", g.op("Tanh", g.part(raw, 2, 4)), 0.7)
    logits = g.op("Sub", g.part(raw, 5, 5 + export.classes), 3.0)
    return Parts(
        graph=g,
        offset=offset,
        logs=logs,
        centre=g.op("Mul", g.op("Add", offset, corner), step),
        side=g.op("Mul", g.op("Exp", logs), step),
        objectness=g.op("Sigmoid", g.part(raw, 4, 5)),
        logits=logits,
        scores=g.op("Sigmoid", logits),
        extra=g.part(raw, 5 + export.classes, wide) if export.extra else "",
    )


def v8(p: Parts) -> str:
    """Return boxes and a score per class."""
    return p.graph.join(p.centre, p.side, p.scores)


def flipped(p: Parts, value: str) -> str:
    """Return a value with a box per column."""
    return p.graph.op("Transpose", value, perm=[0, 2, 1])


def with_objectness(p: Parts) -> str:
    """Return boxes, objectness and a score per class."""
    return p.graph.join(p.centre, p.side, p.objectness, p.scores)


def v6(p: Parts) -> str:
    """Return what `with_objectness` does, with objectness 1."""
    ones = p.graph.op("Add", p.graph.op("Mul", p.objectness, 0.0), 1.0)
    return p.graph.join(p.centre, p.side, ones, p.scores)


def table(p: Parts, *, normalised: bool = False, class_first: bool = False) -> str:
    """Return corners, best score and class."""
    best, class_id = p.best(p.scores)
    boxes = p.normalised(p.corners()) if normalised else p.corners()
    return p.graph.join(boxes, *((class_id, best) if class_first else (best, class_id)))


def top(p: Parts, value: str) -> str:
    """Return the first 300 boxes, as a network that chooses has."""
    return p.graph.part(value, 0, 300, axis=1)


def truth(p: Parts, export: Export) -> str:
    """Return left, top, right, bottom, score, class of every box."""
    best, class_id = p.best(p.both() if export.has_objectness else p.scores)
    value = p.graph.join(p.corners(), best, class_id)
    return p.graph.part(value, 0, export.most, axis=1) if export.most else value


def segment(p: Parts) -> list[str]:
    """Return boxes with 32 mask coefficients."""
    return [flipped(p, p.graph.join(p.centre, p.side, p.scores, p.extra))]


def segment_whole(p: Parts) -> list[str]:
    """Return boxes with 32 mask coefficients, and the prototypes they are for."""
    maps = np.random.default_rng(0).normal(size=(1, 32, SIZE[0] // 4, SIZE[1] // 4))
    return [*segment(p), p.graph.op("Identity", maps)]


def pose(p: Parts) -> list[str]:
    """Return boxes with 17 key points."""
    points = p.graph.op("Mul", p.extra, 50.0)
    return [flipped(p, p.graph.join(p.centre, p.side, p.scores, points))]


def obb(p: Parts) -> list[str]:
    """Return boxes with an angle."""
    angle = p.graph.op("Mul", p.graph.op("Sub", p.graph.op("Sigmoid", p.extra), 0.25), np.pi)
    return [flipped(p, p.graph.join(p.centre, p.side, p.scores, angle))]


def detr(p: Parts) -> list[str]:
    """Return RT-DETR's boxes with a score per class."""
    boxes = p.normalised(p.graph.join(p.centre, p.side))
    return [top(p, p.graph.join(boxes, p.scores))]


def detr_best(p: Parts) -> list[str]:
    """Return RT-DETR's boxes with score and class."""
    boxes = p.normalised(p.graph.join(p.centre, p.side))
    return [top(p, p.graph.join(boxes, *p.best(p.scores)))]


def not_a_number(p: Parts) -> list[str]:
    """Return boxes that are NaN."""
    zero = p.graph.op("Mul", p.objectness, 0.0)
    broken = p.graph.op("Div", zero, zero)
    return [flipped(p, p.graph.join(p.graph.op("Add", p.centre, broken), p.side, p.scores))]


NMS = {"end2end": "False", "args": "{'nms': True, 'batch': 1}"}
YOLOX = {"bgr": True, "white": 255, "has_objectness": True}


def exports() -> Iterator[Export]:
    """Yield every kind of file."""
    yield from _as_trained()
    yield from _changed()
    yield from _refused()


def _as_trained() -> Iterator[Export]:
    one: Make = lambda p: [flipped(p, v8(p))]  # noqa: E731
    five: Make = lambda p: [with_objectness(p)]  # noqa: E731
    yield Export("YOLOv8, 9, 11, 12, v5u", one, named=True, classes=3)
    yield Export("YOLOv8, no metadata", one)
    yield Export("YOLOv8, one class, no metadata", one, classes=1)
    yield Export("YOLOv8 P6 (stride 64)", one, strides=P6)
    yield Export("YOLOv8 P2", one, strides=(4, 8, 16, 32))
    yield Export("YOLOv3-tiny u", one, strides=TINY)
    yield Export("YOLOv5, v7", five, anchors=3, has_objectness=True)
    yield Export("YOLOv5, one class", five, classes=1, anchors=3, has_objectness=True)
    yield Export("YOLOv5 P6, one class", five, 1, P6, anchors=3, has_objectness=True)
    yield Export("YOLOv3-tiny, one class", five, 1, TINY, anchors=3, has_objectness=True)
    yield Export("YOLOv6", lambda p: [v6(p)])
    yield Export("YOLOv6, one class", lambda p: [v6(p)], classes=1)
    raw: Make = lambda p: [p.graph.join(p.offset, p.logs, p.objectness, p.scores)]  # noqa: E731
    yield Export("YOLOX", raw, **YOLOX)
    yield Export("YOLOX, three classes", raw, classes=3, **YOLOX)
    yield Export("YOLOX, decoded", five, **YOLOX)
    yield Export("YOLOX, decoded, three classes", five, classes=3, named=True, **YOLOX)
    yield Export("DeepStream", lambda p: [table(p)])
    final: Make = lambda p: [top(p, table(p))]  # noqa: E731
    yield Export(
        "YOLOv10, 26 end-to-end", final, named=True, metadata={"end2end": "True"}, most=300
    )
    yield Export("YOLOv10, 26, no metadata", final, most=300)
    yield Export("nms=True (end2end: False)", final, named=True, metadata=NMS, most=300)
    yield Export("RT-DETR, scores per class", detr, most=300)
    yield Export("RT-DETR, best class", detr_best, most=300)


def _changed() -> Iterator[Export]:
    one: Make = lambda p: [flipped(p, v8(p))]  # noqa: E731
    turned: Make = lambda p: [v8(p)]  # noqa: E731
    yield Export("YOLOv8, rows and columns exchanged", turned)
    yield Export("the same, three classes with names", turned, classes=3, named=True)
    yield Export("YOLOv5, rows and columns exchanged", lambda p: [flipped(p, with_objectness(p))],
                 anchors=3, has_objectness=True)  # fmt: skip
    yield Export("YOLOv8, fp16 input", one, dtype="f16")
    yield Export("YOLOv8, uint8 input", one, dtype="u8", scale=255.0, white=255)
    yield Export("YOLOv8, input 0..255 divided inside", one, scale=255.0, white=255)
    yield Export("YOLOv8, input 0..255, option input_scale", one, white=255,
                 options={"input_scale": 255})  # fmt: skip
    yield Export("YOLOv8, boxes from 0 to 1", lambda p: [
        flipped(p, p.graph.join(p.normalised(p.graph.join(p.centre, p.side)), p.scores))
    ])  # fmt: skip
    yield Export("end-to-end, boxes from 0 to 1", lambda p: [top(p, table(p, normalised=True))],
                 most=300)  # fmt: skip
    yield Export("end-to-end, class before score", lambda p: [top(p, table(p, class_first=True))],
                 most=300)  # fmt: skip
    yield Export("YOLOv8 exchanged, three classes, option layout", turned, classes=3,
                 options={"layout": "v8"})  # fmt: skip
    yield Export("YOLOX decoded, three classes, option names", lambda p: [with_objectness(p)],
                 classes=3, options={"names": ("a", "b", "c")}, **YOLOX)  # fmt: skip


def _refused() -> Iterator[Export]:
    one: Make = lambda p: [flipped(p, v8(p))]  # noqa: E731
    yield Export("YOLOv8 exchanged, three classes", lambda p: [v8(p)], classes=3)
    yield Export("YOLOX decoded, three classes", lambda p: [with_objectness(p)], 3, **YOLOX)
    yield Export("YOLOv8, logits for scores",
                 lambda p: [flipped(p, p.graph.join(p.centre, p.side, p.logits))])  # fmt: skip
    yield Export("YOLOv8, boxes as corners",
                 lambda p: [flipped(p, p.graph.join(p.corners(), p.scores))])  # fmt: skip
    yield Export("YOLOv8, boxes are NaN", not_a_number)
    yield Export("segment with prototypes", segment_whole, extra=32, named=True,
                 metadata={"task": "segment"})  # fmt: skip
    yield Export("segment with prototypes, no metadata", segment_whole, extra=32)
    for task, make, extra in (("segment", segment, 32), ("pose", pose, 51), ("obb", obb, 1)):
        said = {"task": task}
        yield Export(f"{task}", make, extra=extra, named=True, metadata=said)
        yield Export(f"{task}, no metadata", make, extra=extra)
        yield Export(f"{task}, only names", make, extra=extra, named=True)
    yield Export("classify", lambda p: [p.graph.op("ReduceMax", p.scores, axes=[1], keepdims=0)])
    yield Export("end-to-end pose, no metadata",
                 lambda p: [top(p, p.graph.join(table(p), p.extra))], extra=51)  # fmt: skip
    yield Export("boxes and scores apart (YOLO-NAS)", lambda p: [p.corners(), p.scores])
    yield Export("TensorRT's EfficientNMS", lambda p: [
        p.corners(), *(p.graph.op("Squeeze", each, np.array([2])) for each in p.best(p.scores))
    ])  # fmt: skip
    yield Export("YOLOv8, batch of 4", one, batch=4)


def write(export: Export, path: Path, *, plainly: bool = False) -> Path:
    """Write the network; `plainly` its twin whose output is what should be found."""
    g = Graph()
    parts = parts_of(g, export)
    outputs = [truth(parts, export)] if plainly else export.make(parts)
    shape = [export.batch, 3, *SIZE]
    graph = helper.make_graph(
        g.nodes,
        "export",
        [helper.make_tensor_value_info("images", TYPES[export.dtype], shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    names = {"names": str({n: f"kind {n}" for n in range(export.classes)})} if export.named else {}
    helper.set_model_props(model, {**names, **export.metadata})
    onnx.save(model, str(path))
    return path


def verdict(export: Export, folder: Path) -> tuple[str, str]:
    """Return "taken", "refused" or "WRONG", and the layout or the reason."""
    path = write(export, folder / "net.onnx")
    given = {"model": str(path), "precision": "fp32", "conf": CONF, "iou": 1.0, "max_det": 9999}
    detector = build(Options(**{**given, **export.options}))
    image = picture(SIZE)
    try:
        detector.open()
        (found,) = detector.detect([Frame(image, "probe", 0, 0.0, 0.0)])
    except ModelError as error:
        why = str(error).replace(str(path), "FILE").removeprefix("model: ")
        return "refused", _RANGES.sub("", why).partition("; known are")[0]
    finally:
        layout = getattr(detector, "layout", None)
        detector.close()
    planes: Any = (image if export.bgr else image[..., ::-1]).transpose(2, 0, 1)[None]
    if export.dtype != "u8":
        planes = planes * np.float32(export.white / 255)
    kind = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}[export.dtype]
    twin = openvino_core().compile_model(
        str(write(export, folder / "twin.onnx", plainly=True)),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    wanted = twin(np.ascontiguousarray(planes, kind))[0][0]
    wanted = wanted[wanted[:, 4] > CONF]
    sides = np.array((SIZE[1], SIZE[0]) * 2, np.float32)
    wanted[:, :4] = wanted[:, :4].clip(0, sides)
    got = np.column_stack((found.xyxy, found.score, found.class_id))
    return ("taken" if _same(got, wanted) else "WRONG"), str(layout)


def _same(got: np.ndarray, wanted: np.ndarray) -> bool:
    """Return whether both hold the same boxes in any order, but for rounding at the threshold."""
    if len(wanted) < 5 or abs(len(got) - len(wanted)) > 0.02 * len(wanted):
        return False
    apart = np.zeros((len(got), len(wanted)))
    for column, unit in enumerate((2, 2, 2, 2, 0.02, 0.5)):
        off = np.abs(np.subtract.outer(got[:, column], wanted[:, column])) / unit
        np.maximum(apart, off, out=apart)
    return bool((apart.min(axis=1) < 1).mean() > 0.98 and (apart.min(axis=0) < 1).mean() > 0.98)


def rows() -> Iterator[tuple[Export, str, str]]:
    """Yield each export with its verdict."""
    with tempfile.TemporaryDirectory() as folder:
        kept = os.environ.get("TRACKLINE_CACHE")
        os.environ["TRACKLINE_CACHE"] = folder
        try:
            for export in exports():
                yield (export, *verdict(export, Path(folder)))
        finally:
            os.environ.pop("TRACKLINE_CACHE")
            if kept is not None:
                os.environ["TRACKLINE_CACHE"] = kept


def table_of(found: list[tuple[Export, str, str]]) -> str:
    """Return the table in Markdown."""
    lines = ["| export | result | as, or why not |", "|---|---|---|"]
    lines += [f"| {export.name} | {result} | {why} |" for export, result, why in found]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print or write the table; return 1 where something is silently wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put it between its two marks")
    page = parser.parse_args().write
    found = list(rows())
    text = table_of(found)
    if page is None:
        sys.stdout.write(text)
    else:
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        page.write_text(before + BEGIN + text + END + after, encoding="utf-8")
    return int(any(result == "WRONG" for _, result, _ in found))


if __name__ == "__main__":
    sys.exit(main())
