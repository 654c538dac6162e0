"""What is so now, per camera: connected or not, objects seen, who is inside, what was counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.data import Result
from pipeline.events.zones.counts import ZoneCounts

State = dict[str, Any]
ZonesByCamera = Mapping[str, Mapping[str, bool]]
"""{camera: {area: whether it is a line}}."""

UNSEEN_S = 60.0
"""Longer than a track is usually waited for before it has left (`gone_s`)."""


@dataclass(slots=True)
class Camera:
    """One camera; `seen_at` is on the clock that the camera_states is asked with."""

    seen_at: float
    objects: int = 0
    tally: ZoneCounts = field(default_factory=lambda: ZoneCounts(UNSEEN_S))

    def areas(self) -> dict[str, Counter[str]]:
        """Return what happened since the start, by area.

        By "enter", "leave" and "dwell" for a zone, by "in" and "out" for a line.
        """
        found: dict[str, Counter[str]] = {}
        for key, count in self.tally.counts.items():
            found.setdefault(key.area, Counter())[key.direction or key.kind] += count
        return found

    def known_areas(self) -> dict[str, bool]:
        """Return {area: whether it is a line} of those where something has happened."""
        return {area: self.is_line(area) for area in self.areas()}

    def is_line(self, area: str) -> bool:
        """Return whether it is crossed rather than entered."""
        return any(key.area == area and key.kind == "cross" for key in self.tally.counts)


class CameraStateTable:
    """Follows results on one thread, and is asked on another one."""

    def __init__(self, lost_s: float) -> None:
        self._lost_s = lost_s
        self._cameras: dict[str, Camera] = {}
        self._planned: Callable[[], ZonesByCamera] = dict
        self._lock = threading.Lock()

    def expect(self, camera: str) -> None:
        """Show a camera that has not given a picture yet, as not connected."""
        with self._lock:
            self._cameras.setdefault(camera, Camera(float("-inf")))

    def plan(self, areas: Callable[[], ZonesByCamera]) -> None:
        """Show the areas that `areas` returns, rather than only those where something happened."""
        self._planned = areas

    def note(self, result: Result, now: float) -> None:
        """Take a result into account."""
        with self._lock:
            camera = self._cameras.setdefault(result.frame.source, Camera(now))
            camera.seen_at = now
            camera.objects = len(result.tracks)
            camera.tally.note(result)

    def areas(self) -> dict[str, dict[str, bool]]:
        """Return {camera: {area: whether it is a line}}."""
        planned = self._planned()
        with self._lock:
            return {
                name: dict(planned[name]) if name in planned else camera.known_areas()
                for name, camera in self._cameras.items()
            }

    def states(self, now: float) -> dict[str, State]:
        """Return the state of each camera, as JSON has it.

        What is there now is None where the camera is not connected: nobody knows, and a 0 would
        tell an automation that the zone is empty.
        """
        areas = self.areas()
        with self._lock:
            return {
                name: self._state(camera, now, areas.get(name, {}))
                for name, camera in self._cameras.items()
            }

    def _state(self, camera: Camera, now: float, areas: Mapping[str, bool]) -> State:
        connected = now - camera.seen_at < self._lost_s
        inside, counted = camera.tally.inside, camera.areas()
        return {
            "connected": connected,
            "objects": camera.objects if connected else None,
            "areas": {
                area: {"in": 0, "out": 0, **counted.get(area, {})}
                if is_line
                else {
                    "inside": inside.get(area, 0) if connected else None,
                    "enter": 0,
                    "leave": 0,
                    **counted.get(area, {}),
                }
                for area, is_line in areas.items()
            },
        }
