"""Counts of alerts delivered, given up and suppressed since the start."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

SUPPRESSED, DELIVERED, FAILED = "suppressed", "delivered", "failed"


class AlertCount(NamedTuple):
    """Labels of alert counts; `channel` is "" for suppressed alerts."""

    rule: str
    channel: str
    outcome: str


class AlertCounts:
    """Counts of alerts; any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[AlertCount] = Counter()

    def add(self, one: AlertCount) -> None:
        """Count an alert."""
        with self._lock:
            self._counts[one] += 1

    def now(self) -> Mapping[AlertCount, int]:
        """Return the counts since the start."""
        with self._lock:
            return dict(self._counts)
