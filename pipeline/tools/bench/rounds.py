"""Rounds of measurements in turn, and the median of each case."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.tools.bench.cases import Case
from pipeline.tools.bench.jobs import Job, Measurement, MeasurementError, Side

log = logging.getLogger("trackline")
Measure = Callable[[Side, Job], Measurement]


@dataclass(frozen=True, slots=True)
class Row:
    """One case on one side: the measurement with the median frame rate, and the range of rates."""

    side: Side
    case: Case
    median: Measurement
    lowest_fps: float
    highest_fps: float

    def as_plain(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        one = self.median
        return {
            "program": "trackline" if self.side == "ours" else "ultralytics",
            "setting": self.case.label,
            "imgsz": self.case.imgsz,
            "precision": self.case.precision,
            "save": self.case.save,
            "fps": round(one.fps, 2),
            "fps_range": [round(self.lowest_fps, 2), round(self.highest_fps, 2)],
            "cpu_ms_per_frame": round(one.cpu_ms, 2),
            "peak_mb": round(one.peak_mb, 1),
            "frames": one.frames,
            "limited_by": one.report.get("limited_by"),
            "stage_ms": one.stages,
        }


class Rounds:
    """Measures every case once per round, so that a busy minute hits all of them alike."""

    def __init__(self, source: str | dict[str, Any], model: str, device: str, frames: int) -> None:
        self._source = source
        self._model = model
        self._device = device
        self._frames = frames
        self.trouble: str | None = None

    def run(self, todo: Sequence[tuple[Side, Case]], repeats: int, measure: Measure) -> list[Row]:
        """Return a row per case, in order.

        Raises MeasurementError where this program fails. Where the other one does, `trouble` says
        why, and its rows are missing.
        """
        taken: dict[tuple[Side, Case], list[Measurement]] = {each: [] for each in todo}
        for number in range(repeats):
            for side, case in taken:
                if side == "theirs" and self.trouble:
                    continue
                log.info("bench: round %d of %d: %s, %s", number + 1, repeats, side, case.label)
                try:
                    taken[side, case].append(measure(side, self._job(case)))
                except MeasurementError as error:
                    if side == "ours":
                        raise
                    self.trouble = str(error)
        return [_row(side, case, found) for (side, case), found in taken.items() if found]

    def _job(self, case: Case) -> Job:
        options = {"device": self._device, **case.options()}
        return Job(self._source, self._model, options, case.save, self._frames)


def _row(side: Side, case: Case, found: Sequence[Measurement]) -> Row:
    rates = [each.fps for each in found]
    middle = statistics.median_low(rates)
    median = next(each for each in found if each.fps == middle)
    return Row(side, case, median, min(rates), max(rates))
