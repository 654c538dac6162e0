"""What tests of one and of several torch devices share: settings, rules, pictures, one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from support.detection_compare import plaza

from pipeline.core.data import Detections
from pipeline.detectors.common.backend import Backend, Network, Settings
from pipeline.detectors.common.layouts import identify
from pipeline.detectors.common.postprocess import Postprocess


def settings_for(path: Path, **more: Any) -> Settings:
    given = {"device": "cpu", "imgsz": 320, "batch": 3, "precision": "auto"}
    return Settings(path=path, prefer_latency=False, **{**given, **more})


def rules_for(network: Network) -> Postprocess:
    shape, size = network.output_shape, network.input_size
    layout = identify(shape, size, len(network.names), network.end2end)
    return Postprocess(layout, conf=0.25, iou=0.7, max_det=300)


def detected(backend: Backend, images: list[np.ndarray]) -> list[Detections]:
    backend.submit(images)
    return backend.collect()


def pictures(shared: Path, count: int) -> list[np.ndarray]:
    """Frames of the plaza, some of them cut so that they fill another input size."""
    frames = [
        frame.image
        for frame, _ in zip(plaza(shared, range(0, 795, 90)), range(count), strict=False)
    ]
    return [image[:, :500].copy() if n % 3 == 1 else image for n, image in enumerate(frames)]
