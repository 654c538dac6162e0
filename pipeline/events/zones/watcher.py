"""Watcher of a source's zones and lines: turns its tracks into events.

The position of a track is its foot point, the middle of its box's lower edge. Only boxes with a
detection count, never predictions, and never boxes without identity. Between two of them the path
is taken as straight, so a fast object, or one not seen on the line, has crossed it all the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from pipeline.core.data import ClassNames, Event, Frame, Tracks
from pipeline.core.errors import ConfigError, UsageError
from pipeline.core.zone_counts import CountKey, ZoneCounts
from pipeline.events.zones.appeared import Appearance, AppearedDetector
from pipeline.events.zones.crossing import CrossingDetector
from pipeline.events.zones.geometry import Bools
from pipeline.events.zones.schema import DEFAULT_CLASSES, CameraZones, outside
from pipeline.events.zones.track_states import BestScores, Decisions, FrameClock, Int64, seen_tracks

log = logging.getLogger("trackline")

STATE_VERSION = 1
"""Version of the saved state; others are refused."""


class ZoneWatcher:
    """Watches the zones of one camera; `inside`, `counts` and `change` may be called by any thread.

    With `warn` a class unknown to the detector is logged. A zone entirely `beyond` the picture is
    an error at the first picture, or is logged at each new size: a camera may change its size, and
    a mistake in its zones must not end the run of others. "ignore" is for pictures of unknown size.
    """

    def __init__(
        self,
        camera: CameraZones,
        *,
        warn: bool = True,
        beyond: Literal["error", "warn", "ignore"] = "warn",
    ) -> None:
        self._warn, self._beyond = warn, beyond
        self._lock = threading.Lock()
        self._tally = ZoneCounts()
        self._clock = FrameClock()
        self._scores = BestScores()
        self._camera, self._zones = camera, camera.zones_and_lines
        self._names: ClassNames | None = None
        self._wanted: dict[int, Int64] = {}
        self._size = (1, 1)  # until there is a picture
        self._source = ""
        self._wanted_appeared: Int64 | None = None
        self._detector = CrossingDetector(camera, self._size, self._counts_in)
        self._appeared = self._new_appeared()

    def watch(self, frame: Frame, tracks: Tracks, class_names: ClassNames) -> Sequence[Event]:
        """Return the events decided at this frame, each with the moment in which it happened.

        Raises ConfigError at the first frame if a zone beyond the picture is an error.
        """
        with self._lock:
            height, width = frame.shape[:2]
            if (width, height) != self._size:
                self._size = (width, height)
                self._source = frame.source
                self._check_beyond()
                self._reset_tracks()
            if class_names is not self._names:
                self._names = class_names
                self._find_classes()
            now, source = self._clock.at(frame.pts_s), frame.source
            events = self._events(self._detector.end_unseen(now), source)
            seen = seen_tracks(frame, tracks)
            if len(seen.id):
                self._scores.update(seen, self._detector.states.id)
                events += self._events(self._detector.update(now, seen), source)
                if self._appeared is not None:
                    found = self._appeared.update(now, seen)
                    events += [self._event(one, source) for one in found]
            self._tally.add(events)
            return events

    def reset(self) -> None:
        """Forget the positions of all tracks, without an event; counts continue."""
        with self._lock:
            self._reset_tracks()

    def save_state(self) -> dict[str, Any]:
        """Return the positions of all tracks, the clock and the counts, as plain data."""
        with self._lock:
            state = {
                "watcher": self._state_kind(),
                "size": list(self._size),
                "source": self._source,
                "clock": self._clock.save(),
                "tracks": self._detector.states.save(),
                "tally": self._tally.save(),
                "scores": self._scores.save(),
            }
            if self._appeared is not None:
                state["appeared"] = self._appeared.save()
            return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `save_state` returned; raises UsageError for other zones."""
        with self._lock:
            came, want = state.get("watcher"), self._state_kind()
            if came != want:
                raise UsageError(f"state of a watcher: want {want}, got {came}")
            try:
                self._size = (int(state["size"][0]), int(state["size"][1]))
                self._source = str(state["source"])
                self._clock.load(state["clock"])
                self._reset_tracks()
                self._detector.states.load(state["tracks"])
                if self._appeared is not None:
                    self._appeared.load(state["appeared"])
                self._tally.load(state["tally"])
                if "scores" in state:  # there were none in the first states of this version
                    self._scores.load(state["scores"])
            except (KeyError, IndexError, ValueError) as error:
                raise UsageError(f"state of a watcher: damaged ({error})") from None
            if self._source and self._beyond == "error":
                self._beyond = "warn"  # the first picture was looked at then

    def _state_kind(self) -> str:
        """Return the zones and lines of a saved state, and its version."""
        names = [f"{type(zone).__name__.lower()} {zone.name}" for zone in self._zones]
        if self._camera.appeared_rules is not None:
            names.append("whole picture")
        return f"zones, version {STATE_VERSION}: {', '.join(names)}"

    def change(self, camera: CameraZones) -> None:
        """Watch other zones from the next frame on.

        Those with the same names keep their counts, and zones the tracks inside.
        """
        with self._lock:
            gone = {zone.name for zone in self._camera.zones_and_lines} - {
                a.name for a in camera.zones_and_lines
            }
            self._tally.drop(gone)
            self._camera, self._zones = camera, camera.zones_and_lines
            self._find_classes()
            old = self._detector
            self._detector = CrossingDetector(camera, self._size, self._counts_in)
            self._detector.carry_over(old, self._clock.now)
            known, self._appeared = self._appeared, self._new_appeared()
            if known is not None and self._appeared is not None:
                self._appeared.carry_over(known)
            if self._source:
                self._check_beyond()

    def inside(self) -> dict[str, dict[str, int]]:
        """Return {zone: {class name: tracks in it now}}, every zone."""
        with self._lock:
            found: dict[str, dict[str, int]] = {zone.name: {} for zone in self._camera.zones}
            states = self._detector.states
            for row, zone in np.argwhere(states.reported).tolist():
                inside = found[self._zones[zone].name]
                name = self._class_name(int(states.class_id[row]))
                inside[name] = inside.get(name, 0) + 1
            return found

    def counts(self) -> Mapping[CountKey, int]:
        """Return how often (zone, kind, direction, class name) has happened so far."""
        with self._lock:
            return dict(self._tally.counts)

    def _check_beyond(self) -> None:
        """Refuse or log zones entirely outside the picture; after the first one, log."""
        beyond = self._beyond
        if beyond == "ignore":
            return
        self._beyond = "warn"
        problem = outside(self._camera, self._size)
        if problem and beyond == "error":
            raise ConfigError(f"zones of '{self._source}': {problem}")
        if problem:
            log.warning("zones of '%s': %s: nothing is counted there", self._source, problem)

    def _reset_tracks(self) -> None:
        self._detector = CrossingDetector(self._camera, self._size, self._counts_in)
        self._appeared = self._new_appeared()
        self._scores = BestScores()
        self._tally.forget_positions()

    def _new_appeared(self) -> AppearedDetector | None:
        """Return the detector for the whole picture, None if nothing counts there."""
        rules = self._camera.appeared_rules
        if rules is None:
            return None
        return AppearedDetector(rules, self._camera, self._size, self._counts_appeared)

    def _find_classes(self) -> None:
        """Find the ids of the classes that count; warns about unknown classes."""
        names = self._names or {}
        self._find_appeared_classes(names)
        self._wanted = {}
        for i, zone in enumerate(self._zones):
            if zone.classes is None:
                continue
            missing = sorted(set(zone.classes) - set(names.values()))
            if missing and self._warn and self._names:
                shown, known = "', '".join(missing), ", ".join(sorted(set(names.values())))
                log.warning("'%s': there is no class '%s' (known: %s)", zone.name, shown, known)
            ids = [number for number, name in names.items() if name in zone.classes]
            self._wanted[i] = np.array(ids, np.int64)

    def _counts_in(self, class_id: Int64) -> Bools:
        """Return bool[n,zones]: objects of this class count in this zone."""
        counts = np.ones((len(class_id), len(self._zones)), np.bool_)
        for zone, wanted in self._wanted.items():
            counts[:, zone] = np.isin(class_id, wanted)
        return counts

    def _find_appeared_classes(self, names: ClassNames) -> None:
        rules = self._camera.appeared_rules
        wanted = None if rules is None else rules.classes
        self._wanted_appeared = None
        if wanted is None:
            return
        ids = [number for number, name in names.items() if name in wanted]
        self._wanted_appeared = np.array(ids, np.int64)
        missing = sorted(set(wanted) - set(names.values()))
        if wanted == DEFAULT_CLASSES and ids:
            return  # a network calls people and vehicles by some of these names
        if missing and self._warn and names:
            shown, known = "', '".join(missing), ", ".join(sorted(set(names.values())))
            log.warning("'appeared': there is no class '%s' (known: %s)", shown, known)

    def _counts_appeared(self, class_id: Int64) -> Bools:
        """Return bool[n]: objects of this class count in the whole picture."""
        if self._wanted_appeared is None:
            return np.ones(len(class_id), np.bool_)
        return np.isin(class_id, self._wanted_appeared)

    def _class_name(self, class_id: int) -> str:
        return (self._names or {}).get(class_id, str(class_id))

    def _event(self, one: Appearance, source: str) -> Event:
        index, pts_s, captured_at, *xyxy = one.moment.tolist()
        return Event(
            kind="appeared",
            source=source,
            area="",
            direction="",
            track_id=one.track_id,
            class_id=one.class_id,
            class_name=self._class_name(one.class_id),
            index=int(index),
            pts_s=pts_s,
            captured_at=captured_at,
            xyxy=(xyxy[0], xyxy[1], xyxy[2], xyxy[3]),
            score=self._scores.of(one.track_id),
        )

    def _events(self, found: Decisions, source: str) -> list[Event]:
        states, zones, events = self._detector.states, self._zones, []
        for one in found:
            track_id, class_id = int(states.id[one.row]), int(states.class_id[one.row])
            event = replace(
                self._event(Appearance(track_id, class_id, one.moment), source),
                kind=one.kind,
                area=zones[one.zone].name,
                direction=one.direction,
                dwell_s=round(one.dwell_us / 1e6, 6),
            )
            events.append(event)
        return events
