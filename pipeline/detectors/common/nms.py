"""Non-maximum suppression: keeps the best of several boxes that show the same object.

| method | what happens to a box that overlaps a better one                                        |
|--------|-----------------------------------------------------------------------------------------|
| greedy | it is removed if intersection over union (IoU) is above `iou`                           |
| diou   | as greedy, but IoU less the squared distance of the centres as a part of the squared    |
|        | diagonal of what encloses both: neighbours in a row stay (Zheng et al., Distance-IoU    |
|        | Loss, AAAI 2020, section "Non-Maximum Suppression using DIoU")                          |
| soft   | it stays with a lower score, times exp(-IoU^2 / sigma), as long as that is above `conf` |
|        | (Bodla et al., Soft-NMS, ICCV 2017, equation 4)                                         |
| wbf    | the box becomes the average of both by score, where their IoU is above `iou` (Solovyev  |
|        | et al., Weighted boxes fusion, Image and Vision Computing 107, 2021)                    |

The score of a fused box is that of its best one. The paper takes the average, as it fuses several
networks' boxes: of one network's, every object has many doubtful ones that would pull it down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import iou_of_xyxy, usable_xyxy
from pipeline.core.data import Float32, Int32
from pipeline.detectors.common.backend import NmsMethod

MAX_CANDIDATES = 30_000
"""Limit of boxes considered, best first: bounds the time, not the quality."""
MAX_IN_VARIANTS = 3_000
"""The same for all methods but greedy, which take a step in Python for each box."""

Float64 = NDArray[np.float64]


class Kept(NamedTuple):
    """Boxes kept, best first: their rows i64[K] among the candidates, `xyxy` and `score`.

    A fused box has the row of its best one.
    """

    rows: NDArray[np.int64]
    xyxy: Float32
    score: Float32


@dataclass(frozen=True, slots=True)
class SuppressionRules:
    """Which boxes compete, and how; `conf` and `sigma` are for soft alone."""

    method: NmsMethod = "greedy"
    iou: float = 0.7
    max_det: int = 300
    conf: float = 0.0
    sigma: float = 0.5


def keep_best(
    xyxy: Float32, score: Float32, class_id: Int32 | None, rules: SuppressionRules
) -> Kept:
    """Return the boxes kept by any method; arguments as of `suppress`."""
    if rules.method == "greedy":
        rows = suppress(xyxy, score, class_id, rules.iou, rules.max_det)
        return Kept(rows, xyxy[rows], score[rows])
    usable = usable_xyxy(xyxy) & np.isfinite(score)
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(-score[rows], kind="stable")[:MAX_IN_VARIANTS]]
    exact = xyxy[rows].astype(np.float64)
    # Offset by class, so that boxes of two classes do not overlap.
    apart = np.zeros((len(rows), 1))
    if class_id is not None and len(rows):
        extent = float(exact.max() - exact.min()) + 1
        apart = class_id[rows, None].astype(np.float64) * extent * 2
    places, boxes, scores = _METHODS[rules.method](exact + apart, score[rows], rules)
    boxes = boxes - apart[places]
    # Boxes that are not finite or have no area come last, so that they can be counted.
    broken = np.flatnonzero(~usable)
    return Kept(
        np.concatenate((rows[places], broken))[: rules.max_det],
        np.concatenate((boxes.astype(np.float32), xyxy[broken]))[: rules.max_det],
        np.concatenate((scores.astype(np.float32), score[broken]))[: rules.max_det],
    )


def suppress(
    xyxy: Float32, score: Float32, class_id: Int32 | None, iou: float, max_det: int
) -> NDArray[np.int64]:
    """Return i64[K], K <= `max_det`: the rows kept, best score first, ties in row order.

    Scores are above 0. Greedy: the best box is kept and every box of its class whose intersection
    over union with it is above `iou` is removed, then the best of the remaining ones, and so on.
    Without `class_id` any two boxes compete. Boxes that are not finite or have no area suppress
    nothing and come last, so that the caller can count them.
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
    import cv2

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


def _diou(xyxy: Float64, score: Float32, rules: SuppressionRules) -> tuple[Any, Float64, Float32]:
    """Greedy suppression by distance-IoU; boxes f64[N,4] come best first, as for all below."""
    stay: list[int] = []
    waiting = np.arange(len(xyxy))
    while len(waiting) and len(stay) < rules.max_det:
        best, rest = int(waiting[0]), waiting[1:]
        stay.append(best)
        one, others = xyxy[best], xyxy[rest]
        between = (one[:2] + one[2:] - others[:, :2] - others[:, 2:]) / 2
        outer = np.maximum(one[2:], others[:, 2:]) - np.minimum(one[:2], others[:, :2])
        distance = (between**2).sum(axis=1) / (outer**2).sum(axis=1)
        waiting = rest[iou_of_xyxy(one[None], others)[0] - distance <= rules.iou]
    return stay, xyxy[stay], score[stay]


def _soft(xyxy: Float64, score: Float32, rules: SuppressionRules) -> tuple[Any, Float64, Float64]:
    """Scores of what overlaps a better box decay, the Gaussian way."""
    left = score.astype(np.float64)
    waiting = np.arange(len(xyxy))
    stay: list[int] = []
    while len(waiting) and len(stay) < rules.max_det:
        at = int(left[waiting].argmax())
        best = int(waiting[at])
        stay.append(best)
        waiting = np.delete(waiting, at)
        left[waiting] *= np.exp(-(iou_of_xyxy(xyxy[[best]], xyxy[waiting])[0] ** 2) / rules.sigma)
        waiting = waiting[left[waiting] > rules.conf]
    return stay, xyxy[stay], left[stay]


def _wbf(xyxy: Float64, score: Float32, rules: SuppressionRules) -> tuple[Any, Float64, Float32]:
    """Boxes of one object are averaged, weighted by score; a box joins the cluster it fits best."""
    fused, weight = np.empty_like(xyxy), np.zeros(len(xyxy))
    first: list[int] = []
    for row, (box, value) in enumerate(zip(xyxy, score.astype(np.float64), strict=True)):
        count = len(first)
        overlap = iou_of_xyxy(box[None], fused[:count])[0]
        at = int(overlap.argmax()) if count else 0
        if not count or overlap[at] <= rules.iou:
            first.append(row)
            at = count
            fused[at] = box
        fused[at] += (box - fused[at]) * value / (weight[at] + value)
        weight[at] += value
    return first, fused[: len(first)], score[first]


_METHODS: dict[str, Callable[[Float64, Float32, SuppressionRules], tuple[Any, Float64, Any]]] = {
    "diou": _diou,
    "soft": _soft,
    "wbf": _wbf,
}
