"""Non-maximum suppression: of boxes that show the same object, keep the best one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import Float32, Int32

MAX_CANDIDATES = 30_000
"""Boxes beyond the best this many are not looked at: a bound on time, not on quality."""


def suppress(
    xyxy: Float32, score: Float32, class_id: Int32 | None, iou: float, max_det: int
) -> NDArray[np.int64]:
    """Return i64[K], K <= `max_det`: the rows that stay, best score first, ties in row order.

    Scores are above 0. Greedy: the best box stays and every box of its class whose intersection
    over union with it is above `iou` goes, then the best of those left, and so on. Without
    `class_id` any two boxes compete. Boxes that are not finite or have no area suppress nothing
    and stand at the end, so that the caller can count them.
    """
    usable = usable_xyxy(xyxy) & np.isfinite(score)
    if usable.all():
        return _greedy(xyxy, score, class_id, iou)[:max_det]
    rows = np.flatnonzero(usable)
    classes = None if class_id is None else class_id[rows]
    stay = rows[_greedy(xyxy[rows], score[rows], classes, iou)]
    return np.concatenate((stay, np.flatnonzero(~usable)))[:max_det]


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
