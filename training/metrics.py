"""Average precision: class-wise suppression, matching at IoU 0.5, 101-point interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from training.data import iou_matrix

MATCH_IOU = 0.5
NMS_IOU = 0.6
LOWEST_SCORE = 0.01


def suppress(xyxy: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per class (xyxy f32 (K, 4), score f32 (K,)) after NMS.

    `xyxy` (N, 4), `scores` (N, C); each box may count for several classes, as COCO's metric allows.
    """
    kept = []
    for column in scores.T:
        rows = np.flatnonzero(column > LOWEST_SCORE)
        rows = rows[np.argsort(-column[rows])[:300]]
        boxes = xyxy[rows]
        xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        keep = cv2.dnn.NMSBoxes(xywh, column[rows], LOWEST_SCORE, NMS_IOU) if len(rows) else []
        keep = np.asarray(keep, np.int64).ravel()
        kept.append((boxes[keep], column[rows][keep]))
    return kept


class AveragePrecision:
    """Collects detections and labels picture by picture; `result` gives AP at IoU 0.5 per class."""

    def __init__(self, classes: int) -> None:
        self.labels = np.zeros(classes, np.int64)
        self._scores: list[list[float]] = [[] for _ in range(classes)]
        self._hits: list[list[bool]] = [[] for _ in range(classes)]

    def add(
        self,
        detections: Sequence[tuple[np.ndarray, np.ndarray]],
        gt_xyxy: np.ndarray,
        gt_class: np.ndarray,
    ) -> None:
        """`detections` as `suppress` returns them; the best score chooses its label first."""
        for class_id, (xyxy, score) in enumerate(detections):
            labels = gt_xyxy[gt_class == class_id]
            self.labels[class_id] += len(labels)
            free = np.ones(len(labels), bool)
            overlaps = iou_matrix(xyxy, labels)
            for row in np.argsort(-score):
                overlap = overlaps[row] * free
                best = int(overlap.argmax()) if len(overlap) else -1
                hit = best >= 0 and overlap[best] >= MATCH_IOU
                if hit:
                    free[best] = False
                self._scores[class_id].append(float(score[row]))
                self._hits[class_id].append(bool(hit))

    def result(self) -> np.ndarray:
        """(C,) AP per class, the mean precision at recalls 0, 0.01 ... 1 (COCO's interpolation)."""
        columns = zip(self._scores, self._hits, self.labels, strict=True)
        return np.array(
            [average_precision(np.array(s), np.array(h, bool), n) for s, h, n in columns]
        )


def average_precision(scores: np.ndarray, hits: np.ndarray, labels: int) -> float:
    """Area under the precision envelope over 101 recalls; nan for a class without labels."""
    if labels == 0:
        return float("nan")
    if not len(scores):
        return 0.0
    hits = hits[np.argsort(-scores, kind="stable")]
    found = np.cumsum(hits)
    recall = found / labels
    precision = found / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(envelope, 0.0)[at].mean())
