"""Trackline: cameras and video files in, tracked objects out.

for result in pipeline.track("video.mp4", model="yolo11n.onnx"):
    print(result.frame.pts_s, result.tracks.track_id, result.tracks.xyxy)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_HOMES = {
    "api": ("detect", "run", "track"),
    "config": ("Config", "load_config"),
    "data": ("Detections", "Frame", "Result", "Tracks"),
    "engine": ("Pipeline", "RunOptions"),
}
"""Where each name is defined; those not told are errors."""


def __getattr__(name: str) -> object:
    """Return a public name, imported when it is first used: `import pipeline` takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
    home = next((home for home, names in _HOMES.items() if name in names), "errors")
    found: object = getattr(import_module(f"pipeline.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
