"""Trackline: cameras and video files in, tracked objects out.

for result in pipeline.track("video.mp4", model="yolo11n.onnx"):
    print(result.frame.pts_s, result.tracks.track_id, result.tracks.xyxy)
"""

from __future__ import annotations

from pipeline.api import detect, run, track
from pipeline.config import Config, load_config
from pipeline.data import Detections, Frame, Result, Tracks
from pipeline.engine import Pipeline, RunOptions
from pipeline.errors import (
    ConfigError,
    MissingExtraError,
    ModelError,
    OutputError,
    PipelineError,
    SourceBrokenError,
    SourceError,
    SourceLostError,
    StageError,
    UsageError,
)

__version__ = "0.1.0"

__all__ = [
    "Config",
    "ConfigError",
    "Detections",
    "Frame",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "Pipeline",
    "PipelineError",
    "Result",
    "RunOptions",
    "SourceBrokenError",
    "SourceError",
    "SourceLostError",
    "StageError",
    "Tracks",
    "UsageError",
    "detect",
    "load_config",
    "run",
    "track",
]
