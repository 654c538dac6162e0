"""Running counts of zone and line events, and of the tracks inside each zone now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.core.data import Event, Result


class CountKey(NamedTuple):
    """Key of a count: zone or line, kind of event, direction, class name."""

    area: str
    kind: str
    direction: str
    class_name: str


class ZoneCounts:
    """The running counts of one source, and the tracks inside its zones.

    At a gap in the stream a watcher forgets the tracks inside without an event. Users that see only
    results set `unseen_s`: a track that was not seen for that long is no longer inside.
    """

    def __init__(self, unseen_s: float | None = None) -> None:
        self.counts: Counter[CountKey] = Counter()
        self._inside: dict[str, set[int]] = {}
        self._unseen_s = unseen_s
        self._seen: dict[int, float] = {}
        self._picture: tuple[int, ...] | None = None

    def note(self, result: Result) -> None:
        """Add a result's events; a new epoch or picture size empties the zones."""
        frame = result.frame
        picture = frame.epoch, *frame.shape[:2]
        if picture != self._picture:
            self._picture = picture
            self.forget_positions()
        self.add(result.events)
        if self._unseen_s is not None:
            self._drop_unseen(result, frame.pts_s - self._unseen_s)

    def add(self, events: Iterable[Event]) -> None:
        """Count events."""
        for event in events:
            key = CountKey(event.area, event.kind, event.direction, event.class_name)
            self.counts[key] += 1
            if event.kind == "enter":
                self._inside.setdefault(event.area, set()).add(event.track_id)
            elif event.kind == "leave":
                self._inside.get(event.area, set()).discard(event.track_id)

    def forget_positions(self) -> None:
        """Empty all zones, as after a reconnect; counts stay."""
        self._inside = {area: set() for area in self._inside}
        self._seen.clear()

    def save(self) -> dict[str, Any]:
        """Return the counts and the tracks inside, as plain data."""
        return {
            "counts": [[*key, count] for key, count in self.counts.items()],
            "inside": [[area, sorted(ids)] for area, ids in self._inside.items()],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what `save` returned; raises KeyError, ValueError."""
        rows = state["counts"]
        self.counts = Counter({CountKey(*map(str, key)): int(n) for *key, n in rows})
        self._inside = {str(area): {int(each) for each in ids} for area, ids in state["inside"]}

    def drop(self, names: Iterable[str]) -> None:
        """Remove the counts of these zones and lines."""
        gone = set(names)
        for key in [key for key in self.counts if key.area in gone]:
            del self.counts[key]
        self._inside = {area: ids for area, ids in self._inside.items() if area not in gone}

    def _drop_unseen(self, result: Result, since_s: float) -> None:
        """Remove tracks inside that were last seen before `since_s` on the frames' clock."""
        inside = set().union(*self._inside.values())
        present = inside.intersection(result.tracks.track_id.tolist()) if inside else inside
        now_s = result.frame.pts_s
        self._seen = {
            one: now_s if one in present else self._seen.get(one, now_s) for one in inside
        }
        gone = {one for one, seen_s in self._seen.items() if seen_s < since_s}
        for ids in self._inside.values():
            ids -= gone

    @property
    def inside(self) -> dict[str, int]:
        """Return the number of tracks in each zone that was ever entered."""
        return {area: len(ids) for area, ids in self._inside.items()}
