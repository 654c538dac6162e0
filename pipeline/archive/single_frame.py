"""One frame of a video, camera or picture, for setup: calibration, zones."""

from __future__ import annotations

from contextlib import closing

from pipeline.config.build import make_sources
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.data import Frame
from pipeline.core.errors import SourceError, UsageError


def read_still(source: str, at_s: float = 0.0) -> Frame:
    """Return the first frame of a source at or after `at_s` seconds; raises UsageError.

    `source` is given as on the command line: a path, an address or a camera number.
    """
    if not 0 <= at_s < float("inf"):
        raise UsageError(f"--at: want seconds from 0 on, got {at_s:g}")
    made = make_sources(resolve_config(Config(sources=[source])))
    if len(made) != 1:
        raise UsageError(f"{source}: want one video, camera or picture, got {len(made)} sources")
    opened = made[0][0]
    with closing(opened):
        opened.open()
        last = None
        while (frame := opened.read()) is not None:
            last = frame
            if frame.pts_s >= at_s:
                return frame
    if last is None:
        raise SourceError(f"{source}: has no pictures")
    raise UsageError(f"{source}: ends at {last.pts_s:.2f} s, before --at {at_s:g}")
