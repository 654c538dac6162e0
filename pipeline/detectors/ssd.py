"""SSD detector: single-shot networks with anchors, decoded in the network or here.

Takes TensorFlow's object-detection graphs (a frozen `.pb`, or their ONNX), OpenVINO's
DetectionOutput, and ONNX files whose heads are raw, with anchors from a short YAML file: SSD,
RetinaNet, YOLOv3 and v5 (see `common.families` and `common.anchors`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.detectors.common.network_detector import NetworkDetector
from pipeline.detectors.common.network_options import FamilyNetworkOptions, SuppressionOptions

if TYPE_CHECKING:
    from pipeline.detectors.common.decoding import Decode


class Options(SuppressionOptions, FamilyNetworkOptions):
    """Options of the SSD detector. Suppression is for networks that give raw heads."""

    anchors: Path | None = None
    """YAML file with the anchors, for a network that outputs offsets to them: see
    docs/networks.md."""
    scores: Literal["sigmoid", "softmax", "none"] | None = None
    """Function from class outputs to scores, if the graph has none; softmax by default."""
    background: Literal["first", "last", "none"] | None = None
    """Position of the background class; first by default."""


def build(options: Options) -> NetworkDetector:
    """Return the detector, not yet open; raises ModelError for anchors that cannot be read."""
    decode: Decode | None = None
    per_cell: tuple[int, ...] = ()
    if options.anchors is not None:
        from pipeline.detectors.common.anchors import decoder, load_anchors

        file = load_anchors(options.anchors)
        decode, per_cell = decoder(file), file.per_cell
    family = options.family(
        "ssd", scores=options.scores, background=options.background, anchors=per_cell
    )
    return NetworkDetector("ssd", options, family, suppression=options, decode=decode)
