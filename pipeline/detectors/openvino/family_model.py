"""OpenVINO model of a family beyond YOLO: its graph takes pictures and gives one table of boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.errors import ModelError
from pipeline.detectors.common.backend import IMGSZ, ExtraColumns, LayoutOverrides, Network
from pipeline.detectors.common.families import Reading
from pipeline.detectors.common.network_graph import Graph, Port
from pipeline.detectors.common.probe import RecognisedLayout
from pipeline.detectors.openvino.graph import is_quantized, pixel_max_of
from pipeline.models.metadata import read_metadata
from pipeline.models.openvino_library import sides_of

Size = tuple[int, int]

_SCORES_OF_TENSORFLOW = "convert_scores"


class FamilyModel:
    """An OpenVINO network of a family; has what PictureModel has (see openvino.model).

    Made of the module openvino and its Core, the model as it was read, how `find_reading` says it
    is to be read (`reading`), what the exporter wrote into it, and the option `imgsz`.
    """

    def __init__(
        self,
        libraries: tuple[Any, Any],
        model: Any,
        reading: Reading,
        metadata: Mapping[str, str],
        imgsz: int | None,
    ) -> None:
        self._ov, self._ov_core = libraries
        self._model, self.reading = model, reading
        self.family: str | None = reading.kind
        self.fixed_size = self._find_size(imgsz)
        side = imgsz or IMGSZ
        self.network = Network(
            self.fixed_size or (side, side),
            (1, None, 6),
            read_metadata(metadata).names,
            end2end=reading.form == "detections",
            stride=1,
            pixel_max=reading.format.pixel_max,
            extra=ExtraColumns(own_masks=reading.mask_boxes) if reading.masks >= 0 else None,
        )

    def _find_size(self, imgsz: int | None) -> Size | None:
        """Return the (height, width) of the input, None where it is the picture's own."""
        port = port_of(self._model.inputs[self.reading.picture])
        sides = port.shape[-3:]
        height, width = sides[:2] if port.channels_last else sides[1:]
        if height is not None and width is not None:
            return height, width
        if self.reading.kind == "rcnn":
            return None
        return (imgsz, imgsz) if imgsz else self.reading.input_size or (IMGSZ, IMGSZ)

    @property
    def quantized(self) -> bool:
        """Return whether convolutions or their weights are int8."""
        return is_quantized(self._model)

    def recognise(self, forced: LayoutOverrides) -> RecognisedLayout:
        """Return the layout of the table; the graph was enough to find it."""
        if forced.layout is not None:
            raise ModelError(
                f"layout: {forced.layout} is for networks with one output; this one is of kind: "
                f"{self.reading.kind}"
            )
        return self.reading.recognised()

    def compile(self, size: Size | None, config: Mapping[str, Any], **_of_tables: object) -> Any:
        """Return the network compiled for pictures u8[1,H,W,3] BGR of one size, or any (None).

        Its answer is output 0; output 1, where there is one, is a mask for each box. In fp32 unless
        `config` says otherwise: places of boxes need more digits than bf16 has.
        """
        model = self._model.clone()
        picture = _take_pictures(model, self.reading, size)
        answers = [_table(model, self.reading)]
        if self.reading.masks >= 0:
            answers.append(_masks(model, self.reading.masks))
        joined = self._ov.Model(answers, [picture], self.reading.kind)
        return self._ov_core.compile_model(
            joined, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **config}
        )


def graph_of(model: Any) -> Graph:
    """Return what `common.families` wants to see of an OpenVINO model."""
    from openvino import Type

    ordered = model.get_ordered_ops()
    last = [result.input_value(0).get_node() for result in model.get_results()]
    # What changes only the type of an output says nothing about it.
    ends = [node.input_value(0).get_node() if _is_plain(node) else node for node in last]
    wants_bytes = any(port.element_type == Type.u8 for port in model.inputs)
    return Graph(
        inputs=tuple(port_of(port) for port in model.inputs),
        outputs=tuple(port_of(port) for port in model.outputs),
        ends=tuple(node.get_type_name() for node in ends),
        pixel_max=255 if wants_bytes else pixel_max_of(model),
        score_classes=_score_classes(ordered),
        resized_to=_resized_to(ordered),
    )


def port_of(port: Any) -> Port:
    """Return an input or output in plain words; TensorFlow's names end in :0, which goes."""
    names = frozenset(name.removesuffix(":0") for name in port.get_names())
    whole = port.get_element_type().to_string() in ("i32", "i64")
    return Port(names, _sides(port.get_partial_shape()), whole)


