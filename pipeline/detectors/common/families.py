"""Network families beyond YOLO, recognised here, and only here, by their inputs and outputs.

| family | inputs beside the picture, outputs                             | form       | sure   |
|--------|----------------------------------------------------------------|------------|--------|
| detr   | class logits [1,N,nc] and boxes [1,N,4], cx cy w h from 0 to 1 | queries    | named  |
| detr   | the size wanted; labels [1,N], boxes [1,N,4], scores [1,N]     | detections | yes    |
| rcnn   | boxes [N,4] in pixels, labels [N], scores [N]                  | detections | yes    |
| rcnn   | boxes and scores [1,N,5] in pixels, labels [1,N]               | detections | yes    |
|        | and masks [N,1,h,w] or [1,N,h,w] beside either of them         |            |        |
| ssd    | detection_boxes (y x y x), _scores, _classes of TensorFlow     | detections | yes    |
| ssd    | OpenVINO's DetectionOutput [1,1,N,7]                           | detections | yes    |
| ssd    | boxes [1,N,4] from 0 to 1, labels [1,N], scores [1,N]          | detections | no     |
| ssd    | offsets [1,N,4] and class scores [1,N,nc]                      | anchors    | no     |
| ssd    | feature maps [1,A*(5+nc),h,w] of YOLOv3 or v5, and their kin   | anchors    | no     |

DETR is Carion et al., ECCV 2020, and what came of it: RT-DETR (Zhao et al., 2024), D-FINE (Peng et
al., 2025), RF-DETR. R-CNN is Ren et al., NeurIPS 2015; SSD is Liu et al., ECCV 2016. What is sure
runs without `kind`; the rest needs it. A network's outputs are joined into one table of boxes
[1,N,6] in its graph, so that all that follows is what YOLO networks go through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pipeline.core.errors import ModelError
from pipeline.detectors.common.backend import FamilyOptions, Placing
from pipeline.detectors.common.layouts import FINAL, LayoutVariant
from pipeline.detectors.common.network_graph import SIZE_INPUTS, Graph, Port
from pipeline.detectors.common.probe import RecognisedLayout

Form = Literal["queries", "detections", "anchors"]
Corners = Literal["cxcywh", "xyxy", "yxyx", "offsets"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_COCO_NUMBERS = 91
"""COCO numbers its 80 classes from 1 to 90; 0 is the background."""
_LAYOUTS: dict[Form, str] = {
    "queries": "detr-best",
    "detections": "end-to-end",
    "anchors": "anchors",
}


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """What a network's input looks like: colours, number for white, mean and standard deviation.

    `mean` and `std` are for pixels from 0 to 1, as they are published, in the order of the colours.
    """

    bgr: bool = False
    pixel_max: int = 1
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a network of a family: which outputs hold what, and what its input looks like.

    `boxes`, `scores`, `labels` and `masks` (one for each box) are places of outputs, -1 for none;
    `packed` names an output that holds all but masks. `background`: where among the classes
    "nothing" stands. `several`: a box may be reported for several classes. `class_count` is without
    "nothing", None where it is not seen.
    """

    kind: str
    form: Form
    boxes: int = -1
    scores: int = -1
    labels: int = -1
    masks: int = -1
    packed: Literal["", "dets", "detection-output", "maps"] = ""
    corners: Corners = "xyxy"
    normalised: bool = False
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    background: Literal["none", "first", "last", "both"] = "none"
    several: bool = False
    class_count: int | None = None
    picture: int = 0
    size_input: int | None = None
    format: PictureFormat = field(default_factory=PictureFormat)
    placing: Placing = "stretch"
    input_size: tuple[int, int] | None = None
    anchors: tuple[int, ...] = ()

    @property
    def mask_boxes(self) -> Literal["exact", "rounded"]:
        """Return what masks cover: torchvision's networks are recognised by their class 0."""
        return "rounded" if self.background == "first" else "exact"

    def recognised(self) -> RecognisedLayout:
        """Return the layout of the table that the outputs are joined into."""
        name = _LAYOUTS[self.form]
        if self.form == "anchors" and self.corners == "xyxy":
            name = "deepstream"
        variant = LayoutVariant(name, self.class_count, normalised=self.normalised, usual=True)
        repeats = self.kind == "detr" and self.form == "detections" and not self.several
        return RecognisedLayout(
            variant,
            self.format.pixel_max,
            placing=self.placing,
            repeats=repeats,
            is_family=True,
        )


