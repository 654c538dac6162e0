"""The measured process of Trackline. `python -m pipeline.tools.bench.trackline_run JOB`."""

from __future__ import annotations

import logging
import sys

from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config
from pipeline.core.errors import PipelineError
from pipeline.core.options import validated
from pipeline.report import run_config
from pipeline.tools.bench.jobs import Job, Measurement, Stopwatch, job_from, tell, warm_frames


def run(job: Job) -> Measurement:
    """Return what running the job took; writes into the current folder. Raises PipelineError."""
    tree = {
        "sources": [job.source],
        "detector": {"model": job.model, **job.options},
        "sinks": ["video"] if job.save else [],
        "run": {"output": "out", "max_frames": job.max_frames},
    }
    stopwatch = Stopwatch(warm_frames(job.max_frames))
    report = run_config(
        resolve_config(validated(Config, tree, "")), on_result=lambda _: stopwatch.tick()
    )
    return stopwatch.measurement({key: report[key] for key in ("stages", "limited_by", "fps")})


def main() -> int:
    """Run the job of the command line; one line on stderr where it cannot be run."""
    logging.getLogger("trackline").setLevel(logging.ERROR)
    try:
        tell(run(job_from(sys.argv)))
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
