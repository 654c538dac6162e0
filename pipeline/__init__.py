"""Trackline: cameras and video files in, tracked objects out.

The name to import is `trackline`, which holds the same names; `pipeline` works as well.

for result in trackline.track("video.mp4", model="yolo11n.onnx"):
    print(result.frame.pts_s, result.tracks.track_id, result.tracks.xyxy)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.api import detect, load_model, run, track
    from pipeline.config.schema import Config, load_config
    from pipeline.core.data import ClassNames, Detections, Event, Frame, Image, Result, Tracks
    from pipeline.core.errors import (
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
    from pipeline.core.interfaces import (
        Detector,
        RunInfo,
        Sink,
        Source,
        SourceInfo,
        Tracker,
        Watcher,
    )
    from pipeline.core.options import OptionsModel
    from pipeline.detectors.common.loaded import LoadedModel
    from pipeline.engine import Pipeline, RunOptions

__version__ = "0.1.0"
__distribution__ = "trackline"
"""Tells this package from another of the same name."""

__all__ = [
    "ClassNames",
    "Config",
    "ConfigError",
    "Detections",
    "Detector",
    "Event",
    "Frame",
    "Image",
    "LoadedModel",
    "MissingExtraError",
    "ModelError",
    "OptionsModel",
    "OutputError",
    "Pipeline",
    "PipelineError",
    "Result",
    "RunInfo",
    "RunOptions",
    "Sink",
    "Source",
    "SourceBrokenError",
    "SourceError",
    "SourceInfo",
    "SourceLostError",
    "StageError",
    "Tracker",
    "Tracks",
    "UsageError",
    "Watcher",
    "detect",
    "load_config",
    "load_model",
    "run",
    "track",
]

_HOMES = {
    "api": ("detect", "load_model", "run", "track"),
    "config.schema": ("Config", "load_config"),
    "core.data": ("ClassNames", "Detections", "Event", "Frame", "Image", "Result", "Tracks"),
    "detectors.common.loaded": ("LoadedModel",),
    "engine": ("Pipeline", "RunOptions"),
    "core.interfaces": (
        "Detector",
        "RunInfo",
        "Sink",
        "Source",
        "SourceInfo",
        "Tracker",
        "Watcher",
    ),
    "core.options": ("OptionsModel",),
}
"""The module each name is defined in; the rest are in `core.errors`."""


def __getattr__(name: str) -> object:
    """Return a public name, imported when it is first used: `import pipeline` takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
    home = next((home for home, names in _HOMES.items() if name in names), "core.errors")
    found: object = getattr(import_module(f"pipeline.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
