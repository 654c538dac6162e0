"""Data passed to plug-ins at the start of a run: what is known of each source, and of the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.data import ClassNames
from pipeline.core.packet_tap import PacketTap

ONCE = {"is_once": True}
"""`extra` of a log line about a source that a command shows once, however often it is opened."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source knows once it is open; `None` where the container or camera does not say.

    `fps` is the nominal rate, for display only: times come from `Frame.pts_s`. `sample_aspect` is
    the displayed width and height of one pixel, (2, 1) for instance; `None` for square ones. `file`
    is the path it was opened with (for several pictures the folder or pattern), "" for cameras;
    `has_sound` means that there is a sound track, which is never read.

    `start_utc` is the Unix time at `pts_s` 0 of a recording that says when it was made. The engine
    sets `recorded` for sources that are not live: the time at which they are read means nothing.

    `unrelated` means that the frames are pictures that have nothing to do with each other: they are
    detected on but not tracked, and annotated pictures are written instead of a video.

    `start_s` is the time of `pts_s` 0 in seconds from the beginning of the file, as players count
    it: the pictures of a recording may begin later than its sound.
    """

    width: int
    height: int
    fps: float | None = None
    frame_count: int | None = None
    description: str = ""
    sample_aspect: tuple[int, int] | None = None
    file: str = ""
    has_sound: bool = False
    start_utc: float | None = None
    recorded: bool = False
    unrelated: bool = False
    start_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a sink is given before the first result.

    `sources` holds the sources that are open at the start; a camera that is down is missing and may
    appear later. `utc_at_monotonic_zero` added to `Frame.captured_at` gives Unix time. `only_files`
    means that no source is live, open or not, and that the run waits for no further sources: all of
    it could be read again.

    These may be called by any thread: `camera_states` returns by the name of each live source its
    state (connecting, live, stale, lost, ended) and the Unix time since when. `recordings` returns
    what is known of each recording opened so far, including those added or removed since the start.
    `clip_packets` returns the packets from which a source's clips are cut, None if it has none.
    """

    output: Path
    class_names: ClassNames
    sources: Mapping[str, SourceInfo]
    utc_at_monotonic_zero: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    only_files: bool = False
    camera_states: Callable[[], Mapping[str, tuple[str, float]]] = dict
    recordings: Callable[[], Mapping[str, SourceInfo]] = dict
    clip_packets: Callable[[str], PacketTap | None] = lambda source: None  # noqa: ARG005

    def utc_of(self, source: str, pts_s: float, captured_at: float) -> float | None:
        """Return the Unix time at which a picture was taken, None if unknown.

        For cameras it is the time of arrival; for recordings their start plus the picture's time.
        """
        info = self.recordings().get(source) or self.sources.get(source)
        if info is None or not info.recorded:
            return self.utc_at_monotonic_zero + captured_at
        return None if info.start_utc is None else info.start_utc + pts_s


def unix_time(monotonic_s: float) -> float:
    """Convert monotonic time to Unix time, by the system clock as it is set now.

    For code that runs for weeks: a small computer's clock may be years off until it reaches a time
    server. A file uses `utc_at_monotonic_zero`, so that its times never jump.
    """
    return monotonic_s + time.time() - time.monotonic()