def find_reading(path: Path, graph: Graph, options: FamilyOptions) -> Reading | None:
    """Return how to read a network, None for one to be read as YOLO's: one table of boxes.

    Raises ModelError where the options name a family that it is not of.
    """
    readers = _READERS.values() if options.kind is None else [_READERS[options.kind]]
    found = next(filter(None, (read(graph, options) for read in readers)), None)
    if found is None:
        if options.kind is None or (options.kind == "detr" and _is_table(graph)):
            return None
        others = [kind for kind, read in _READERS.items() if read(graph, FamilyOptions())]
        right = others[0] if others else "yolo" if _is_table(graph) else None
        came = ", ".join(_shown(port) for port in graph.outputs)
        raise ModelError(
            f"model: {path} has outputs {came}, want {_WANTED[options.kind]}"
            f"{f'; it is of kind: {right}' if right else ''}"
        )
    _check_options(path, found, options)
    found = _with_options(_with_inputs(path, graph, found), options)
    if found.placing in ("native", "shortest") and (
        options.imgsz or None not in graph.inputs[found.picture].shape[-3:]
    ):
        return replace(found, placing="letterbox")
    return found


def _check_options(path: Path, found: Reading, options: FamilyOptions) -> None:
    """Raise ModelError for an option that does nothing for a network of this form."""
    given: dict[str, object] = {}
    if found.form == "detections":
        given["scores"] = options.scores
    if found.corners != "offsets":
        given["anchors"] = options.anchors
    for option, value in given.items():
        if value:
            raise ModelError(
                f"{option}: does nothing for {path}, which finishes its boxes itself; leave it out"
            )


def check_table(path: Path, found: RecognisedLayout, options: FamilyOptions) -> RecognisedLayout:
    """Return the layout of a network with one table, placed as the options' family wants it.

    Raises ModelError for one that is not of that family.
    """
    if options.kind is None:
        return found
    if found.variant.name not in FINAL:
        raise ModelError(f"model: {path} is laid out as {found.variant}; it is of kind: yolo")
    return replace(found, placing=options.placing or "stretch")


def hint(graph: Graph) -> str:
    """Return which other kinds can read outputs that `yolo` cannot; "" if none can."""
    kinds = [
        f"kind: {kind}{how}"
        for kind, how in (("detr", ""), ("ssd", " with its anchors"))
        if _READERS[kind](graph, FamilyOptions(kind=kind, anchors=(1,)))
    ]
    return f"; read perhaps with {' or '.join(kinds)}" if kinds else ""


def _detr(graph: Graph, options: FamilyOptions) -> Reading | None:
    found = _labelled(graph, batched=True)
    if found and graph.size_input is not None:
        return replace(found, kind="detr", normalised=True)
    pair = _boxes_and_classes(graph)
    if pair is None:
        return None
    boxes, scores = pair
    is_rf = boxes == graph.output("dets") and scores == graph.output("labels")
    named = boxes == graph.output("pred_boxes") and scores == graph.output("logits", "pred_logits")
    if not (named or is_rf or options.kind):
        return None
    count = graph.outputs[scores].shape[2]
    # The first DETR: COCO's numbers and, behind them, "nothing".
    is_first = count == _COCO_NUMBERS + 1
    return Reading(
        "detr",
        "queries",
        boxes,
        scores,
        corners="cxcywh",
        normalised=True,
        activation=_activation(graph, scores, "softmax" if is_first else "sigmoid"),
        background="both" if is_first else "first" if count == _COCO_NUMBERS else "none",
        class_count=count,
        format=PictureFormat(mean=IMAGENET_MEAN, std=IMAGENET_STD)
        if is_rf or count in (_COCO_NUMBERS, _COCO_NUMBERS + 1)
        else PictureFormat(pixel_max=graph.pixel_max or 1),
    )


