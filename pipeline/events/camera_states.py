"""The state of each camera now: connected or not, objects, tracks inside zones, counts."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.data import Result
from pipeline.core.zone_counts import ZoneCounts

State = dict[str, Any]
ZonesByCamera = Mapping[str, Mapping[str, bool]]
"""{camera: {zone or line: whether it is a line}}."""

UNSEEN_S = 60.0
"""Longer than the usual time after which an unseen track has left (`gone_s`)."""


@dataclass(slots=True)
class CameraState:
    """The state of one camera; `seen_at` is on the clock of `CameraStateTable.states`."""

    seen_at: float
    objects: int = 0
    tally: ZoneCounts = field(default_factory=lambda: ZoneCounts(UNSEEN_S))

    def counts_by_zone(self) -> dict[str, Counter[str]]:
        """Return the counts since the start, by zone or line.

        By "enter", "leave" and "dwell" for a zone, by "in" and "out" for a line.
        """
        found: dict[str, Counter[str]] = {}
        for key, count in self.tally.counts.items():
            if key.area:  # not of the whole picture
                found.setdefault(key.area, Counter())[key.direction or key.kind] += count
        return found

    def zones_with_events(self) -> dict[str, bool]:
        """Return {zone or line: whether it is a line} of those with events."""
        return {zone: self.is_line(zone) for zone in self.counts_by_zone()}

    def is_line(self, zone: str) -> bool:
        """Return whether it is a line, which is crossed rather than entered."""
        return any(key.area == zone and key.kind == "cross" for key in self.tally.counts)


class CameraStateTable:
    """The states of all cameras: updated with results on one thread, read on another."""

    def __init__(self, lost_s: float) -> None:
        self._lost_s = lost_s
        self._cameras: dict[str, CameraState] = {}
        self._planned: Callable[[], ZonesByCamera] = dict
        self._lock = threading.Lock()

    def expect(self, camera: str) -> None:
        """Add a camera that has not given a picture yet, as not connected."""
        with self._lock:
            self._cameras.setdefault(camera, CameraState(float("-inf")))

    def plan(self, zones: Callable[[], ZonesByCamera]) -> None:
        """Include the zones and lines that `zones` returns, not only those with events."""
        self._planned = zones

    def update(self, result: Result, now: float) -> None:
        """Update with a result."""
        with self._lock:
            camera = self._cameras.setdefault(result.frame.source, CameraState(now))
            camera.seen_at = now
            camera.objects = len(result.tracks)
            camera.tally.note(result)

    def zones(self) -> dict[str, dict[str, bool]]:
        """Return {camera: {zone or line: whether it is a line}}."""
        planned = self._planned()
        with self._lock:
            return {
                name: dict(planned[name]) if name in planned else camera.zones_with_events()
                for name, camera in self._cameras.items()
            }

    def states(self, now: float) -> dict[str, State]:
        """Return the state of each camera in JSON types.

        Objects and tracks inside are None while the camera is not connected: they are unknown, and
        with 0 an automation would take the zone for empty.
        """
        zones = self.zones()
        with self._lock:
            return {
                name: self._state(camera, now, zones.get(name, {}))
                for name, camera in self._cameras.items()
            }

    def _state(self, camera: CameraState, now: float, zones: Mapping[str, bool]) -> State:
        connected = now - camera.seen_at < self._lost_s
        inside, counted = camera.tally.inside, camera.counts_by_zone()
        return {
            "connected": connected,
            "objects": camera.objects if connected else None,
            "areas": {
                zone: {"in": 0, "out": 0, **counted.get(zone, {})}
                if is_line
                else {
                    "inside": inside.get(zone, 0) if connected else None,
                    "enter": 0,
                    "leave": 0,
                    **counted.get(zone, {}),
                }
                for zone, is_line in zones.items()
            },
        }
