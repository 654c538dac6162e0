"""The threads of a run and what passes between them: sources to sinks, no plug-in in sight."""

from pipeline.engine.options import RunOptions
from pipeline.engine.pipeline import Pipeline
from pipeline.engine.source_detection import DetectOptions

__all__ = ["DetectOptions", "Pipeline", "RunOptions"]
