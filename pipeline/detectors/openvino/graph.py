"""Graph rewrites of OpenVINO networks: pictures as input, best class as output, faster on CPUs.

OpenVINO's CPU plug-in computes convolutions with the channels last and moves whole feature maps
around where the graph next to them wants the channels first. At both ends of a YOLO network that
is a twentieth of its time, so the graph there is written to be read with the channels last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Size = tuple[int, int]


def take_pictures(
    ov: Any, model: Any, rows: Size | None, *, raw_bgr: bool, pixel_max: int | None = None
) -> Any:
    """Return the model with u8[1,H,W,3] BGR as input: it then scales and reorders itself.

    `raw_bgr` and `pixel_max` as in Layout (None: 255 with `raw_bgr`, else 1). With the size of the
    pictures in `rows`, (height, width), the way that is fast in bf16 and fp32.
    """
    preprocess = ov.preprocess
    build = preprocess.PrePostProcessor(model)
    picture = build.input(0)
    picture.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    picture.tensor().set_color_format(preprocess.ColorFormat.BGR)
    picture.model().set_layout(ov.Layout("NCHW"))
    steps = picture.preprocess()
    to_one = (pixel_max or (255 if raw_bgr else 1)) == 1
    if to_one and rows is not None and not raw_bgr:
        steps.custom(_scale_in_rows(rows))
    elif model.input(0).element_type != ov.Type.u8:
        steps.convert_element_type(ov.Type.f32)
        if to_one:
            steps.scale(255.0)
    if not raw_bgr:
        steps.convert_color(preprocess.ColorFormat.RGB)
    for place in range(len(model.outputs)):
        build.output(place).tensor().set_element_type(ov.Type.f32)
    return build.build()


def is_quantized(model: Any) -> bool:
    """Return whether a model's convolutions or their weights are int8."""
    kinds = {str(op.get_element_type()) for op in model.get_ops() if _is_weights(op)}
    return bool(kinds & _INT8)


_INT8 = {"<Type: 'int8_t'>", "<Type: 'uint8_t'>"}


def _is_weights(op: Any) -> bool:
    return op.get_type_name() == "Constant" and len(op.get_output_shape(0)) == 4


def pixel_max_of(model: Any) -> int | None:
    """Return 255 where the graph begins with the scaling of such pixels, 1 where it undoes it.

    None where the graph does not show it: most begin with a convolution.
    """
    waiting = [port.get_node() for each in model.inputs[:1] for port in each.get_target_inputs()]
    for _ in range(_LOOK_AT):
        if not waiting:
            return None
        node = waiting.pop(0)
        kind = node.get_type_name()
        if kind in _PASSING:
            waiting += [port.get_node() for port in node.output(0).get_target_inputs()]
            continue
        factor = _constant_beside(node)
        if factor is None or kind not in _SCALES:
            continue
        scale = _SCALES[kind](factor)
        if 1 / 300 < scale < 1 / 20:  # one part in 255, or in a standard deviation of such pixels
            return 255
        if 200 < scale < 300:
            return 1
    return None


_LOOK_AT = 12
_PASSING = ("Convert", "Transpose", "Reshape", "Gather", "Split", "VariadicSplit", "StridedSlice",
            "Slice", "Concat", "Unsqueeze", "Squeeze", "Pad")  # fmt: skip
_SCALES: dict[str, Callable[[float], float]] = {
    "Divide": lambda by: 1 / by if by else 0.0,
    "Multiply": lambda by: by,
    # Means of pixels up to 255 are far above 1.
    "Subtract": lambda by: 1 / 255 if 20 < by < 255 else 0.0,
    "Add": lambda by: 1 / 255 if -255 < by < -20 else 0.0,
}


def _constant_beside(node: Any) -> float | None:
    """Return the mean of the constant that an operation takes beside the picture, if it does."""
    for place in range(node.get_input_size()):
        other = node.input_value(place).get_node()
        if other.get_type_name() == "Convert":  # weights kept as fp16
            other = other.input_value(0).get_node()
        if other.get_type_name() == "Constant":
            return float(np.asarray(other.get_data(), np.float64).mean())
    return None