def _rcnn(graph: Graph, options: FamilyOptions) -> Reading | None:
    found = _labelled(graph, batched=False)
    if found is None and graph.output("detection_boxes") is None:
        packed = [port.fits(1, None, 5) for port in graph.outputs]
        labels = [port.whole and port.fits(1, None) for port in graph.outputs]
        if True in packed and True in labels:
            found = Reading(
                "rcnn", "detections", packed.index(True), labels=labels.index(True), packed="dets"
            )
    if found is None:
        return None
    # Detectron2 subtracts means of pixels up to 255; torchvision's scale pictures themselves.
    found = replace(found, masks=_masks(graph))
    style = options.style or ("detectron2" if graph.pixel_max == 255 else "torchvision")
    count = graph.score_classes
    if style == "detectron2" or found.packed:
        return replace(
            found,
            kind="rcnn",
            class_count=None if count is None else count - 1,
            format=PictureFormat(bgr=True, pixel_max=255),
            placing="shortest",
        )
    return replace(
        found,
        kind="rcnn",
        background="first",
        class_count=count,
        placing="native",
    )


def _ssd(graph: Graph, options: FamilyOptions) -> Reading | None:
    named = [graph.output(f"detection_{what}") for what in ("boxes", "scores", "classes")]
    raw = PictureFormat(pixel_max=255)
    if None not in named:
        boxes, scores, labels = (place or 0 for place in named)
        return Reading(
            "ssd", "detections", boxes, scores, labels, corners="yxyx", normalised=True,
            background="first", class_count=graph.score_classes, format=raw,
        )  # fmt: skip
    if len(graph.outputs) == 1 and graph.outputs[0].fits(1, 1, None, 7):
        return Reading(
            "ssd", "detections", 0, packed="detection-output", normalised=True,
            background="first", format=PictureFormat(bgr=True, pixel_max=255),
        )  # fmt: skip
    if options.kind != "ssd":
        return None
    found = _labelled(graph, batched=True)
    if found is not None:
        return replace(found, kind="ssd", normalised=True, background="first")
    if options.anchors and _are_maps(graph):
        return Reading(
            "ssd", "anchors", packed="maps", corners="offsets", activation="sigmoid",
            anchors=options.anchors, class_count=_classes_of_map(graph, options.anchors),
        )  # fmt: skip
    pair = _boxes_and_classes(graph)
    if pair is None:
        return None
    boxes, scores = pair
    corners: Corners = "offsets" if options.anchors else "xyxy"
    activation = _activation(graph, scores, "softmax" if options.anchors else "none")
    return Reading(
        "ssd", "anchors", boxes, scores, corners=corners, normalised=corners == "xyxy",
        activation=activation, background="first", class_count=graph.outputs[scores].shape[2],
    )  # fmt: skip


_READERS: dict[str, Callable[[Graph, FamilyOptions], Reading | None]] = {
    "detr": _detr,
    "rcnn": _rcnn,
    "ssd": _ssd,
}
_WANTED = {
    "detr": "class scores [1,N,classes] and boxes [1,N,4], or labels, boxes and scores and an "
    "input orig_target_sizes",
    "rcnn": "boxes [N,4], labels [N] and scores [N]",
    "ssd": "detection_boxes, detection_scores and detection_classes, or boxes [1,N,4] with labels "
    "and scores, or offsets [1,N,4] and class scores [1,N,classes] with the option anchors",
}


