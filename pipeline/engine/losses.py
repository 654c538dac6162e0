"""Which frames of a source were lost, each told once: with the next result after it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

MOST_RUNS = 64


class _Run(NamedTuple):
    """Frames `first` to `last`, lost one after the other for one cause."""

    first: int
    last: int
    cause: str


class Losses:
    """Takes lost frames by index and gives them back as counts by cause; constant memory.

    Not thread-safe: `SourceStats` locks it.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._settled: Counter[str] = Counter()

    def add(self, index: int, cause: str) -> None:
        """Note that frame `index` was lost."""
        last = self._runs[-1] if self._runs else None
        if last is not None and last.cause == cause and last.last + 1 == index:
            self._runs[-1] = last._replace(last=index)
            return
        self._runs.append(_Run(index, index, cause))
        if len(self._runs) > MOST_RUNS:
            # Nothing was delivered for long. No frame on its way is older than the oldest half.
            half = MOST_RUNS // 2
            for run in self._runs[:half]:
                self._settled[run.cause] += run.last - run.first + 1
            del self._runs[:half]

    def before(self, index: int) -> dict[str, int]:
        """Return how many frames before `index` were lost by cause, and forget them."""
        if not self._runs and not self._settled:
            return {}
        told, self._settled = self._settled, Counter()
        later = []
        for run in self._runs:
            if run.first < index:
                told[run.cause] += min(run.last, index - 1) - run.first + 1
            if run.last >= index:
                later.append(run._replace(first=max(run.first, index)))
        self._runs = later
        return dict(told)
