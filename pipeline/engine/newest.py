"""A queue for those who want what is new and may miss the rest: one waiting result per source."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

from pipeline.data import Result
from pipeline.ring import WAKE_S

MOST_EVENTS = 256


class NewestPerSource:
    """`put` never waits: a result replaces the one of its source that still waits.

    Nothing that happened is missed: the newer one carries the events of the one it replaces (the
    last 256), and counts it and all that it counted in `dropped_before`, under "replaced".
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Result] = {}
        self._closed = False
        self._ready = threading.Condition()

    def put(self, result: Result) -> bool:
        """Store a result; return False once the queue is closed."""
        source = result.frame.source
        with self._ready:
            if self._closed:
                return False
            older = self._waiting.get(source)
            if older is not None:
                result = _instead_of(older, result)
            self._waiting[source] = result  # in its source's old place: it waited as long
            self._ready.notify()
            return True

    def take(self) -> Result | None:
        """Return the result whose source has waited longest; None at the end."""
        with self._ready:
            while not self._waiting:
                if self._closed:
                    return None
                self._ready.wait(WAKE_S)
            return self._waiting.pop(next(iter(self._waiting)))

    def close(self, *, discard: bool = False) -> None:
        """Refuse further results; what waits is drained, or dropped with `discard`."""
        with self._ready:
            self._closed = True
            if discard:
                self._waiting.clear()
            self._ready.notify_all()


def _instead_of(older: Result, newer: Result) -> Result:
    """Return the newer result with what nobody has been told of from the older one."""
    lost = Counter(older.dropped_before)
    lost.update(newer.dropped_before)
    lost["replaced"] += 1
    events = (*older.events, *newer.events)[-MOST_EVENTS:]
    return replace(newer, events=events, dropped_before=dict(lost))
