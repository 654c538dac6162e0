"""What follows the objects of one source: its tracker and its watcher, kept in step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pipeline.core.data import ClassNames, Detections, Event, Frame, Tracks
from pipeline.core.errors import PipelineError, located
from pipeline.core.interfaces import Tracker, Watcher

USUAL_GAPS = 3.0
"""A gap this many times the usual one is a gap; fewer, and the source is merely slow."""


class Followed(NamedTuple):
    """What is known about a frame after detection, and the milliseconds it took by stage."""

    tracks: Tracks
    events: tuple[Event, ...]
    stage_ms: Mapping[str, float]


class _Last(NamedTuple):
    """What the next frame is compared with."""

    epoch: int
    shape: tuple[int, ...]
    pts_s: float


class SourceTracker:
    """Tracks and events of one source. Ids reported once are never reported of another object.

    Tracker and watcher forget everything where frames do not go on from the ones before: in a new
    epoch, at another picture size, and after a gap longer than the tracker's `memory_s`. `above`
    is the largest id given by trackers before this one, whatever their kind.
    """

    def __init__(self, source: str, tracker: Tracker, watcher: Watcher | None, above: int) -> None:
        self.watcher = watcher
        self.last_id = above
        self._source = source
        self._tracker = tracker
        self._above = above
        self._last: _Last | None = None
        self._usual_s: float | None = None

    def follow(self, frame: Frame, detections: Detections, class_names: ClassNames) -> Followed:
        """Return the frame's tracks and what happened; raises StageError of tracker or watcher."""
        began = time.perf_counter()
        with located(f"tracker of {self._source}"):
            anew = self._begins_anew(frame)
            if anew:
                self._tracker.reset()
            tracks = self._numbered(self._tracker.update(frame, detections))
            track_ms = (time.perf_counter() - began) * 1e3
            stage_ms = getattr(self._tracker, "stage_ms", None) or {"track": track_ms}
        if self.watcher is None:
            return Followed(tracks, (), stage_ms)
        began = time.perf_counter()
        with located(f"watcher of {self._source}"):
            if anew:
                self.watcher.reset()
            events = tuple(self.watcher.watch(frame, tracks, class_names))
        watch_ms = (time.perf_counter() - began) * 1e3
        return Followed(tracks, events, {**stage_ms, "watch": watch_ms})

    def adopt(self, new_tracker: Callable[[], Tracker]) -> None:
        """Go on with another tracker: with the same tracks where it can load the old one's state.

        Otherwise it begins anew, with ids above all that were given, and so does the watcher.
        """
        tracker = new_tracker()
        if _carried(self._tracker, tracker):
            self._tracker = tracker
            return
        self._tracker = new_tracker()  # the other may have loaded half of a state
        self._above = self.last_id
        if self.watcher is not None:
            with located(f"watcher of {self._source}"):
                self.watcher.reset()

    def _begins_anew(self, frame: Frame) -> bool:
        """Return whether this frame does not go on from the last one."""
        last, self._last = self._last, _Last(frame.epoch, frame.image.shape, frame.pts_s)
        if last is None:
            return False
        if (frame.epoch, frame.image.shape) != (last.epoch, last.shape):
            self._usual_s = None
            return True
        gap_s = frame.pts_s - last.pts_s
        if not math.isfinite(gap_s):
            return False
        usual_s = self._usual_s
        # Large ones count too: a camera that was slowed down is not reset for ever.
        self._usual_s = gap_s if usual_s is None else usual_s + 0.2 * (gap_s - usual_s)
        memory_s = getattr(self._tracker, "memory_s", None)
        if memory_s is None or usual_s is None:
            return False
        return bool(gap_s > memory_s and gap_s > USUAL_GAPS * usual_s)

    def _numbered(self, tracks: Tracks) -> Tracks:
        """Return the tracks with ids above those of the trackers before."""
        if not len(tracks):
            return tracks
        if self._above:
            ids = np.where(tracks.track_id > 0, tracks.track_id + self._above, 0)
            tracks = replace(tracks, track_id=ids.astype(np.int64, copy=False))
        self.last_id = max(self.last_id, int(tracks.track_id.max()))
        return tracks


def _carried(old: object, new: object) -> bool:
    """Return whether `new` has taken over what `old` knew."""
    save, load = getattr(old, "save_state", None), getattr(new, "load_state", None)
    if type(old) is not type(new) or save is None or load is None:
        return False
    try:
        load(save())
    except PipelineError:
        return False
    return True


class SourceTrackers:
    """The followers of all sources; remembers the last id of a source that left."""

    def __init__(
        self,
        new_tracker: Callable[[], Tracker],
        new_watcher: Callable[[str], Watcher | None] | None,
    ) -> None:
        self.new_tracker = new_tracker
        self._new_watcher = new_watcher
        self._followers: dict[str, SourceTracker] = {}
        self._last_ids: dict[str, int] = {}

    def get(self, source: str) -> SourceTracker | None:
        """Return a source's follower, None once it has left."""
        return self._followers.get(source)

    def add(self, source: str) -> None:
        """Begin to follow a source; one that comes back goes on with its ids."""
        watcher = self._new_watcher(source) if self._new_watcher else None
        above = self._last_ids.get(source, 0)
        self._followers[source] = SourceTracker(source, self.new_tracker(), watcher, above)

    def remove(self, source: str) -> None:
        """Forget a source but for its last id."""
        follower = self._followers.pop(source, None)
        if follower is not None:
            self._last_ids[source] = follower.last_id

    def adopt(self, new_tracker: Callable[[], Tracker]) -> None:
        """Replace every source's tracker, and those of sources still to come."""
        self.new_tracker = new_tracker
        for follower in self._followers.values():
            follower.adopt(new_tracker)

    def names(self) -> Sequence[str]:
        """Return the sources that are followed."""
        return list(self._followers)
