"""What is said about a run as a whole: the section `run` of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.options import OptionsModel


class RunOptions(OptionsModel):
    """What to process and how far the stages may run apart."""

    output: Path = Path("out")
    """Folder the sinks write to; made when it is missing."""
    max_frames: int | None = Field(None, ge=1)
    """Stop each source after this many frames; null for all of them."""
    ring_frames: int = Field(16, ge=1, le=1024)
    """Frames a file may be decoded ahead; fewer where they are large and the detector takes few
    at once, or where `ring_megabytes` says so."""
    ring_megabytes: int = Field(64, ge=1)
    """Memory one source's decoded frames may wait in."""
    files_at_once: int | None = Field(None, ge=1)
    """Files that are decoded at a time, in order; null for as many as there are processors."""
    detect_every: Annotated[int, Field(ge=1, le=30)] | Literal["auto"] = 1
    """Detect on every Nth frame only, or with auto where tracks alone are not good enough, at
    least every 0.2 s; the frames between get boxes on straight lines (docs/speed.md). Trackers take
    these for detections: their rows say `matched`, not `coasting`, and sinks show them as found."""
    in_order: bool = False
    """Give the results of files one file after the other, in the order given; they are still
    decoded ahead. Without effect where a camera is among the sources: its results never wait."""
    retry_first_s: float = Field(0.5, gt=0, le=3600)
    """Seconds until a lost camera is tried again; doubled with each try in vain."""
    retry_longest_s: float = Field(30.0, gt=0, le=3600)
    """The most seconds between two tries."""
    max_age_ms: float | None = Field(None, gt=0)
    """A live frame older than this when its turn comes is dropped as "old"; null for no limit."""
    stale_after_s: float = Field(3.0, gt=0, le=3600)
    """Seconds without a frame after which a camera that is connected counts as stale."""
    frozen_after_s: float = Field(10.0, gt=0, le=3600)
    """Seconds of the very same picture after which a camera counts as stale; after six times as
    long it is opened again, then after twice that, and so on up to an hour."""
    wait_for_sources: bool = False
    """Go on without any source until stopped, and try a live source that fails for whatever
    reason again instead of ending the run: for a server, whose cameras come and go."""
