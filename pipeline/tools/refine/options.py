"""Options of track refinement."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.options import OptionsModel


class RefineOptions(OptionsModel):
    """Seconds are the video's own; heights are those of the boxes.

    The defaults were chosen on the outputs of SORT and of the default tracker on MOT15, MOT17 and
    KITTI, at full and a third of the frame rate (`benchmarks/refine_gain.py`).
    """

    join_s: float = Field(2.0, ge=0)
    """Longest time between two fragments that may be joined; 0 joins none."""
    reach: float = Field(0.3, gt=0)
    """Heights by which a fragment, moved on at its speed, may miss the one it is joined to."""
    size_ratio: float = Field(1.5, gt=1)
    """Two boxes of which one is so many times as high are not joined."""
    fill_s: float = Field(1.0, ge=0)
    """Longest gap in a track that is filled; 0 fills none."""
    fill_share: float = Field(0.6, ge=0, le=1)
    """Share of its frames in which a track must be measured for its gaps to be filled; what
    flickers is seldom an object."""
    ghost_s: float = Field(0.5, ge=0)
    """Tracks seen for a shorter time are dropped if their scores are low; 0 drops none."""
    ghost_score: float = Field(0.7, ge=0)
    """Mean score below which a short track is dropped."""
    smooth_measured: bool = True
    """Smooth the measured boxes too; without it they stay to the digit."""
