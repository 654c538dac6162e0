"""Tracks one camera over all its recordings: ids and zones continue across their seams.

Tracker and zones get frames with the camera's own times and frame numbers, which continue across
seams; results have those of the recording. An event from before a seam that is decided after it has
a negative time and frame number, relative to the start of its recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.core.data import Event, Result
from pipeline.core.errors import UsageError
from pipeline.core.interfaces import Tracker, Watcher
from pipeline.engine.source_tracker import SourceTracker

_USUAL_STEP_S = 1 / 30


class CameraTracker:
    """Tracker and zones of one camera over consecutive recordings."""

    def __init__(
        self,
        camera: str,
        new_tracker: Callable[[], Tracker],
        new_watcher: Callable[[], Watcher | None],
    ) -> None:
        self._camera = camera
        self._new_tracker = new_tracker
        self._new_watcher = new_watcher
        self._last_id = 0
        # Last frame in the camera's own time and numbers, and the start of the recording in them.
        self._at_s, self._step_s, self._offset_s = 0.0, _USUAL_STEP_S, 0.0
        self._frame, self._offset_frames = -1, 0
        self._source = self._new_source()

    @property
    def offset_s(self) -> float:
        """Return the start of the recording in the camera's own time."""
        return self._offset_s

    @property
    def last_id(self) -> int:
        """Return the largest id assigned so far."""
        return self._last_id

    @property
    def ended_at_s(self) -> float:
        """Return the end of the recording's last frame in its own time; 0 before the first."""
        if self._frame < self._offset_frames:
            return 0.0
        return self._at_s + self._step_s - self._offset_s

    @property
    def memory_s(self) -> float | None:
        """Return how many seconds an unseen track can be recovered, None if unknown."""
        return self._source.memory_s

    @property
    def can_be_saved(self) -> bool:
        """Return whether tracker and zones can save their states."""
        return self._source.is_stateful

    def begin(self, *, gap_s: float | None, last_id: int = 0) -> None:
        """Begin a recording that starts `gap_s` after the end of the previous one.

        None: tracks end. New ids are above `last_id`, the highest of the camera so far.
        """
        if gap_s is None:
            self._last_id = last_id
            self._start_anew()
            return
        self._source.give_ids_above(last_id)
        self._last_id = max(self._last_id, last_id)
        if self._frame >= 0:
            self._offset_s = self._at_s + self._step_s + gap_s
            self._offset_frames = self._frame + 1

    def track(self, result: Result) -> Result:
        """Return the result with its tracks and events, under the camera's name."""
        frame = result.frame
        at_s, index = frame.pts_s + self._offset_s, frame.index + self._offset_frames
        if index > self._offset_frames and at_s > self._at_s:
            self._step_s = at_s - self._at_s
        self._at_s, self._frame = at_s, index
        continued = frame.moved(source=self._camera, pts_s=at_s, index=index)
        self._source.open()
        tracks, events, stage_ms = self._source.update(
            continued, result.detections, result.class_names
        )
        self._last_id = max(self._last_id, self._source.last_id)
        return replace(
            result,
            frame=frame.moved(source=self._camera),
            tracks=tracks,
            events=tuple(map(self._in_recording, events)),
            stage_ms={**result.stage_ms, **stage_ms},
        )

    def close(self) -> None:
        """Release what the tracker has loaded; safe to call twice."""
        self._source.close()

    def save_state(self) -> dict[str, Any]:
        """Return all state that later frames depend on, as plain data."""
        return {
            "source": self._source.save_state(),
            "last_id": self._last_id,
            "at_s": self._at_s,
            "step_s": self._step_s,
            "frame": self._frame,
            "offset_s": self._offset_s,
            "offset_frames": self._offset_frames,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `save_state` returned; raises UsageError if it does not fit."""
        self._start_anew()
        try:
            self._source.load_state(state["source"])
            self._last_id = int(state["last_id"])
            self._at_s, self._step_s = float(state["at_s"]), float(state["step_s"])
            self._offset_s = float(state["offset_s"])
            self._frame = int(state["frame"])
            self._offset_frames = int(state["offset_frames"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"state of camera {self._camera}: damaged ({error})") from None

    def _start_anew(self) -> None:
        """Start without tracks, at time and frame 0 of the camera."""
        self._source.close()
        self._source = self._new_source()
        self._at_s, self._step_s, self._offset_s = 0.0, _USUAL_STEP_S, 0.0
        self._frame, self._offset_frames = -1, 0

    def _new_source(self) -> SourceTracker:
        tracker, watcher = self._new_tracker(), self._new_watcher()
        return SourceTracker(self._camera, tracker, watcher, self._last_id)

    def _in_recording(self, event: Event) -> Event:
        """Return an event with the time and frame number of the current recording."""
        if not self._offset_frames:
            return event
        return replace(
            event,
            pts_s=event.pts_s - self._offset_s,
            index=event.index - self._offset_frames,
        )
