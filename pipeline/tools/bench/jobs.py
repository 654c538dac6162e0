"""A measurement in a process of its own: the job passed to it, and the figures it returns.

A process per measurement: threads, caches and peak memory of one cannot touch the next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.core.errors import PipelineError

Side = Literal["ours", "theirs"]
MODULES: dict[Side, str] = {"ours": "trackline_run", "theirs": "ultralytics_run"}
WARM_FRAMES = 32
"""Results before the clock starts: networks are compiled, caches and queues filled by then."""
_ROOT = Path(__file__).resolve().parents[3]
_QUIET = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
_MAX_REASON = 200


class MeasurementError(PipelineError):
    """A measurement's process failed; the message is its last line."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: `source` as in a configuration, weights, detector options, and how long."""

    source: str | dict[str, Any]
    model: str
    options: dict[str, Any]
    save: bool
    max_frames: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Frames a second once warm, milliseconds of CPU a frame, peak memory, and our own report."""

    fps: float
    cpu_ms: float
    peak_mb: float
    frames: int
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stages(self) -> dict[str, float]:
        """Return {stage: median ms}; empty for another program."""
        return {name: each["median_ms"] for name, each in self.report.get("stages", {}).items()}


class Stopwatch:
    """Frames a second and CPU time of a run after its warm-up, taken in the measured process."""

    def __init__(self, warm: int) -> None:
        self._warm = warm
        self._frames = 0
        self._begin()

    def count(self, results: Iterable[object]) -> None:
        """Count all results."""
        for _ in results:
            self.tick()

    def tick(self) -> None:
        """Count one result."""
        self._frames += 1
        if self._frames == self._warm:
            self._begin()

    def measurement(self, report: Mapping[str, Any]) -> Measurement:
        """Return the measurement so far; with too few results, it includes the warm-up."""
        seconds = max(time.perf_counter() - self._began, 1e-9)
        cpu = time.process_time() - self._cpu
        counted = self._frames - self._warm if self._frames > self._warm else self._frames
        frames = max(counted, 1)
        return Measurement(
            counted / seconds, cpu * 1e3 / frames, peak_megabytes(), self._frames, report
        )

    def _begin(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()


def peak_megabytes() -> float:
    """Return the peak memory of this process; 0 if the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def warm_frames(max_frames: int) -> int:
    """Return how many results are left out at the start of a run of so many frames."""
    return min(WARM_FRAMES, max_frames // 4)


def measure(side: Side, job: Job) -> Measurement:
    """Return what one process measured, run in an empty folder; raises MeasurementError."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                f"pipeline.tools.bench.{MODULES[side]}",
                json.dumps(asdict(job)),
            ],
            cwd=folder,
            env={**os.environ, **_QUIET, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise MeasurementError((lines or [f"exit code {done.returncode}"])[-1][:_MAX_REASON])
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def tell(measurement: Measurement) -> None:
    """Print a measurement for `measure`, which reads the last line."""
    sys.stdout.write("\n" + json.dumps(asdict(measurement)) + "\n")


def job_from(arguments: list[str]) -> Job:
    """Return the job a process was started with."""
    return Job(**json.loads(arguments[1]))
