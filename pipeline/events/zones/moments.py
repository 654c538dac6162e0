"""What a watcher reads off a frame, exactly as a track file tells it, and what it finds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline.core.data import EventKind, Frame, Tracks
from pipeline.events.zones.geometry import Float64
from pipeline.events.zones.track_states import MOMENT, Int64

_FARTHEST_PX = 65_536.0  # within it float32 keeps the hundredths that track files have


class Moments(NamedTuple):
    """The tracks seen in a frame: id, class, foot point f64[n,2], box height, f64[n,7] moment."""

    id: Int64
    class_id: Int64
    foot: Float64
    height: Float64
    moment: Float64


class Found(NamedTuple):
    """An event before it is put into words: which track and area, and the moment it happened."""

    kind: EventKind
    row: int
    area: int
    moment: Float64
    direction: str = ""
    dwell_us: int = 0


Finds = Iterator[Found]


class Clock:
    """Microseconds of the frames' own time; a time that goes back or is no number takes none.

    In whole numbers, so that it makes no difference which frames in between are known.
    """

    def __init__(self) -> None:
        self.now = 0
        self._last: int | None = None
        self._offset = 0

    def at(self, pts_s: float) -> int:
        """Move on to a frame and return its time."""
        if math.isfinite(pts_s):
            told = round(round(pts_s, 6) * 1e6)
            if self._last is not None and told < self._last:
                self._offset += self._last - told
            self._last = told
            self.now = told + self._offset
        return self.now


def moments(frame: Frame, tracks: Tracks) -> Moments:
    """Return the tracks of a frame that have an identity and a detection.

    Boxes to a hundredth of a pixel and times to a microsecond, as the track files have them.
    """
    seen = np.flatnonzero((tracks.track_id > 0) & (tracks.detection >= 0))
    ids = tracks.track_id[seen]
    if len(set(ids.tolist())) < len(ids):  # only in a file from elsewhere: the first row counts
        seen = seen[np.sort(np.unique(ids, return_index=True)[1])]
        ids = tracks.track_id[seen]
    xyxy = tracks.xyxy[seen].astype(np.float64).clip(-_FARTHEST_PX, _FARTHEST_PX).round(2)
    moment = np.empty((len(ids), MOMENT))
    moment[:, :3] = frame.index, round(frame.pts_s, 6), frame.captured_at
    moment[:, 3:] = xyxy
    foot = np.stack([(xyxy[:, 0] + xyxy[:, 2]) / 2, xyxy[:, 3]], 1)
    height = xyxy[:, 3] - xyxy[:, 1]
    return Moments(ids, tracks.class_id[seen].astype(np.int64), foot, height, moment)
