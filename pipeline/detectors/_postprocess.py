"""From what a network puts out for one picture to that picture's Detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data import Detections, Float32, Int32
from pipeline.detectors._layouts import Layout
from pipeline.detectors._letterbox import Letterbox, undo_xyxy
from pipeline.detectors._nms import suppress
from pipeline.detectors._watch import Watch


@dataclass(frozen=True, slots=True)
class Postprocess:
    """Read a network's output, keep the wanted classes, suppress duplicates, undo the letterbox.

    `wanted` i32[K] holds the class ids to keep, None for all; `watch` looks at boxes before that,
    and warns. Called with `output`
    f32[rows, columns] of one picture and its letterbox; returns Detections, best score first.
    """

    layout: Layout
    conf: float
    iou: float
    most: int
    by_class: bool = True
    wanted: Int32 | None = None
    watch: Watch | None = None

    def __call__(self, output: Float32, box: Letterbox) -> Detections:
        xyxy, score, class_id = self.layout.decode(output, self.conf, box.input_size)
        if self.watch is not None:
            self.watch(xyxy, score, class_id, box.input_size)
        if self.wanted is not None:
            keep = np.isin(class_id, self.wanted)
            xyxy, score, class_id = xyxy[keep], score[keep], class_id[keep]
        if self.layout.final:
            rows = np.argsort(-score, kind="stable")[: self.most]
        else:
            rows = suppress(xyxy, score, class_id if self.by_class else None, self.iou, self.most)
        return Detections(undo_xyxy(xyxy[rows], box), score[rows], class_id[rows])
