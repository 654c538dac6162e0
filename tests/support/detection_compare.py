"""Pairs two sets of detections box by box; frames of the clip that both are made on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.core.boxes import iou_of_xyxy
from pipeline.core.data import Detections, Frame

PIXELS, SCORE = 1.0, 0.01
"""How far equal boxes and scores may be apart."""


def plaza(shared: Path, wanted: Collection[int]) -> Iterator[Frame]:
    capture = cv2.VideoCapture(str(shared / "video" / "plaza_walkers.avi"))
    for index in range(max(wanted) + 1):
        assert capture.grab()
        if index in wanted:
            good, image = capture.retrieve()
            assert good
            yield Frame(image, "plaza", index, index / 10, 0.0)


@dataclass
class Comparison:
    """Boxes of two sets paired one to one, and the scores of those left without a partner."""

    pixels: list[float]
    score: list[float]
    alone: list[float]

    @property
    def equal(self) -> float:
        """The share of pairs that are equal within the tolerance."""
        return float(np.mean((np.array(self.pixels) <= PIXELS) & (np.array(self.score) <= SCORE)))


def compare(found: dict[int, Detections], reference: list[Detections]) -> Comparison:
    result = Comparison([], [], [])
    for index, ours in found.items():
        theirs = reference[index]
        overlap = iou_of_xyxy(ours.xyxy, theirs.xyxy)
        overlap[ours.class_id[:, None] != theirs.class_id[None, :]] = 0
        free_ours, free_theirs = set(range(len(ours))), set(range(len(theirs)))
        for flat in np.argsort(-overlap, axis=None):
            row, column = np.unravel_index(flat, overlap.shape)
            if overlap[row, column] > 0.5 and row in free_ours and column in free_theirs:
                free_ours.remove(row)
                free_theirs.remove(column)
                result.pixels.append(float(np.abs(ours.xyxy[row] - theirs.xyxy[column]).max()))
                result.score.append(float(abs(ours.score[row] - theirs.score[column])))
        result.alone += [float(ours.score[row]) for row in free_ours]
        result.alone += [float(theirs.score[row]) for row in free_theirs]
    return result
