"""No tracking: every detection is passed on with track id 0, which means "no identity"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.core.boxes import usable_xyxy
from pipeline.core.data import Detections, Frame, Tracks
from pipeline.core.errors import UsageError
from pipeline.core.options import OptionsModel


class Options(OptionsModel):
    """The tracker `none` has no options."""


def build(options: Options) -> PassThrough:  # noqa: ARG001 - every plug-in has this shape
    """Return a tracker that tracks nothing."""
    return PassThrough()


class PassThrough:
    """One row per detection, with age 0 and track id 0: sinks write it, overlays show no id."""

    def update(self, frame: Frame, detections: Detections) -> Tracks:  # noqa: ARG002
        """Return the frame's detections with usable boxes, in their order."""
        rows = np.flatnonzero(usable_xyxy(detections.xyxy))
        tracks = Tracks.untracked(detections[rows])
        return replace(tracks, detection=rows.astype(np.int32))

    def reset(self) -> None:
        """Do nothing: there is nothing to forget."""

    def save_state(self) -> dict[str, str]:
        """Return the name of the tracker; there is no other state."""
        return {"tracker": "none"}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Accept a state of this tracker; raises UsageError for another tracker's."""
        if state.get("tracker") != "none":
            raise UsageError(f"state of a tracker: want none, got {state.get('tracker')}")
