"""What is so now, per camera: connected or not, objects seen, who is inside, what was counted."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pipeline.data import Event, Result

State = dict[str, Any]


@dataclass(slots=True)
class Area:
    """One zone or line: the tracks inside it now, and how many events there were since the start.

    `counted` is by "enter", "leave" and "dwell" for a zone, by "in" and "out" for a line.
    """

    inside: set[int] = field(default_factory=set)
    counted: Counter[str] = field(default_factory=Counter)
    is_line: bool = False

    def note(self, event: Event) -> None:
        """Take an event of this area into account."""
        self.is_line = event.kind == "cross"
        self.counted[event.direction if self.is_line else event.kind] += 1
        if event.kind in ("enter", "dwell"):
            self.inside.add(event.track_id)
        elif event.kind == "leave":
            self.inside.discard(event.track_id)


@dataclass(slots=True)
class Camera:
    """One camera; `seen_at` is on the clock that the board is asked with."""

    seen_at: float
    epoch: int = 0
    objects: int = 0
    areas: dict[str, Area] = field(default_factory=dict)


class Board:
    """Follows results on one thread, and is asked on another one."""

    def __init__(self, lost_s: float) -> None:
        self._lost_s = lost_s
        self._cameras: dict[str, Camera] = {}
        self._lock = threading.Lock()

    def expect(self, camera: str) -> None:
        """Show a camera that has not given a picture yet, as not connected."""
        with self._lock:
            self._cameras.setdefault(camera, Camera(float("-inf")))

    def note(self, result: Result, now: float) -> None:
        """Take a result into account."""
        frame = result.frame
        with self._lock:
            camera = self._cameras.setdefault(frame.source, Camera(now))
            if frame.epoch != camera.epoch:
                # Zones forget who was inside when a camera comes back, without an event.
                camera.epoch = frame.epoch
                for area in camera.areas.values():
                    area.inside.clear()
            camera.seen_at = now
            camera.objects = len(result.tracks)
            for event in result.events:
                camera.areas.setdefault(event.area, Area()).note(event)

    def areas(self) -> dict[str, dict[str, bool]]:
        """Return {camera: {area: whether it is a line}}."""
        with self._lock:
            return {
                name: {area: known.is_line for area, known in camera.areas.items()}
                for name, camera in self._cameras.items()
            }

    def states(self, now: float) -> dict[str, State]:
        """Return the state of each camera, as JSON has it."""
        with self._lock:
            return {name: self._state(camera, now) for name, camera in self._cameras.items()}

    def _state(self, camera: Camera, now: float) -> State:
        connected = now - camera.seen_at < self._lost_s
        return {
            "connected": connected,
            "objects": camera.objects if connected else 0,
            "areas": {
                name: dict(area.counted)
                if area.is_line
                else {"inside": len(area.inside) if connected else 0, **area.counted}
                for name, area in camera.areas.items()
            },
        }
