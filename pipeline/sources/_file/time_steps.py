"""Steps between the times of a file's pictures, and jumps that contradict its usual step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

MIN_JUMP_S = 0.3
"""Shorter steps are no jump: a busy recorder skips some pictures."""
JUMP_RATIO = 8.0
_EVEN_RATIO = 2.0
_EVEN_SHARE = 0.95
_MIN_STEPS = 5


@dataclass(frozen=True, slots=True)
class Jumps:
    """Jumps of a file's times: how many, the longest, and the first with the frame before it."""

    count: int
    longest_s: float
    first_s: float
    frame: int
    at_s: float
    usual_s: float

    def __str__(self) -> str:
        often = "" if self.count == 1 else f" {self.count} times, by up to {self.longest_s:.3f} s"
        return (
            f"times jump{often}{',' if often else ''} {'first ' if often else ''}by "
            f"{self.first_s:.3f} s after frame {self.frame} at {self.at_s:.3f} s (usual step "
            f"{self.usual_s:.3f} s): pictures were lost there, or the recording paused"
        )


class TimeSteps:
    """Counts the steps of one file, and finds jumps if its rate is even otherwise.

    In a file with a truly variable rate any step may be intended, so none is a jump. Memory is
    bounded by the number of different steps in whole milliseconds.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._first: dict[int, tuple[int, float]] = {}

    def note(self, frame: int, at_s: float, step_s: float) -> None:
        """Record the step from a frame at `at_s` to the next."""
        step_ms = round(step_s * 1000)
        self._counts[step_ms] += 1
        if step_ms not in self._first:
            self._first[step_ms] = (frame, at_s)

    @property
    def longest_s(self) -> float:
        """Return the longest step, 0 if there is none."""
        return max(self._counts, default=0) / 1000

    @property
    def usual_s(self) -> float:
        """Return the median step, 0 if there is none."""
        half, seen = self._counts.total() / 2, 0
        for step_ms in sorted(self._counts):
            seen += self._counts[step_ms]
            if seen >= half:
                return step_ms / 1000
        return 0.0

    @property
    def is_even(self) -> bool:
        """Return whether all steps but jumps are about equal, and numerous enough to tell."""
        usual_ms = 1000 * self.usual_s
        short = self._counts.total() - sum(self._counts[step_ms] for step_ms in self._long_ms())
        even = sum(
            count for step_ms, count in self._counts.items() if step_ms <= _EVEN_RATIO * usual_ms
        )
        return usual_ms > 0 and short >= _MIN_STEPS and even >= _EVEN_SHARE * short

    def jumps(self) -> Jumps | None:
        """Return the jumps, None if there are none or no even rate to tell them by."""
        long = self._long_ms()
        if not long or not self.is_even:
            return None
        count = sum(self._counts[step_ms] for step_ms in long)
        first_ms = min(long, key=lambda step_ms: self._first[step_ms])
        frame, at_s = self._first[first_ms]
        return Jumps(count, max(long) / 1000, first_ms / 1000, frame, at_s, self.usual_s)

    def _long_ms(self) -> list[int]:
        limit_ms = max(MIN_JUMP_S, JUMP_RATIO * self.usual_s) * 1000
        return [step_ms for step_ms in self._counts if step_ms > limit_ms]
