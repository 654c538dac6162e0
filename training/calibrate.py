"""Make scores mean something: the share of boxes with that score that are right.

Platt scaling (Platt 1999, "Probabilistic outputs for support vector machines"): a straight line
through the logits, two numbers for all classes, fitted to whether people's labels confirm a box.
The order of a class's boxes stays, and with it AP. Task-aligned training leaves scores low (a sure
hit had 0.6), while trackers and people expect what other detectors give.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.metrics import AveragePrecision

LOWEST_SCORE = 0.05  # below lie only boxes that nobody asks for; they would rule the fit
STEPS = 60


class Calibration(NamedTuple):
    """A calibrated logit is `scale * logit + shift`; the export applies it where it raises."""

    scale: float = 1.0
    shift: float = 0.0


def fit(metric: AveragePrecision) -> Calibration:
    """Return the line that fits the judged boxes best, by Newton's method on the log loss."""
    scores, hits = metric.judged()
    known = (scores > LOWEST_SCORE) & (scores < 1)
    logits = np.log(scores[known] / (1 - scores[known]))
    features = np.stack([logits, np.ones_like(logits)], 1)
    line = np.array([1.0, 0.0])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-features @ line))
        gradient = features.T @ (chance - hits[known])
        curvature = features.T * (chance * (1 - chance)) @ features
        line -= np.linalg.solve(curvature, gradient)
    return Calibration(float(line[0]), float(line[1]))
