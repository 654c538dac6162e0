"""No tracking: every detection is passed on, with track id 0, which means "no identity"."""

from __future__ import annotations

import numpy as np

from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import Detections, Frame, Tracks
from pipeline.core.options import OptionsModel


class Options(OptionsModel):
    """Nothing to set."""


def build(options: Options) -> PassThrough:  # noqa: ARG001 - every plug-in has this shape
    """Return a tracker that tracks nothing."""
    return PassThrough()


class PassThrough:
    """One row per detection, of age 0 and track id 0: sinks write it, overlays print no id."""

    def update(self, frame: Frame, detections: Detections) -> Tracks:  # noqa: ARG002
        """Return the frame's detections that are boxes at all, in their order."""
        rows = np.flatnonzero(usable_xyxy(detections.xyxy))
        return Tracks(
            xyxy=detections.xyxy[rows],
            score=detections.score[rows],
            class_id=detections.class_id[rows],
            track_id=np.zeros(len(rows), np.int64),
            detection=rows.astype(np.int32),
            age_s=np.zeros(len(rows), np.float32),
        )

    def reset(self) -> None:
        """There is nothing to forget."""