def _sides(shape: Any) -> tuple[int | None, ...]:
    return () if shape.rank.is_dynamic else tuple(sides_of(shape))


def _is_plain(node: Any) -> bool:
    return node.get_type_name() in ("Convert", "Identity")


def _score_classes(ordered: list[Any]) -> int | None:
    """Return how many classes the last softmax is of, or TensorFlow's own name for the scores."""
    found = None
    for node in ordered:
        named = _SCORES_OF_TENSORFLOW in node.get_friendly_name()
        if named or node.get_type_name() == "Softmax":
            sides = _sides(node.get_output_partial_shape(0))
            found = sides[-1] if sides else None
            if named:
                break
    return found


def _resized_to(ordered: list[Any]) -> Size | None:
    """Return the (height, width) of the first pictures of a known size, channels last."""
    for node in ordered:
        if node.get_output_size():
            sides = _sides(node.get_output_partial_shape(0))
            if len(sides) == 4 and sides[3] == 3 and sides[1] and sides[2] and sides[1] > 1:
                return sides[1], sides[2]
    return None


def _take_pictures(model: Any, reading: Reading, size: Size | None) -> Any:
    """Give a model one input, the picture u8[1,H,W,3] BGR; returns that parameter."""
    from openvino import PartialShape, Type
    from openvino import opset13 as ops

    ports = model.inputs
    picture = ports[reading.picture]
    of_picture = port_of(picture)
    rows_last, batched = of_picture.channels_last, len(of_picture.shape) == 4
    height, width = size or (-1, -1)
    sides = [height, width, 3] if rows_last else [3, height, width]
    shapes = {picture: PartialShape([1, *sides] if batched else sides)}
    if reading.size_input is not None:
        shapes[ports[reading.size_input]] = PartialShape([1, 2])
    model.reshape(shapes)
    if reading.size_input is not None:
        # Boxes for a picture of 1x1 are parts of its sides.
        old = ports[reading.size_input].get_node()
        ones = ops.constant(np.ones((1, 2)), dtype=old.get_element_type())
        old.output(0).replace(ones.output(0))
    old = picture.get_node()
    new = ops.parameter([1, height, width, 3], Type.u8, name="picture")
    look = reading.format
    value: Any = new
    if not look.bgr:
        value = ops.gather(value, ops.constant(np.array([2, 1, 0])), ops.constant(3))
    wanted = old.get_element_type()
    if wanted != Type.u8:
        value = _scaled(ops, ops.convert(value, "f32"), reading)
    if not rows_last:
        value = ops.transpose(value, [0, 3, 1, 2])
    if not batched:
        value = ops.squeeze(value, [0])
    if wanted not in (Type.u8, Type.f32):
        value = ops.convert(value, wanted.to_string())
    old.output(0).replace(value.output(0))
    return new


def _scaled(ops: Any, value: Any, reading: Reading) -> Any:
    """Return pixels f32[1,H,W,3] up to 255 with the network's scale, mean and deviation."""
    look = reading.format
    if look.mean is None and look.std is None:
        return value if look.pixel_max == 255 else ops.multiply(value, np.float32(1 / 255))
    mean = np.array(look.mean or (0, 0, 0), np.float32) * 255
    std = np.array(look.std or (1, 1, 1), np.float32) * 255
    return ops.divide(ops.subtract(value, mean), std)


def _table(model: Any, reading: Reading) -> Any:
    """Return a result with the outputs as a table f32[1,N,6]: box, score, class."""
    from openvino import opset13 as ops

    outputs = [result.input_value(0) for result in model.get_results()]
    if reading.form == "detections":
        parts = _detections(ops, outputs, reading)
    else:
        parts = _candidates(ops, outputs, reading)
    boxes, score, class_id = parts
    if reading.corners == "yxyx":
        boxes = ops.gather(boxes, ops.constant(np.array([1, 0, 3, 2])), ops.constant(2))
    return ops.result(ops.concat([boxes, score, class_id], 2))


def _masks(model: Any, place: int) -> Any:
    """Return a result with an output of masks as f32[1,N,h,w]."""
    from openvino import opset13 as ops

    masks = model.get_results()[place].input_value(0)
    if _sides(masks.get_partial_shape())[1] == 1:
        masks = ops.unsqueeze(ops.squeeze(masks, [1]), [0]).output(0)
    return ops.result(ops.convert(masks, "f32"))


