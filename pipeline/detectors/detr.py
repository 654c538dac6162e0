"""DETR detector: RT-DETR, D-FINE, RF-DETR and relatives, whose boxes need no suppression.

Takes what transformers, the authors' own repositories and ultralytics export: class logits and
boxes, or labels, boxes and scores with an input for the size wanted (see `common.families`).
"""

from __future__ import annotations

from typing import Literal

from pipeline.detectors.common.network_detector import NetworkDetector
from pipeline.detectors.common.network_options import FamilyNetworkOptions


class Options(FamilyNetworkOptions):
    """Options of the DETR detector. Pictures are stretched to the input unless `fit` says so."""

    scores: Literal["sigmoid", "softmax", "none"] | None = None
    """Function from logits to scores; by default sigmoid, and softmax for the first DETR."""
    background: Literal["first", "last", "none"] | None = None
    """Position of the background class, instead of the one derived from the number of classes."""
    multi_label: bool = False
    """Report a box for each class above `conf`, like the published postprocessing, instead of only
    for its best class: trackers take them for separate objects."""


def build(options: Options) -> NetworkDetector:
    """Return the detector, not yet open."""
    family = options.family(
        "detr",
        scores=options.scores,
        background=options.background,
        multi_label=options.multi_label,
    )
    return NetworkDetector("detr", options, family)
