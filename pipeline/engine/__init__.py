"""The threads of a run and what passes between them: sources to sinks, no plug-in in sight."""

from pipeline.engine.pipeline import Pipeline
from pipeline.engine.run_options import RunOptions

__all__ = ["Pipeline", "RunOptions"]
