"""Threads and queues of a run, from sources to sinks; independent of any plug-in."""

from pipeline.engine.options import RunOptions
from pipeline.engine.pipeline import Pipeline
from pipeline.engine.source_detection import DetectOptions

__all__ = ["DetectOptions", "Pipeline", "RunOptions"]
