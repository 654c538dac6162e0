"""Agreement of two detectors on the same pictures: recall, precision, IoU, mAP50."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.boxes import iou_of_xyxy
from pipeline.core.data import Detections

SAME_OBJECT = 0.5
"""Boxes of a class that overlap at least this much show the same object."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of the other detector with the original's `boxes` at its threshold, as truth.

    `recall` and `precision` count the other's boxes at the same threshold; `mean_iou` and
    `score_shift` (other minus original) are over the pairs; `map50` is the mean over classes of the
    average precision at IoU 0.5, so it does not depend on where the other's scores lie.
    """

    frames: int
    boxes: int
    recall: float
    precision: float
    mean_iou: float
    score_shift: float
    map50: float


def agreement(
    original: Sequence[Detections], other: Sequence[Detections], conf: float
) -> Agreement:
    """Return how `other` agrees with `original`, both one Detections per picture.

    Both should hold boxes down to a score well below `conf`, which is the threshold of the truth.
    Nothing to find and nothing found agree fully.
    """
    truth = [each[each.score > conf] for each in original]
    found = [each[each.score > conf] for each in other]
    ious: list[float] = []
    shifts: list[float] = []
    for ours, theirs in zip(truth, found, strict=True):
        for row, column, iou in pairs(ours, theirs):
            ious.append(iou)
            shifts.append(float(theirs.score[column] - ours.score[row]))
    boxes, offered = sum(map(len, truth)), sum(map(len, found))
    return Agreement(
        frames=len(truth),
        boxes=boxes,
        recall=len(ious) / boxes if boxes else 1.0,
        precision=len(ious) / offered if offered else 1.0,
        mean_iou=float(np.mean(ious)) if ious else 1.0,
        score_shift=float(np.mean(shifts)) if shifts else 0.0,
        map50=_map50(truth, other),
    )


def pairs(a: Detections, b: Detections) -> list[tuple[int, int, float]]:
    """Return (row of `a`, row of `b`, IoU) of boxes that show the same object, best overlap first.

    Greedy: each row is in at most one pair; classes must be the same.
    """
    iou = iou_of_xyxy(a.xyxy, b.xyxy) * (a.class_id[:, None] == b.class_id[None, :])
    found: list[tuple[int, int, float]] = []
    free_a, free_b = np.ones(len(a), bool), np.ones(len(b), bool)
    for flat in np.argsort(-iou, axis=None, kind="stable"):
        row, column = divmod(int(flat), max(len(b), 1))
        if iou[row, column] < SAME_OBJECT:
            break
        if free_a[row] and free_b[column]:
            free_a[row] = free_b[column] = False
            found.append((row, column, float(iou[row, column])))
    return found


def _map50(truth: Sequence[Detections], other: Sequence[Detections]) -> float:
    """Return the mean over the truth's classes of the average precision at IoU 0.5."""
    classes = sorted({int(c) for each in truth for c in each.class_id})
    values = []
    for class_id in classes:
        ours = [each[each.class_id == class_id] for each in truth]
        theirs = [each[each.class_id == class_id] for each in other]
        values.append(_average_precision(ours, theirs))
    return float(np.mean(values)) if values else 1.0


def _average_precision(truth: Sequence[Detections], other: Sequence[Detections]) -> float:
    """Return the area under precision over recall, precision made monotone (PASCAL VOC 2010)."""
    scores: list[float] = []
    hits: list[bool] = []
    for ours, theirs in zip(truth, other, strict=True):
        iou = iou_of_xyxy(theirs.xyxy, ours.xyxy)
        taken = np.zeros(len(ours), bool)
        for row in np.argsort(-theirs.score, kind="stable"):
            overlaps = np.where(taken, 0, iou[row])
            best = int(overlaps.argmax()) if len(ours) else -1
            hit = best >= 0 and bool(overlaps[best] >= SAME_OBJECT)
            if hit:
                taken[best] = True
            scores.append(float(theirs.score[row]))
            hits.append(hit)
    order = np.argsort(-np.array(scores), kind="stable")
    hit_so_far: NDArray[np.float64] = np.cumsum(np.array(hits, np.float64)[order])
    precision = hit_so_far / np.arange(1, len(hits) + 1)
    recall = hit_so_far / sum(map(len, truth))
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return float(np.sum(steps * best_from_here))
