"""The front door for programs: track, detect, run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.build import build
from pipeline.config import Config, load_config
from pipeline.data import Result
from pipeline.options import validated
from pipeline.running import run_config

SourceLike = str | Path | int | Mapping[str, Any]


def track(
    source: SourceLike | Sequence[SourceLike],
    *,
    model: str | Path | None = None,
    tracker: str | Mapping[str, Any] | None = None,
    max_frames: int | None = None,
    **detector_options: Any,
) -> Iterator[Result]:
    """Yield one Result per frame, lazily and in order, writing nothing.

    `source` is a file, folder, glob, camera number, mapping with `kind`, or a list of these.
    `tracker` is a name or a mapping of its options; the usual one if not given.
    `detector_options` are those of the yolo detector: device, imgsz, conf, iou, classes, ...
    Memory stays constant as long as the caller does not keep the results. Raises ConfigError for
    unknown options at once, other errors from the iterator.
    """
    if model is not None:
        detector_options["model"] = str(model)
    # Which detector and tracker are meant by options alone is the configuration's to say.
    tree = {
        "sources": _sources(source),
        "detector": detector_options,
        "tracker": {} if tracker is None else tracker,
        "sinks": (),
        "run": {"max_frames": max_frames},
    }
    return build(validated(Config, tree, "")).results()


def detect(
    source: SourceLike | Sequence[SourceLike],
    *,
    model: str | Path | None = None,
    max_frames: int | None = None,
    **detector_options: Any,
) -> Iterator[Result]:
    """Yield one Result per frame like `track`, with detections only: nothing is followed."""
    return track(source, model=model, tracker="none", max_frames=max_frames, **detector_options)


def run(config: Config | Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """Process a whole configuration as the command does; return what is in report.json.

    `config` is a Config, the same as a mapping, or the path of a YAML file. Raises the first
    error of any stage after closing every output.
    """
    if isinstance(config, Mapping):
        config = validated(Config, config, "")
    elif not isinstance(config, Config):
        config = load_config(config)
    return run_config(config)


def _sources(source: SourceLike | Sequence[SourceLike]) -> list[str | Mapping[str, Any]]:
    many = [source] if isinstance(source, str | Path | int | Mapping) else list(source)
    return [each if isinstance(each, Mapping) else str(each) for each in many]