def _scale_in_rows(size: Size) -> Callable[[Any], Any]:
    """Return a step that makes u8[1,H,W,3] f32 from 0 to 1, row by row.

    What is the same for every number, OpenVINO moves to behind its transposition of the bytes,
    where it takes five times as long. It leaves alone what has a factor for each place in a row.
    """
    from openvino import opset13 as ops

    height, width = size
    factors = np.full((1, 1, width * 3), 1 / 255, np.float32)

    def scale(picture: Any) -> Any:
        rows = ops.reshape(picture, [1, height, width * 3], special_zero=False)
        scaled = ops.multiply(ops.convert(rows, "f32"), ops.constant(factors))
        return ops.reshape(scaled, [1, height, width, 3], special_zero=False).output(0)

    return scale


def find_best_class(ov: Any, model: Any, extra: int = 0) -> Any:
    """Return the model with f32[1,6,N] for f32[1,4+nc,N]: box, best score and its class.

    Of 80 classes' 84 rows a fourteenth is left to copy out, search and keep for each request. The
    last `extra` rows stay as they are, and so do outputs other than the first.
    """
    from openvino import opset13 as ops

    results = model.get_results()
    full = results[0].input_value(0)
    logits = _logits_by_level(full.get_node(), inputs=3 if extra else 2)
    end = -extra if extra else 2**31 - 1
    if logits is None:
        boxes = ops.slice(full, [0], [4], [1], [1])
        best, class_id = _best(ops, ops.slice(full, [4], [end], [1], [1]), axis=1)
    else:
        # The sigmoid keeps the order, so the best class can be found before it, per feature map.
        boxes = full.get_node().input_value(0)
        levels = [_best(ops, ops.transpose(level, [0, 2, 3, 1]), axis=3) for level in logits]
        best, class_id = (
            ops.concat([ops.reshape(level[part], [1, 1, -1], False) for level in levels], 2)
            for part in (0, 1)
        )
        best = ops.sigmoid(best)
    behind = [ops.slice(full, [end], [2**31 - 1], [1], [1])] if extra else []
    rows = ops.concat([boxes, best, class_id, *behind], 1)
    return ov.Model([ops.result(rows), *results[1:]], model.get_parameters(), "best class")


def _best(ops: Any, scores: Any, axis: int) -> tuple[Any, Any]:
    """Return the highest of each and its place, as f32."""
    best = ops.topk(scores, 1, axis, "max", "none", index_element_type="i32")
    return best.output(0), ops.convert(best.output(1), "f32").output(0)


def _logits_by_level(full: Any, inputs: int) -> list[Any] | None:
    """Return each feature map's class logits f32[1,nc,h,w], None where the graph is another.

    The graph known here is the one that ultralytics exports: boxes beside the sigmoid of the
    feature maps' logits, each flattened; masks or keypoints are a third of the `inputs`.
    """
    sigmoid = full.input_value(1).get_node() if _is_concat(full, inputs=inputs, axis=1) else None
    if sigmoid is None or sigmoid.get_type_name() != "Sigmoid":
        return None
    levels = sigmoid.input_value(0).get_node()
    if not _is_concat(levels, inputs=None, axis=2):
        return None
    flat = [levels.input_value(place) for place in range(levels.get_input_size())]
    if any(level.get_node().get_type_name() != "Reshape" for level in flat):
        return None
    maps = [level.get_node().input_value(0) for level in flat]
    return maps if all(_flattens(*pair) for pair in zip(maps, flat, strict=True)) else None


def _is_concat(node: Any, inputs: int | None, axis: int) -> bool:
    if node.get_type_name() != "Concat" or inputs not in (None, node.get_input_size()):
        return False
    along: int = node.get_axis()
    return along in (axis, axis - len(node.get_output_partial_shape(0)))


def _flattens(feature_map: Any, flat: Any) -> bool:
    """Return whether [1,nc,h,w] became [1,nc,h*w], for sure."""
    wide, long = feature_map.get_partial_shape(), flat.get_partial_shape()
    if wide.rank.is_dynamic or long.rank.is_dynamic or len(wide) != 4 or len(long) != 3:
        return False
    return bool(wide[1].is_static and long[1].is_static and wide[1] == long[1])
