"""The option of every sink that draws."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.options import OptionsModel


class TrailOptions(OptionsModel):
    """How long the trails are; a base of the drawing sinks' Options."""

    trail_s: float = Field(1.5, ge=0)
    """Seconds of each track's path that are drawn; 0 draws none."""
