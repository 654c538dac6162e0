"""Options shared by every sink that draws."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.core.drawing import ALL_LABELS, Annotator, LabelPart
from pipeline.core.options import OptionsModel
from pipeline.core.run_info import RunInfo


class DrawingOptions(OptionsModel):
    """Drawing options of a track; a base of the drawing sinks' Options."""

    trail_s: float = Field(1.5, ge=0)
    """Seconds of each track's path to draw; 0 draws none."""
    labels: tuple[LabelPart, ...] = ALL_LABELS
    """Parts of a label: class, id, score; an empty list draws no labels."""


class PictureDrawingOptions(DrawingOptions):
    """Options for drawing on pictures themselves; a base of the Options of sinks that do so."""

    masks: bool = True
    """Draw masks half-transparently, if the network gives any."""
    keypoints: bool = True
    """Draw keypoints, and the skeleton of people, if the network gives any."""
    colours: Literal["track", "class"] = "track"
    """A colour for each track, or for each class as on the live page."""

    def annotator(self, run: RunInfo) -> Annotator:
        """Return what draws so, with the zones and lines of a run."""
        return Annotator(
            self.trail_s,
            run.metadata.get("areas"),
            self.labels,
            masks=self.masks,
            keypoints=self.keypoints,
            by_class=self.colours == "class",
        )