def _detections(ops: Any, outputs: list[Any], reading: Reading) -> tuple[Any, Any, Any]:
    """Return boxes [1,N,4], scores [1,N,1] and classes [1,N,1] that a network has finished."""
    if reading.packed == "detection-output":
        rows = ops.reshape(outputs[reading.boxes], [1, -1, 7], special_zero=False)
        boxes, score, class_id = (_columns(ops, rows, *each) for each in ((3, 7), (2, 3), (1, 2)))
    elif reading.packed == "dets":
        rows = ops.convert(outputs[reading.boxes], "f32")
        boxes, score = _columns(ops, rows, 0, 4), _columns(ops, rows, 4, 5)
        class_id = ops.unsqueeze(outputs[reading.labels], [2])
    else:
        batch = [] if len(_sides(outputs[reading.boxes].get_partial_shape())) == 3 else [0]
        boxes = ops.convert(outputs[reading.boxes], "f32")
        boxes = ops.unsqueeze(boxes, batch) if batch else boxes
        score, class_id = (
            ops.unsqueeze(ops.convert(outputs[place], "f32"), [*batch, 2])
            for place in (reading.scores, reading.labels)
        )
    class_id = ops.convert(class_id, "f32")
    if reading.background in ("first", "both"):
        class_id = ops.maximum(ops.subtract(class_id, np.float32(1)), np.float32(0))
    return boxes, score, class_id


def _candidates(ops: Any, outputs: list[Any], reading: Reading) -> tuple[Any, Any, Any]:
    """Return boxes [1,N,4], the best scores [1,N,1] and their classes, of scores per class."""
    if reading.packed == "maps":
        boxes, scores = _boxes_of_maps(ops, outputs, reading)
    else:
        boxes = ops.convert(outputs[reading.boxes], "f32")
        scores = ops.convert(outputs[reading.scores], "f32")
        if reading.activation == "sigmoid":
            scores = ops.sigmoid(scores)
        elif reading.activation == "softmax":
            scores = ops.softmax(scores, 2)
    first = 1 if reading.background in ("first", "both") else 0
    last = -1 if reading.background in ("last", "both") else 2**31 - 1
    if reading.background != "none":
        scores = _columns(ops, scores, first, last)
    if not reading.several:
        best = ops.topk(scores, 1, 2, "max", "none", index_element_type="i32")
        return boxes, best.output(0), ops.convert(best.output(1), "f32")
    # Each box for each class, as the published postprocessing of DETR: the best N of all.
    _, count, classes = _sides(scores.get_output_partial_shape(0))
    if count is None or classes is None:
        raise ModelError("multi_label: the network says neither how many boxes nor classes it has")
    flat = ops.reshape(scores, [1, count * classes], special_zero=False)
    best = ops.topk(flat, count, 1, "max", "value", index_element_type="i32")
    place = best.output(1)
    row = ops.divide(place, np.int32(classes))
    class_id = ops.subtract(place, ops.multiply(row, np.int32(classes)))
    row = ops.reshape(row, [count], special_zero=False)
    return (
        ops.gather(boxes, row, ops.constant(1)),
        ops.unsqueeze(best.output(0), [2]),
        ops.unsqueeze(ops.convert(class_id, "f32"), [2]),
    )


def _boxes_of_maps(ops: Any, outputs: list[Any], reading: Reading) -> tuple[Any, Any]:
    """Return boxes [1,N,4] as a network with anchors has them and scores [1,N,nc], fine maps first.

    A cell's anchors follow one another, cells go row by row.
    """
    assert reading.class_count is not None
    wide = 5 + reading.class_count
    tables = []
    sizes = [_map_size(output) for output in outputs]
    order = sorted(range(len(outputs)), key=lambda place: -sizes[place])
    for place, count in zip(order, reading.anchors, strict=True):
        value = ops.convert(outputs[place], "f32")
        shape = _sides(value.get_output_partial_shape(0))
        if len(shape) == 4:
            _, _, height, width = shape
            value = ops.reshape(value, [1, count, wide, height, width], special_zero=False)
            value = ops.transpose(value, [0, 3, 4, 1, 2])
        else:
            value = ops.transpose(value, [0, 2, 3, 1, 4])
        tables.append(ops.reshape(value, [1, -1, wide], special_zero=False))
    rows = ops.concat(tables, 1)
    objectness = ops.sigmoid(_columns(ops, rows, 4, 5))
    scores = ops.multiply(ops.sigmoid(_columns(ops, rows, 5, wide)), objectness)
    return _columns(ops, rows, 0, 4), scores


def _map_size(output: Any) -> int:
    sides = _sides(output.get_partial_shape())
    height, width = sides[2:4]
    if height is None or width is None:
        raise ModelError("anchors: the network's feature maps have no known size")
    return height * width


def _columns(ops: Any, rows: Any, first: int, end: int) -> Any:
    return ops.slice(rows, [first], [end], [1], [2])
