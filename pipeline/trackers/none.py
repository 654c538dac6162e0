"""No tracking: every detection is passed on, with track id 0, which means "no identity"."""

from __future__ import annotations

from dataclasses import replace

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
        tracks = Tracks.untracked(detections[rows])
        return replace(tracks, detection=rows.astype(np.int32))

    def reset(self) -> None:
        """There is nothing to forget."""
