"""R-CNN detector: networks of torchvision and Detectron2, whose graph outputs final boxes.

Takes ONNX files with boxes, labels and scores in pixels of the input: Faster R-CNN, and all that
torchvision exports the same way, RetinaNet, FCOS and SSD (see `common.families`).
"""

from __future__ import annotations

from typing import Literal

from pipeline.detectors.common.network_detector import NetworkDetector
from pipeline.detectors.common.network_options import FamilyNetworkOptions


class Options(FamilyNetworkOptions):
    """Options of the R-CNN detector.

    A network that takes any size gets pictures as they are, as it scales them itself
    (`torchvision`), or with a shortest side of 800 pixels (`detectron2`), unless `imgsz` is set.
    """

    style: Literal["torchvision", "detectron2"] | None = None
    """torchvision (RGB, 0 to 1, label 0 is nothing) or detectron2 (BGR, 0 to 255, labels from 0),
    instead of the style found in the graph."""


def build(options: Options) -> NetworkDetector:
    """Return the detector, not yet open."""
    return NetworkDetector("rcnn", options, options.family("rcnn", style=options.style))
