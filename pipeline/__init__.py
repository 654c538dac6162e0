"""Trackline: cameras and video files in, tracked objects out.

The name to import is `trackline`, which holds the same names; `pipeline` works as well.

for result in trackline.track("video.mp4", model="yolo11n.onnx"):
    print(result.frame.pts_s, result.tracks.track_id, result.tracks.xyxy)
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it for True; importing it takes longer than the rest

if TYPE_CHECKING:
    from pipeline.api import (
        detect,
        load_classifier,
        load_model,
        localize,
        run,
        tag,
        track,
    )
    from pipeline.classifiers._loaded import LoadedClassifier
    from pipeline.config.schema import Config, load_config
    from pipeline.core.data import (
        ClassNames,
        Detection,
        Detections,
        Event,
        EventKind,
        Frame,
        Image,
        Result,
        Tracks,
    )
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
        WriteError,
    )
    from pipeline.core.interfaces import (
        Classifier,
        CountsUndecoded,
        CountsUnwanted,
        Detector,
        Embedder,
        ExpectsShapes,
        HasClipPackets,
        HasMemory,
        HasNotes,
        HasPackets,
        Interruptible,
        MayDrop,
        NeedsOpening,
        Overlapping,
        PerSource,
        RequestsStop,
        Sink,
        SizedBySource,
        Source,
        Stateful,
        Timed,
        Tracker,
        Watcher,
    )
    from pipeline.core.masks import Mask
    from pipeline.core.options import OptionsModel, PluginChoice
    from pipeline.core.packet_tap import PacketTap
    from pipeline.core.run_info import RunInfo, SourceInfo, unix_time
    from pipeline.core.secret_types import Address, Secret, SecretUrl
    from pipeline.core.yuv import YuvColour, YuvImage
    from pipeline.detectors.common.loaded_model import LoadedModel
    from pipeline.engine import DetectOptions, Pipeline, RunOptions
    from pipeline.interop import (
        from_supervision,
        from_ultralytics,
        to_pandas,
        to_polars,
        to_supervision,
    )
    from pipeline.sources._file.still_picture import read_picture

__version__ = "0.1.0"
__distribution__ = "trackline"
"""Distinguishes this package from another one of the same name."""

__all__ = [
    "Address",
    "ClassNames",
    "Classifier",
    "Config",
    "ConfigError",
    "CountsUndecoded",
    "CountsUnwanted",
    "DetectOptions",
    "Detection",
    "Detections",
    "Detector",
    "Embedder",
    "Event",
    "EventKind",
    "ExpectsShapes",
    "Frame",
    "HasClipPackets",
    "HasMemory",
    "HasNotes",
    "HasPackets",
    "Image",
    "Interruptible",
    "LoadedClassifier",
    "LoadedModel",
    "Mask",
    "MayDrop",
    "MissingExtraError",
    "ModelError",
    "NeedsOpening",
    "OptionsModel",
    "OutputError",
    "Overlapping",
    "PacketTap",
    "PerSource",
    "Pipeline",
    "PipelineError",
    "PluginChoice",
    "RequestsStop",
    "Result",
    "RunInfo",
    "RunOptions",
    "Secret",
    "SecretUrl",
    "Sink",
    "SizedBySource",
    "Source",
    "SourceBrokenError",
    "SourceError",
    "SourceInfo",
    "SourceLostError",
    "StageError",
    "Stateful",
    "Timed",
    "Tracker",
    "Tracks",
    "UsageError",
    "Watcher",
    "WriteError",
    "YuvColour",
    "YuvImage",
    "detect",
    "from_supervision",
    "from_ultralytics",
    "load_classifier",
    "load_config",
    "load_model",
    "localize",
    "read_picture",
    "run",
    "tag",
    "to_pandas",
    "to_polars",
    "to_supervision",
    "track",
    "unix_time",
]

_HOMES = {
    "api": (
        "detect",
        "load_classifier",
        "load_model",
        "localize",
        "run",
        "tag",
        "track",
    ),
    "classifiers._loaded": ("LoadedClassifier",),
    "config.schema": ("Config", "load_config"),
    "core.data": (
        "ClassNames",
        "Detection",
        "Detections",
        "Event",
        "EventKind",
        "Frame",
        "Image",
        "Result",
        "Tracks",
    ),
    "core.errors": (
        "ConfigError",
        "MissingExtraError",
        "ModelError",
        "OutputError",
        "PipelineError",
        "SourceBrokenError",
        "SourceError",
        "SourceLostError",
        "StageError",
        "UsageError",
        "WriteError",
    ),
    "core.interfaces": (
        "Classifier",
        "CountsUndecoded",
        "CountsUnwanted",
        "Detector",
        "Embedder",
        "ExpectsShapes",
        "HasClipPackets",
        "HasMemory",
        "HasNotes",
        "HasPackets",
        "Interruptible",
        "MayDrop",
        "NeedsOpening",
        "Overlapping",
        "PerSource",
        "RequestsStop",
        "Sink",
        "SizedBySource",
        "Source",
        "Stateful",
        "Timed",
        "Tracker",
        "Watcher",
    ),
    "core.run_info": ("RunInfo", "SourceInfo", "unix_time"),
    "core.masks": ("Mask",),
    "core.options": ("OptionsModel", "PluginChoice"),
    "core.packet_tap": ("PacketTap",),
    "core.secret_types": ("Address", "Secret", "SecretUrl"),
    "core.yuv": ("YuvColour", "YuvImage"),
    "detectors.common.loaded_model": ("LoadedModel",),
    "engine": ("DetectOptions", "Pipeline", "RunOptions"),
    "interop": (
        "from_supervision",
        "from_ultralytics",
        "to_pandas",
        "to_polars",
        "to_supervision",
    ),
    "sources._file.still_picture": ("read_picture",),
}
"""The module that defines each name, imported when one of its names is first used."""


def __getattr__(name: str) -> object:
    """Return a public name, imported on first use, so that `import pipeline` takes no time."""
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
    found: object = getattr(import_module(f"pipeline.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