def _labelled(graph: Graph, *, batched: bool) -> Reading | None:
    """Return where boxes, labels (whole numbers) and scores are, with a side for the batch."""
    first = (1,) if batched else ()
    boxes = [not port.whole and port.fits(*first, None, 4) for port in graph.outputs]
    labels = [port.whole and port.fits(*first, None) for port in graph.outputs]
    scores = [not port.whole and port.fits(*first, None) for port in graph.outputs]
    if not (True in boxes and True in labels and True in scores):
        return None
    return Reading("", "detections", boxes.index(True), scores.index(True), labels.index(True))


def _masks(graph: Graph) -> int:
    """Return the place of masks [N,1,h,w] or [1,N,h,w], -1 for none."""
    fitting = [
        port.fits(None, 1, None, None) or port.fits(1, None, None, None) for port in graph.outputs
    ]
    return fitting.index(True) if fitting.count(True) == 1 else -1


def _boxes_and_classes(graph: Graph) -> tuple[int, int] | None:
    """Return the places of boxes [1,N,4] and of classes' scores [1,N,nc], where that is all."""
    tables = [
        place
        for place, port in enumerate(graph.outputs)
        if port.fits(1, None, None) and not port.whole
    ]
    if len(tables) != 2 or graph.outputs[tables[0]].shape[1] != graph.outputs[tables[1]].shape[1]:
        return None
    fours = [place for place in tables if graph.outputs[place].shape[2] == 4]
    # With four classes only the names can decide.
    boxes = fours[0] if len(fours) == 1 else graph.output("pred_boxes", "dets", "boxes")
    if boxes is None or boxes not in fours:
        return None
    return boxes, tables[1 - tables.index(boxes)]


def _are_maps(graph: Graph) -> bool:
    return all(len(port.shape) in (4, 5) for port in graph.outputs)


def _classes_of_map(graph: Graph, per_cell: tuple[int, ...]) -> int | None:
    """Return how many classes feature maps [1,A*(5+nc),h,w] or [1,A,h,w,5+nc] have."""
    shape = graph.outputs[0].shape
    if len(shape) == 5:
        return None if shape[4] is None else shape[4] - 5
    return None if shape[1] is None else shape[1] // per_cell[0] - 5


def _is_table(graph: Graph) -> bool:
    return sum(len(port.shape) == 3 for port in graph.outputs) == 1


def _activation(
    graph: Graph, scores: int, usual: Literal["none", "sigmoid", "softmax"]
) -> Literal["none", "sigmoid", "softmax"]:
    """Return the function from outputs to scores: none if the graph contains it."""
    done = scores < len(graph.ends) and graph.ends[scores] in ("Sigmoid", "Softmax", "SoftMax")
    return "none" if done else usual


def _with_inputs(path: Path, graph: Graph, found: Reading) -> Reading:
    """Return the reading with the places of its inputs; raises ModelError for more than known."""
    size = graph.size_input
    others = [place for place in range(len(graph.inputs)) if place != size]
    if len(others) != 1:
        came = ", ".join(_shown(port) for port in graph.inputs)
        raise ModelError(
            f"model: {path} has inputs {came}, want a picture and at most {SIZE_INPUTS[0]}"
        )
    return replace(found, picture=others[0], size_input=size, input_size=graph.resized_to)


def _with_options(found: Reading, options: FamilyOptions) -> Reading:
    """Return the reading as the user wants it, and the number of classes without "nothing"."""
    look = found.format
    look = PictureFormat(
        bgr=look.bgr if options.colours is None else options.colours == "bgr",
        pixel_max=options.input_scale or look.pixel_max,
        mean=options.mean or look.mean,
        std=options.std or look.std,
    )
    background = options.background or found.background
    count = found.class_count
    if count is not None:
        count -= {"none": 0, "both": 2}.get(background, 1)
    return replace(
        found,
        format=look,
        placing=options.placing or found.placing,
        activation=options.scores or found.activation,
        background=background,
        several=options.multi_label,
        class_count=count,
    )


def _shown(port: Port) -> str:
    sides = ",".join("?" if side is None else str(side) for side in port.shape)
    return f"{min(port.names, default='?')} [{sides}]"
