"""What is detected: the detector's options, as wide as any source needs, and each source's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from pipeline.config.plugins import plugin, plugin_options
from pipeline.config.resolve import ResolvedConfig, detect_options
from pipeline.config.schema import Config
from pipeline.core.errors import ConfigError
from pipeline.core.interfaces import Source
from pipeline.core.options import HasClasses, HasConf, HasWantedConf, PluginChoice
from pipeline.engine import DetectOptions


def detector_choice(config: Config) -> PluginChoice:
    """Return the detector's kind and options, wide enough in `conf` and `classes` for all sources.

    Each source then keeps what it wants: see `detect_by_source`.
    """
    choice = _shared_choice(config)
    own = [detect_options(each, f"sources.{i}") for i, each in enumerate(config.sources)]
    widest = dict(choice.options)
    base = detector_options(choice)
    scores = [each.conf for each in own if each.conf is not None]
    if isinstance(base, HasConf) and min(scores, default=base.conf) < base.conf:
        widest["conf"] = min(scores)
    classes = base.classes if isinstance(base, HasClasses) else None
    if classes is not None:
        more = [name for each in own for name in each.classes or ()]
        widest["classes"] = [*dict.fromkeys([*classes, *more])]
    if widest == choice.options:
        return choice
    return PluginChoice.model_validate({"kind": choice.kind, **widest})


def detect_by_source(
    resolved: ResolvedConfig, sources: Sequence[Source]
) -> dict[str, DetectOptions]:
    """Return the detection options of each source that wants less than the detector gives.

    By source name. A source without options of its own keeps what the section `detector` says, even
    if the detector reports more for another one. Raises ConfigError for options that this detector
    does not have.
    """
    entries = resolved.sources
    if all(each.detect == DetectOptions() for each in entries):
        return {}
    base = detector_options(_shared_choice(resolved.config))
    reported = detector_options(detector_choice(resolved.config))
    shared: dict[str, Any] = {
        key: getattr(base, key)
        for key in ("conf", "classes")
        if key in type(base).model_fields and getattr(base, key) != getattr(reported, key)
    }
    found = {}
    for source, entry in zip(sources, entries, strict=True):
        own = entry.detect.model_dump(exclude_none=True)
        if "imgsz" in own and "imgsz" not in type(base).model_fields:
            kind = resolved.config.detector.kind
            raise ConfigError(f"{entry.where}.detect.imgsz: no option of the detector '{kind}'")
        if options := {**shared, **own}:
            found[source.name] = DetectOptions(**options)
    return found


def shared_detection(config: Config) -> DetectOptions:
    """Return the detection options of sources without their own, if the detector has any."""
    base = detector_options(_shared_choice(config))
    known = DetectOptions.model_fields.keys() & type(base).model_fields.keys()
    return DetectOptions(**{key: getattr(base, key) for key in known})


def _shared_choice(config: Config) -> PluginChoice:
    """Return the detector's kind and options, `conf` lowered to what the tracker can use.

    Trackers that match in two stages continue tracks with low-score detections, but start none from
    them. A `conf` set by the user stays.
    """
    choice, tracker = config.detector, config.tracker
    options = plugin_options(plugin("trackers", tracker.kind, "tracker"), tracker, "tracker")
    wanted = options.wanted_conf if isinstance(options, HasWantedConf) else None
    field = plugin("detectors", choice.kind, "detector").Options.model_fields.get("conf")
    if wanted is None or field is None or "conf" in choice.options:
        return choice
    conf = min(field.default, wanted)
    return PluginChoice.model_validate({"kind": choice.kind, **choice.options, "conf": conf})


def detector_options(choice: PluginChoice) -> BaseModel:
    """Return the detector's effective options; raises ConfigError."""
    return plugin_options(plugin("detectors", choice.kind, "detector"), choice, "detector")


def lowest_score(config: Config) -> float | None:
    """Return the lowest score the detector reports in this run, None if it has no such option."""
    options = detector_options(detector_choice(config))
    return float(options.conf) if isinstance(options, HasConf) else None


def score_of_pictures(config: Config) -> float:
    """Return the lowest score on unrelated pictures: the detector's own, not the tracker's."""
    options = detector_options(config.detector)
    return float(options.conf) if isinstance(options, HasConf) else 0.0
