"""The options of every sink that draws."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.drawing import ALL_LABELS, LabelPart
from pipeline.core.options import OptionsModel


class DrawingOptions(OptionsModel):
    """What is drawn of a track; a base of the drawing sinks' Options."""

    trail_s: float = Field(1.5, ge=0)
    """Seconds of each track's path that are drawn; 0 draws none."""
    labels: tuple[LabelPart, ...] = ALL_LABELS
    """What a label says: class, id, score; an empty list draws no labels."""
