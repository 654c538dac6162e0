"""The threads of a run and what passes between them: sources to sinks, no plug-in in sight."""

from pipeline.engine.options import RunOptions
from pipeline.engine.pipeline import Pipeline

__all__ = ["Pipeline", "RunOptions"]
