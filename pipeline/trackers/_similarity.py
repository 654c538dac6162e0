"""How a whole picture moved: turned, scaled and shifted, and everything in it with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.trackers._columns import Float64


class Similarity(NamedTuple):
    """(x, y) moves to scale * rotation * (x, y) + shift; `turn` f64[2,2] is the first factor."""

    turn: Float64
    shift: Float64
    scale: float

    def points(self, xy: Float64) -> Float64:
        """Return where the points f64[2,n] have moved."""
        return self.turn @ xy + self.shift[:, None]

    def boxes(self, xyxy: Float64) -> Float64:
        """Return boxes f64[4,n] about the moved centres, scaled and upright."""
        half = (xyxy[2:] - xyxy[:2]) * (self.scale / 2)
        centre = self.points((xyxy[:2] + xyxy[2:]) / 2)
        return np.concatenate((centre - half, centre + half))
