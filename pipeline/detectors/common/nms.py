"""Non-maximum suppression: of boxes that show the same object, keep the best one.

From what a network puts out for one picture to that picture's Detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import Detections, Float32, Int32
from pipeline.detectors.common.layouts import Layout
from pipeline.detectors.common.letterbox import Letterbox, undo_xyxy
from pipeline.detectors.common.output_check import Watch

MAX_CANDIDATES = 30_000
"""Boxes beyond the best this many are not looked at: a bound on time, not on quality."""


def suppress(
    xyxy: Float32, score: Float32, class_id: Int32 | None, iou: float, most: int
) -> NDArray[np.int64]:
    """Return i64[K], K <= `most`: the rows that stay, best score first, ties in row order.

    Scores are above 0. Greedy: the best box stays and every box of its class whose intersection
    over union with it is above `iou` goes, then the best of those left, and so on. Without
    `class_id` any two boxes compete. Boxes that are not finite or have no area compete with nobody
    and stand at the end: whoever counts such boxes shall see them.
    """
    usable = usable_xyxy(xyxy) & np.isfinite(score)
    if usable.all():
        return _greedy(xyxy, score, class_id, iou)[:most]
    rows = np.flatnonzero(usable)
    classes = None if class_id is None else class_id[rows]
    stay = rows[_greedy(xyxy[rows], score[rows], classes, iou)]
    return np.concatenate((stay, np.flatnonzero(~usable)))[:most]


def _greedy(xyxy: Float32, score: Float32, class_id: Int32 | None, iou: float) -> NDArray[np.int64]:
    if len(score) == 0:
        return np.empty(0, np.int64)
    ltwh = xyxy.astype(np.float64)
    ltwh[:, 2:] -= ltwh[:, :2]
    # Score threshold (the caller has applied its own), overlap, no adaptive overlap, a bound.
    rest = (0.0, iou, 1.0, MAX_CANDIDATES)
    dnn: Any = cv2.dnn  # its type stubs know nothing of arrays
    if class_id is None:
        stay = dnn.NMSBoxes(ltwh, score, *rest)
    else:
        stay = dnn.NMSBoxesBatched(ltwh, score, class_id, *rest)
    return np.asarray(stay, np.int64).reshape(-1)


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
        """Return the Detections of one picture."""
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
