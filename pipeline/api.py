"""Python interface: track, detect, localize, tag, run, and loading of models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.classifiers._loaded import LoadedClassifier
from pipeline.classifiers._tags.merge import (
    DEFAULT_THRESHOLD,
    DEFAULT_TOP,
    tags_of,
)
from pipeline.config.build import build, make_classifier, make_detector
from pipeline.config.detection import lowest_score
from pipeline.config.plugins import CLASSIFIERS, plugin
from pipeline.config.resolve import resolve_config
from pipeline.config.schema import Config, load_config
from pipeline.config.source_argument import split_sources
from pipeline.core.class_ids import wanted_ids
from pipeline.core.data import Detection, Result
from pipeline.core.errors import ConfigError
from pipeline.core.options import unknown, validated
from pipeline.core.paths import home_path
from pipeline.detectors.common.loaded_model import LoadedModel
from pipeline.report import run_config
from pipeline.sources._file.listing import PICTURE_SUFFIXES
from pipeline.sources._file.still_picture import read_picture
from pipeline.sources._frames import checked_image, describe

NO_DETECTOR = "none"

SourceLike = str | Path | int | Mapping[str, Any]
"""A file, folder, glob, address, camera number, or a mapping with `kind`."""
Picture = NDArray[np.uint8]
"""A BGR picture, u8[height, width, 3]."""
Frames = Picture | Iterable[Picture | tuple[Picture, float]]
"""One picture, or any iterable of pictures or (picture, seconds) pairs."""
AnySource = SourceLike | Sequence[SourceLike] | Iterable[SourceLike] | Frames | Sequence[Frames]


def track(
    source: AnySource,
    *,
    model: str | Path | LoadedModel | None = None,
    tracker: str | Mapping[str, Any] | None = None,
    max_frames: int | None = None,
    fps: float | None = None,
    **detector_options: Any,
) -> Iterator[Result]:
    """Yield one Result per frame, lazily and in order, writing nothing.

    `source` is a file, folder, glob, camera number, mapping with `kind`, or a list of these; or
    pictures in memory: one array u8[H,W,3] in BGR, or any iterable of arrays or of (array, seconds)
    pairs, such as a generator. The first item of an iterator is taken at once, the others on a
    separate thread. `fps` applies to arrays without times (default 30).

    `model` is a name, path or address of weights, or the result of `load_model`. `tracker` is a
    name or a mapping of its options (default: the configuration's). `detector_options` are those of
    the yolo detector: device, imgsz, conf, iou, classes, ...

    Several files come one after the other, in the order given; with a camera among them, results of
    each source are in order and those of different sources come as they are ready.

    Memory stays constant as long as the caller does not keep the results. Raises ConfigError for
    unknown options and SourceError for an invalid source at once; errors of the iterator are raised
    later.
    """
    _check_keywords(detector_options, track)
    sources, frames = split_sources(source, fps)
    if isinstance(model, LoadedModel):
        if detector_options:
            raise ConfigError(
                f"{', '.join(detector_options)}: belongs in load_model, which loaded the model"
            )
        detector_options = dict(model.options)
    elif model is not None:
        detector_options["model"] = _model_name(model)
    # Options alone do not say which detector and tracker are meant; the configuration does.
    tree = {
        "sources": sources,
        "detector": detector_options,
        "tracker": {} if tracker is None else tracker,
        "sinks": (),
        "run": {"max_frames": max_frames, "in_order": True},
    }
    config = validated(Config, tree, "")
    shared = model.detector(lowest_score(config)) if isinstance(model, LoadedModel) else None
    return build(resolve_config(config), sources=frames or None, detector=shared).results()


def detect(
    source: AnySource,
    *,
    model: str | Path | LoadedModel | None = None,
    max_frames: int | None = None,
    fps: float | None = None,
    **detector_options: Any,
) -> Iterator[Result]:
    """Yield one Result per frame like `track`, with detections only: nothing is tracked.

    `[result] = detect("bus.jpg")` handles one picture. A list of picture paths is one source,
    "pictures": unreadable ones are skipped, and SourceBrokenError names them at the end.
    """
    _check_keywords(detector_options, detect)
    if (paths := _picture_paths(source)) is not None:
        source = {"kind": "images", "path": paths, "name": "pictures", "sequence": False}
    return track(
        source, model=model, tracker="none", max_frames=max_frames, fps=fps, **detector_options
    )


def localize(
    picture: str | Path | Picture,
    *,
    classes: Sequence[int | str] | int | str | None = None,
    model: str | Path | LoadedModel | None = None,
    **detector_options: Any,
) -> Detection | None:
    """Return the one best object in a picture: the highest score, the largest of equal ones.

    `picture` is the path of a picture or an array u8[H,W,3] in BGR, `classes` the names or ids of
    the classes to consider. Returns None if there is no such object. `model` and `detector_options`
    are those of `track`; with a loaded model, any number of threads may call this at once.
    """
    _check_keywords(detector_options, localize)
    if isinstance(picture, str | os.PathLike):
        picture = read_picture(picture)
    picture = checked_image(picture, "picture")
    if not isinstance(model, LoadedModel):
        if classes is not None:
            detector_options["classes"] = classes
        classes = None
    [result] = detect(picture, model=model, **detector_options)
    found, names = result.detections, result.class_names
    if classes is not None:
        wanted = [classes] if isinstance(classes, str | int) else classes
        found = found[np.isin(found.class_id, wanted_ids(tuple(wanted), names))]
    if not len(found):
        return None
    best = found.best()
    left, top, right, bottom = best.xyxy[0].tolist()
    class_id = int(best.class_id[0])
    name = names.get(class_id, str(class_id))
    return Detection((left, top, right, bottom), float(best.score[0]), class_id, name)


def load_model(
    model: str | Path | None = None, *, prefer_latency: bool = False, **detector_options: Any
) -> LoadedModel:
    """Load weights once, for many calls of `track` and `detect`; close it when done.

    `model` and `detector_options` are those of `track`. `prefer_latency` is for pictures that come
    one at a time: each is answered soonest, at the cost of pictures per second. Raises ModelError,
    ConfigError or MissingExtraError.
    """
    _check_keywords(detector_options, load_model)
    if model is not None:
        detector_options["model"] = _model_name(model)
    config = validated(Config, {"detector": detector_options}, "")
    return LoadedModel(make_detector(config), detector_options, prefer_latency=prefer_latency)


def tag(
    picture: str | Path | Picture,
    *,
    top: int = DEFAULT_TOP,
    threshold: float = DEFAULT_THRESHOLD,
    model: str | Path | LoadedClassifier | None = None,
    detector: str | Path | LoadedModel | None = None,
) -> dict[str, float]:
    """Return words for the content of a picture, with scores: people first, then by score.

    `picture` is the path of a picture or an array u8[H,W,3] in BGR. Returns at most `top` words
    with a score of at least `threshold`: those of the classifier `model` and of the `detector`,
    with synonyms merged and general words replaced by specific ones. Both are names, paths or
    addresses of weights, or results of `load_classifier` and `load_model`: then any number of
    threads may call this at once. With the detector "none" only the classifier is used.
    """
    if isinstance(picture, str | os.PathLike):
        picture = read_picture(picture)
    images = [checked_image(picture, "picture")]
    check_limits(top, threshold)
    with ExitStack() as loaded:
        if not isinstance(model, LoadedClassifier):
            model = loaded.enter_context(load_classifier(model))
        if detector == NO_DETECTOR:
            detector = None
        elif not isinstance(detector, LoadedModel):
            detector = loaded.enter_context(load_model(detector, prefer_latency=True))
        seen = [] if detector is None else detector.named(detector.find(images)[0])
        [scores] = model.classify(images)
        names = model.class_names
        return tags_of(names, scores.tolist(), seen, top=top, threshold=threshold)


def check_limits(top: int, threshold: float) -> None:
    """Raise ConfigError for invalid limits of `tag`."""
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise ConfigError(f"top: want a whole number from 1 on, got {describe(top)}")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float):
        raise ConfigError(f"threshold: want a number from 0 to 1, got {describe(threshold)}")
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold: want a number from 0 to 1, got {threshold}")


def load_classifier(
    model: str | Path | None = None, *, kind: str = "imagenet", **classifier_options: Any
) -> LoadedClassifier:
    """Load a classifier once, for many calls of `tag`; close it when done.

    `model` is a name, path or address of weights, by default the network in the package. `kind` is
    the plug-in, one of ours or "package.module", and `classifier_options` are its options: size,
    mean, std, crop, names, ... Raises ModelError, ConfigError or MissingExtraError.
    """
    _check_keywords(classifier_options, load_classifier, kind)
    if model is not None:
        classifier_options["model"] = _model_name(model)
    return LoadedClassifier(make_classifier(kind, classifier_options))


def run(config: Config | Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """Process a whole configuration like the command; return the content of report.json.

    `config` is a Config, the same as a mapping, or the path of a YAML file. Raises the first error
    of any stage after closing every output.
    """
    if isinstance(config, Mapping):
        config = validated(Config, config, "")
    elif isinstance(config, str | Path):
        config = load_config(config)
    elif not isinstance(config, Config):
        raise ConfigError(
            f"want a configuration: a Config, a mapping or a file's path, got {describe(config)}"
        )
    return run_config(resolve_config(config))


def _check_keywords(
    given: Mapping[str, Any], function: Callable[..., Any], kind: str | None = None
) -> None:
    """Raise ConfigError for a keyword that neither `function` nor its plug-in has.

    `kind` is the classifier's; without it the plug-in is the detector that `given` chooses. A third
    party's plug-in checks its options itself.
    """
    plugin_type = "detectors" if kind is None else CLASSIFIERS
    kind = given.get("kind", Config().detector.kind) if kind is None else kind
    if not isinstance(kind, str) or "." in kind:
        return
    own = [name for name in signature(function).parameters if not name.endswith("_options")]
    options = plugin(plugin_type, kind, plugin_type.removesuffix("s")).Options
    known = [*dict.fromkeys([*own, "kind", *options.model_fields])]
    for name in given:
        if name not in known:
            raise ConfigError(f"{function.__name__}: {unknown('keyword', name, known)}")


def _picture_paths(source: object) -> tuple[str, ...] | None:
    """Return the paths of a list that contains only names of picture files, else None."""
    if not isinstance(source, list | tuple) or not source:
        return None
    if not all(isinstance(each, str | Path) for each in source):
        return None
    paths = [home_path(each) for each in source]
    fine = all(each.suffix.lower() in PICTURE_SUFFIXES and "://" not in str(each) for each in paths)
    return tuple(map(str, paths)) if fine else None


def _model_name(model: object) -> str:
    if not isinstance(model, str | Path):
        raise ConfigError(
            f"model: want a name, a path, an address or a loaded model, got {describe(model)}"
        )
    return str(model)
