"""Events "lost" and "live" of cameras that disconnect and reconnect."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.events.store.records import EventRecord

CameraStates = Callable[[], Mapping[str, tuple[str, float]]]
"""Returns {camera: (state, Unix time since when)}."""
_NO_PICTURE = ("lost", "stale", "connecting")


class CameraEvents:
    """Turns the states of cameras into events "lost" and "live".

    A camera is lost once it has given no new picture for `lost_after_s`, also at the start, and
    live again with the first picture after that. Shorter interruptions cause no event, nor does the
    removal of a camera from the run.
    """

    def __init__(self, states: CameraStates, lost_after_s: float) -> None:
        self._states = states
        self._lost_after_s = lost_after_s
        self._lost: set[str] = set()

    def update(self, now: float) -> list[EventRecord]:
        """Return the events since the last call; `now` and the events' times are Unix."""
        found: list[EventRecord] = []
        states = self._states()
        self._lost &= set(states)
        for camera, (state, since) in states.items():
            is_lost = camera in self._lost
            if state in _NO_PICTURE and not is_lost and now - since >= self._lost_after_s:
                self._lost.add(camera)
                found.append(EventRecord(time=since, kind="lost", camera=camera))
            elif state == "live" and is_lost:
                self._lost.discard(camera)
                found.append(EventRecord(time=since, kind="live", camera=camera))
        return sorted(found, key=lambda one: one.time)
