"""EventTotals: number of events of each kind since the start, for Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from pipeline.core.data import Event, Result
from pipeline.core.run_info import RunInfo
from pipeline.events.store.records import EventLabel

MAX_LABELS = 5000


class EventTotals:
    """Sink that counts events; any thread may read the totals.

    A total never decreases: that of a camera, zone or line stays after its removal, and continues
    if it returns. Beyond `MAX_LABELS` different label sets, events with new ones are counted by
    kind only.
    """

    own_thread = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: Counter[EventLabel] = Counter()

    def open(self, run: RunInfo) -> None:
        """Do nothing: no part of the run is needed."""
        del run

    def write(self, result: Result) -> None:
        """Count the result's events."""
        if not result.events:
            return
        with self._lock:
            for event in result.events:
                self._totals[self._label(event)] += 1

    def close(self) -> None:
        """Do nothing: no resource is open."""

    def now(self) -> Mapping[EventLabel, int]:
        """Return the totals since the start."""
        with self._lock:
            return dict(self._totals)

    def _label(self, event: Event) -> EventLabel:
        # A class name may come from a stranger's weights; UTF-8 has no halves of surrogate pairs.
        texts = (event.source, event.area, event.kind, event.direction, event.class_name)
        label = EventLabel(*(text.encode("utf-8", "replace").decode() for text in texts))
        if label in self._totals or len(self._totals) < MAX_LABELS:
            return label
        return EventLabel("", "", label.kind, "", "")
