"""Tracker and watcher of each source, kept in step, with ids that are never reused."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.data import ClassNames, Detections, Event, Frame, Tracks
from pipeline.core.errors import PipelineError, UsageError, located
from pipeline.core.interfaces import (
    HasMemory,
    NeedsOpening,
    Stateful,
    Timed,
    Tracker,
    Watcher,
)

USUAL_GAPS = 3.0
"""A gap of at least this many usual intervals resets the tracker; with less the source is merely
slow."""


class TrackedFrame(NamedTuple):
    """Tracks and events of one frame, and the milliseconds they took by stage."""

    tracks: Tracks
    events: tuple[Event, ...]
    stage_ms: Mapping[str, float]


class _Last(NamedTuple):
    """The properties of the last frame that the next one is compared with."""

    epoch: int
    shape: tuple[int, ...]
    pts_s: float


class SourceTracker:
    """Tracker and watcher of one source. An id is never given to a second object.

    Both are reset if frames do not continue the previous ones: in a new epoch, at another picture
    size, and after a gap longer than the tracker's `memory_s`. `last_id` is the largest id given by
    earlier trackers of any kind.
    """

    def __init__(
        self, source: str, tracker: Tracker, watcher: Watcher | None, last_id: int
    ) -> None:
        self._watcher = watcher
        self._last_id = last_id
        self._source = source
        self._is_open = False
        self._use(tracker)
        # (the tracker's id, offset added to ids above it), by increasing id.
        self._id_shifts = [(0, last_id)]
        self._last: _Last | None = None
        self._usual_s: float | None = None

    @property
    def watcher(self) -> Watcher | None:
        """Return the watcher that turns tracks into events, None if there is none."""
        return self._watcher

    @property
    def last_id(self) -> int:
        """Return the largest id given so far."""
        return self._last_id

    @property
    def memory_s(self) -> float | None:
        """Return for how long the tracker keeps unmatched tracks, None if it does not say."""
        return None if self._has_memory is None else self._has_memory.memory_s

    def open(self) -> None:
        """Open the tracker, if it needs that; raises ModelError. No effect if it is open."""
        if not self._is_open:
            self._open(self._tracker)
            self._is_open = True

    def close(self) -> None:
        """Close the tracker; safe to call twice and if never opened."""
        self._is_open = False
        self._close(self._tracker)

    def set_watcher(self, watcher: Watcher | None) -> None:
        """Use another watcher from the next frame on."""
        self._watcher = watcher

    def update(self, frame: Frame, detections: Detections, class_names: ClassNames) -> TrackedFrame:
        """Return the frame's tracks and events; raises StageError of tracker or watcher."""
        began = time.perf_counter()
        with located(f"tracker of {self._source}"):
            is_new = self._is_new_sequence(frame)
            if is_new:
                self._tracker.reset()
            tracks = self._numbered(self._tracker.update(frame, detections))
            track_ms = (time.perf_counter() - began) * 1e3
            reported = None if self._timed is None else self._timed.stage_ms
            stage_ms = reported or {"track": track_ms}
        if self._watcher is None:
            return TrackedFrame(tracks, (), stage_ms)
        began = time.perf_counter()
        with located(f"watcher of {self._source}"):
            if is_new:
                self._watcher.reset()
            events = tuple(self._watcher.watch(frame, tracks, class_names))
        watch_ms = (time.perf_counter() - began) * 1e3
        return TrackedFrame(tracks, events, {**stage_ms, "watch": watch_ms})

    def replace_tracker(self, new_tracker: Callable[[], Tracker]) -> None:
        """Replace the tracker; tracks continue if the new one can load the old one's state.

        Otherwise its ids begin above all given ones, and the watcher is reset. Raises ModelError if
        it cannot be opened; the old one stays then.
        """
        before, tracker = self._tracker, new_tracker()
        is_same = _move_state(before, tracker)
        if not is_same:
            tracker = new_tracker()  # the new one may have loaded half of a state
        if self._is_open:
            self._open(tracker)
            self._close(before)
        self._use(tracker)
        if is_same:
            return
        self._id_shifts = [(0, self._last_id)]
        if self._watcher is not None:
            with located(f"watcher of {self._source}"):
                self._watcher.reset()

    @property
    def is_stateful(self) -> bool:
        """Return whether tracker and watcher can save their states."""
        watcher_can = self._watcher is None or isinstance(self._watcher, Stateful)
        return watcher_can and isinstance(self._tracker, Stateful)

    def save_state(self) -> dict[str, Any]:
        """Return everything that later frames depend on, as plain data.

        Raises UsageError for a tracker without it. Another instance with the same tracker and
        watcher that loads it continues exactly like this one.
        """
        last = self._last
        return {
            "tracker": _stateful(self._tracker).save_state(),
            "watcher": None if self._watcher is None else _stateful(self._watcher).save_state(),
            "last_id": self._last_id,
            "id_shifts": self._id_shifts,
            "last": None if last is None else [last.epoch, list(last.shape), last.pts_s],
            "usual_s": self._usual_s,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `save_state` returned; raises UsageError if it does not fit."""
        watched = state.get("watcher")
        if (watched is None) != (self._watcher is None):
            what = "without zones" if watched is None else "with zones"
            raise UsageError(f"state of {self._source}: is one {what}")
        try:
            _stateful(self._tracker).load_state(state["tracker"])
            if self._watcher is not None and watched is not None:
                _stateful(self._watcher).load_state(watched)
            self._last_id = int(state["last_id"])
            self._id_shifts = [(int(above), int(shift)) for above, shift in state["id_shifts"]]
            last, usual_s = state["last"], state["usual_s"]
            self._last = None if last is None else _Last(last[0], tuple(last[1]), float(last[2]))
            self._usual_s = None if usual_s is None else float(usual_s)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UsageError(f"state of {self._source}: damaged ({error})") from None

    def give_ids_above(self, last_id: int) -> None:
        """Give new tracks ids above `last_id` from now on; existing tracks keep theirs."""
        if last_id > self._last_id:
            own = self._last_id - self._id_shifts[-1][1]
            self._id_shifts.append((own, last_id - own))
            self._last_id = last_id

    def _open(self, tracker: Tracker) -> None:
        if isinstance(tracker, NeedsOpening):
            with located(f"tracker of {self._source}"):
                tracker.open()

    def _close(self, tracker: Tracker) -> None:
        if isinstance(tracker, NeedsOpening):
            with located(f"tracker of {self._source}"):
                tracker.close()

    def _use(self, tracker: Tracker) -> None:
        self._tracker = tracker
        # Looked up once: `isinstance` of a Protocol is slow.
        self._has_memory = tracker if isinstance(tracker, HasMemory) else None
        self._timed = tracker if isinstance(tracker, Timed) else None

    def _is_new_sequence(self, frame: Frame) -> bool:
        """Return whether this frame does not continue the last one."""
        last, self._last = self._last, _Last(frame.epoch, frame.shape, frame.pts_s)
        if last is None:
            return False
        if (frame.epoch, frame.shape) != (last.epoch, last.shape):
            self._usual_s = None
            return True
        gap_s = frame.pts_s - last.pts_s
        if not math.isfinite(gap_s):
            return False
        usual_s = self._usual_s
        # Long gaps count too, so that a camera that became slow is not reset for ever.
        self._usual_s = gap_s if usual_s is None else usual_s + 0.2 * (gap_s - usual_s)
        memory_s = self.memory_s
        if memory_s is None or usual_s is None:
            return False
        return bool(gap_s > memory_s and gap_s > USUAL_GAPS * usual_s)

    def _numbered(self, tracks: Tracks) -> Tracks:
        """Return the tracks with ids above those of earlier trackers."""
        if not len(tracks):
            return tracks
        if self._id_shifts != [(0, 0)]:
            ids = tracks.track_id
            for above, shift in self._id_shifts:
                ids = np.where(tracks.track_id > above, tracks.track_id + shift, ids)
            tracks = replace(tracks, track_id=ids.astype(np.int64, copy=False))
        self._last_id = max(self._last_id, int(tracks.track_id.max()))
        return tracks


def _stateful(part: Tracker | Watcher) -> Stateful:
    """Return a tracker or watcher that can save its state; raises UsageError for others."""
    if isinstance(part, Stateful):
        return part
    name = f"{type(part).__module__}.{type(part).__qualname__}"
    raise UsageError(f"{name}: cannot save its state (save_state, load_state)")


def _move_state(old: Tracker, new: Tracker) -> bool:
    """Return whether `new` has loaded the state of `old`."""
    if type(old) is not type(new):
        return False
    if not (isinstance(old, Stateful) and isinstance(new, Stateful)):
        return False
    try:
        new.load_state(old.save_state())
    except PipelineError:
        return False
    return True


class SourceTrackers:
    """The trackers of all sources; keeps the last id of removed sources.

    Unrelated pictures are not tracked: their detections from `unrelated_score` on are returned
    unchanged.
    """

    def __init__(
        self,
        new_tracker: Callable[[], Tracker],
        new_watcher: Callable[[str], Watcher | None] | None,
        unrelated_score: float = 0.0,
    ) -> None:
        self.unrelated_score = unrelated_score
        self._new_tracker = new_tracker
        self._new_watcher = new_watcher
        self._trackers: dict[str, SourceTracker] = {}
        self._last_ids: dict[str, int] = {}
        self._is_open = False

    def open(self) -> None:
        """Open all trackers, and from now on those of sources added later; raises ModelError."""
        self._is_open = True
        for tracker in self._trackers.values():
            tracker.open()

    def close(self) -> None:
        """Close all trackers; safe to call twice and if never opened."""
        self._is_open = False
        for tracker in self._trackers.values():
            tracker.close()

    def get(self, source: str) -> SourceTracker | None:
        """Return a source's tracker, None once it is removed."""
        return self._trackers.get(source)

    def add(self, source: str) -> None:
        """Create a tracker for a source; one that returns continues with its ids.

        Raises ModelError if it cannot be opened.
        """
        watcher = self._new_watcher(source) if self._new_watcher else None
        last_id = self._last_ids.get(source, 0)
        tracker = SourceTracker(source, self._new_tracker(), watcher, last_id)
        if self._is_open:
            tracker.open()
        self._trackers[source] = tracker

    def remove(self, source: str) -> None:
        """Forget a source's tracker, except for its last id."""
        tracker = self._trackers.pop(source, None)
        if tracker is not None:
            self._last_ids[source] = tracker.last_id
            tracker.close()

    def replace_tracker(self, new_tracker: Callable[[], Tracker]) -> None:
        """Replace every source's tracker, and those of sources added later.

        Raises ModelError if one cannot be opened.
        """
        for tracker in self._trackers.values():
            tracker.replace_tracker(new_tracker)
        self._new_tracker = new_tracker
