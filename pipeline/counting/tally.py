"""Events added up: how often what happened where, and who is inside now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.data import Event


class Counted(NamedTuple):
    """What a count is about."""

    area: str
    kind: str
    direction: str
    class_name: str


class Tally:
    """The running counts of one source."""

    def __init__(self) -> None:
        self.counts: Counter[Counted] = Counter()
        self._inside: dict[str, set[int]] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Count these."""
        for event in events:
            key = Counted(event.area, event.kind, event.direction, event.class_name)
            self.counts[key] += 1
            if event.kind == "enter":
                self._inside.setdefault(event.area, set()).add(event.track_id)
            elif event.kind == "leave":
                self._inside.get(event.area, set()).discard(event.track_id)

    def forget_positions(self) -> None:
        """Nobody is known to be inside any more, as after a reconnect; counts stay."""
        self._inside.clear()

    def drop(self, areas: Iterable[str]) -> None:
        """Forget the counts of these areas."""
        gone = set(areas)
        for key in [key for key in self.counts if key.area in gone]:
            del self.counts[key]
        self._inside = {area: ids for area, ids in self._inside.items() if area not in gone}

    @property
    def inside(self) -> dict[str, int]:
        """Return how many tracks are in each zone that was ever entered."""
        return {area: len(ids) for area, ids in self._inside.items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return one mapping per count, in a fixed order, ready for JSON."""
        return rows_of(self.counts)


def rows_of(counts: Mapping[Counted, int]) -> list[dict[str, Any]]:
    """Return one mapping per count: area, kind, direction, class_name, count."""
    return [{**key._asdict(), "count": count} for key, count in sorted(counts.items())]
