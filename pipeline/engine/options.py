"""The section `run` of a configuration: settings of a run as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.options import OptionsModel


class RunOptions(OptionsModel):
    """How much to process, and how far the stages may run apart."""

    output: Path = Path("out")
    """Folder that the sinks write to; created if missing."""
    max_frames: int | None = Field(None, ge=1)
    """Stop each source after this many frames; null for all of them."""
    ring_frames: int = Field(16, ge=1, le=1024)
    """Frames that a file may be decoded ahead; fewer if they are large and the detector takes few
    at once, or where `ring_megabytes` says so."""
    ring_megabytes: int = Field(64, ge=1)
    """Maximum memory of one source's waiting decoded frames, in megabytes."""
    files_at_once: int | None = Field(None, ge=1)
    """Number of files decoded at once, in order; null for the number of processors."""
    detect_every: Annotated[int, Field(ge=1, le=30)] | Literal["auto"] = 1
    """Detect on every Nth frame only, or with auto as often as tracking needs it, at least every
    0.2 s; the frames between get interpolated boxes (docs/speed.md). Trackers take these for
    detections: their rows say `matched`, not `coasting`, and sinks show them as found."""
    in_order: bool = False
    """Give the results of files one file after the other, in the order given; they are still
    decoded ahead. No effect if a camera is among the sources: its results never wait."""
    retry_first_s: float = Field(0.5, gt=0, le=3600)
    """Seconds until a lost camera is retried; doubled after each failed retry."""
    retry_longest_s: float = Field(30.0, gt=0, le=3600)
    """Maximum seconds between two retries."""
    max_age_ms: float | None = Field(None, gt=0)
    """A live frame older than this when inference takes it is dropped as "old"; null for no
    limit."""
    stale_after_s: float = Field(3.0, gt=0, le=3600)
    """Seconds without a frame after which a connected camera counts as stale."""
    frozen_after_s: float = Field(10.0, gt=0, le=3600)
    """Seconds of an unchanged picture after which a camera counts as stale; after six times as long
    it is reopened, then after twice that, and so on up to an hour."""
    wait_for_sources: bool = False
    """Keep running without any source until stopped, and retry a live source that fails for any
    reason instead of ending the run: for a server, whose cameras come and go."""
