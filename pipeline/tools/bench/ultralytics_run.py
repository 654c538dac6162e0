"""The measured process: ultralytics' `track` on one job.

Started as `python -m pipeline.tools.bench.ultralytics_run JOB`.

It keeps its own defaults: its tracker, its video format, what runs its weights.
"""

from __future__ import annotations

import itertools
import os
import sys
from importlib import import_module
from typing import Any

from pipeline.tools.bench.jobs import Job, Measurement, Stopwatch, job_from, tell, warm_frames

_PASSED = ("imgsz", "half", "stream_buffer")


def run(job: Job) -> Measurement:
    """Return what running the job took; writes into the current folder."""
    ultralytics: Any = import_module("ultralytics")
    model = ultralytics.YOLO(job.model, task="detect")
    device = job.options.get("device", "auto")
    passed = {name: job.options[name] for name in _PASSED if name in job.options}
    results = model.track(
        job.source,
        stream=True,
        persist=True,
        verbose=False,
        device=None if device == "auto" else device,
        save=job.save,
        project=os.getcwd(),
        **passed,
    )
    stopwatch = Stopwatch(warm_frames(job.max_frames))
    stopwatch.count(itertools.islice(results, job.max_frames))
    results.close()
    return stopwatch.measurement({})


def main() -> int:
    """Run the job of the command line; the last line on stderr says why it could not be run."""
    tell(run(job_from(sys.argv)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
