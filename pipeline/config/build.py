"""Build a Pipeline from a configuration: each section becomes its plug-in, not yet opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from pipeline.config.alerts import alert_sink
from pipeline.config.detection import (
    detect_by_source,
    detector_choice,
    detector_options,
    score_of_pictures,
)
from pipeline.config.plugins import (
    CLASSIFIERS,
    EMBEDDERS,
    PLUGIN_TYPES,
    make_plugin,
    plugin,
    plugin_names,
    plugin_options,
)
from pipeline.config.resolve import (
    DETECT,
    ResolvedConfig,
    SourceEntry,
    assign_names,
    with_secrets,
)
from pipeline.config.schema import Config
from pipeline.core.errors import ConfigError
from pipeline.core.interfaces import Classifier, Detector, Sink, Source, Tracker, Watcher
from pipeline.core.options import (
    HasEmbedder,
    HasGround,
    HasModel,
    PluginChoice,
)
from pipeline.core.secret_masking import masked_all
from pipeline.embedders._shared import EmbedderHolders, SharedEmbedder
from pipeline.engine import DetectOptions, Pipeline
from pipeline.engine.pipeline import PATIENCE_S
from pipeline.events.zones.schema import ZonesFile, plain
from pipeline.events.zones.watcher import ZoneWatcher
from pipeline.events.zones.zones_file import load_zones
from pipeline.trackers._ground import check_ground

log = logging.getLogger("trackline")

_EMBEDDER = "embedder"
"""Option of a tracker that names an embedder."""

NewWatcher = Callable[[str], Watcher | None]


def build(
    resolved: ResolvedConfig,
    sinks: Mapping[str, Sink] | None = None,
    new_watcher: NewWatcher | None = None,
    *,
    sources: Sequence[Source] | None = None,
    detector: Detector | None = None,
    patience_s: float = PATIENCE_S,
) -> Pipeline:
    """Return the pipeline of a configuration; raises ConfigError before anything is opened.

    `sinks`, `new_watcher`, `sources` and `detector` replace those of the configuration;
    `patience_s` is the longest wait at the end for sources that hang.
    """
    config = resolved.config
    if sources is None and not (config.sources or config.run.wait_for_sources):
        raise ConfigError("sources: needed but not given")
    detector = make_detector(config) if detector is None else detector
    optional: frozenset[str] = frozenset()
    detect: dict[str, DetectOptions] = {}
    if sources is None:
        _check_pictures(resolved)
        sources = [source for source, _ in make_sources(resolved)]
        detect = detect_by_source(resolved, sources)
        optional = frozenset(
            source.name
            for source, entry in zip(sources, resolved.sources, strict=True)
            if entry.is_member
        )
    check_tracker_ground(config, [source.name for source in sources])
    metadata = effective(resolved)
    if new_watcher is None:
        zones = _load_zones(config, [source.name for source in sources])
        live = {source.name for source in sources if source.live}
        new_watcher = watcher_factory(zones, live)
        metadata |= {"areas": plain(zones)["cameras"]} if zones else {}
        _warn_uncounted(resolved, sources, zones)
    if sinks is None:
        sinks = make_sinks(config)
        alert_sink(config, sinks)
    return Pipeline(
        sources,
        detector,
        tracker_factory(config),
        sinks,
        options=config.run,
        metadata=metadata,
        new_watcher=new_watcher,
        optional=optional,
        detect=detect,
        unrelated_score=score_of_pictures(config),
        patience_s=patience_s,
    )


def make_sinks(config: Config) -> dict[str, Sink]:
    """Return the sinks by name, not yet opened."""
    sinks: dict[str, Sink] = {}
    for index, choice in enumerate(config.sinks):
        if choice.kind in sinks:
            raise ConfigError(f"sinks.{index}: '{choice.kind}' is there twice")
        where = f"sinks.{index}"
        # First as written, so that an error shows the placeholder and not the secret.
        plugin_options(plugin("sinks", choice.kind, where), choice, where)
        complete = with_secrets(SourceEntry(where, choice), config.secrets)
        sinks[choice.kind] = make_plugin("sinks", complete, where)
    return sinks


def make_detector(config: Config) -> Detector:
    """Return the detector, not yet opened."""
    detector: Detector = make_plugin("detectors", detector_choice(config), "detector")
    return detector


def make_classifier(kind: str, options: Mapping[str, Any]) -> Classifier:
    """Return a classifier, not yet opened."""
    choice = PluginChoice.model_validate({"kind": kind, **options})
    classifier: Classifier = make_plugin(CLASSIFIERS, choice, "classifier")
    return classifier


def _warn_uncounted(
    resolved: ResolvedConfig, sources: Sequence[Source], zones: ZonesFile | None
) -> None:
    """Warn about sources whose zones count nothing, because their pictures are not tracked."""
    for source, entry in zip(sources, resolved.sources, strict=False):
        if zones and source.name in zones.cameras and entry.choice.options.get("sequence") is False:
            log.warning(
                "%s: its zones and lines count nothing, as pictures are not tracked; if they are "
                "the frames of a video, give fps or a tracker",
                source.name,
            )


def watcher_factory(
    zones: ZonesFile | None, live: Collection[str]
) -> Callable[[str], Watcher | None]:
    """Return a function from a source's name to its watcher; None if nothing is watched.

    A zone entirely outside the picture ends the run, but not if the source is `live`.
    """
    cameras = zones.cameras if zones else {}

    def new_watcher(name: str) -> Watcher | None:
        if name not in cameras:
            return None
        return ZoneWatcher(cameras[name], beyond="warn" if name in live else "error")

    return new_watcher


def effective(resolved: ResolvedConfig) -> dict[str, Any]:
    """Return the whole configuration with every default, as plain values that may be shown.

    Passwords are masked, and a secret from elsewhere stays its `${NAME}`.
    """
    config = resolved.config

    def full(plugin_type: str, choice: PluginChoice, where: str) -> dict[str, Any]:
        options = plugin_options(plugin(plugin_type, choice.kind, where), choice, where)
        return {"kind": choice.kind, **options.model_dump(mode="json")}

    tracker = full("trackers", config.tracker, "tracker")
    if (embedder := _embedder_choice(config)) is not None:
        tracker[_EMBEDDER] = full(EMBEDDERS, embedder, f"tracker.{_EMBEDDER}")
    shown: dict[str, Any] = masked_all(
        {
            "sources": [
                {**full("sources", each.choice, each.where), **_own_detection(each)}
                for each in resolved.sources
            ],
            "detector": full("detectors", detector_choice(config), "detector"),
            "tracker": tracker,
            "sinks": [full("sinks", each, f"sinks.{i}") for i, each in enumerate(config.sinks)],
            "zones": str(config.zones) if config.zones else None,
            **config.model_dump(mode="json", include={"alerts", "run", "web"}),
        }
    )
    return shown


def _own_detection(entry: SourceEntry) -> dict[str, Any]:
    """Return the options that a source's section `detect` sets, {} if it sets none."""
    own = entry.detect.model_dump(mode="json", exclude_none=True)
    return {DETECT: own} if own else {}


def model_of(config: Config) -> str | None:
    """Return the weights as the detector's options name them; not to be shown."""
    options = detector_options(config.detector)
    if not isinstance(options, HasModel) or options.model is None:
        return None
    return str(options.model)


def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file, plug-in options included, for editors."""
    tree = Config.model_json_schema()
    definitions = tree.setdefault("$defs", {})
    definitions["DetectOptions"] = DetectOptions.model_json_schema()
    for plugin_type in (*PLUGIN_TYPES, EMBEDDERS):
        choices: list[dict[str, Any]] = [{"enum": plugin_names(plugin_type)}]
        for kind in plugin_names(plugin_type):
            model: type[BaseModel] = plugin(plugin_type, kind, plugin_type).Options
            one = model.model_json_schema(ref_template="#/$defs/{model}")
            definitions.update(one.pop("$defs", {}))
            one["properties"] = {"kind": {"const": kind}, **one.get("properties", {})}
            if (embedder := one["properties"].get(_EMBEDDER)) is not None:
                embedder["anyOf"] = [{"$ref": f"#/$defs/{EMBEDDERS}"}, {"type": "null"}]
            one["required"] = ["kind", *one.get("required", [])]
            if plugin_type == "sources":
                one["properties"][DETECT] = {"$ref": "#/$defs/DetectOptions"}
            definitions[f"{plugin_type}.{kind}"] = one
            choices.append({"$ref": f"#/$defs/{plugin_type}.{kind}"})
        definitions[plugin_type] = {"anyOf": choices}
    fields = tree["properties"]
    written = {"source": {"type": "string"}, DETECT: {"$ref": "#/$defs/DetectOptions"}}
    as_text = {"type": "object", "properties": written}
    guessed = {**as_text, "required": ["source"], "not": {"required": ["kind"]}}
    sources = [{"type": "string"}, guessed, {"$ref": "#/$defs/sources"}]
    fields["sources"]["items"] = {"anyOf": sources}
    fields["sinks"]["items"] = {"$ref": "#/$defs/sinks"}
    fields["detector"] = {"$ref": "#/$defs/detectors"}
    fields["tracker"] = {"$ref": "#/$defs/trackers"}
    return tree


def tracker_factory(config: Config) -> Callable[[], Tracker]:
    """Return a function that creates the tracker of a source."""
    module = plugin("trackers", config.tracker.kind, "tracker")
    options = plugin_options(module, config.tracker, "tracker")
    choice = _embedder_choice(config)
    if choice is None:
        return lambda: module.build(options)
    holders = EmbedderHolders(make_plugin(EMBEDDERS, choice, f"tracker.{_EMBEDDER}"))
    return lambda: module.build(options, SharedEmbedder(holders))


def _embedder_choice(config: Config) -> PluginChoice | None:
    """Return the embedder that the tracker uses, None for trackers without one."""
    choice = config.tracker
    options = plugin_options(plugin("trackers", choice.kind, "tracker"), choice, "tracker")
    return options.embedder if isinstance(options, HasEmbedder) else None


def check_tracker_ground(config: Config, sources: Collection[str]) -> None:
    """Raise ConfigError if the tracker's homographies name other sources, or cannot be read."""
    choice = config.tracker
    options = plugin_options(plugin("trackers", choice.kind, "tracker"), choice, "tracker")
    if isinstance(options, HasGround) and options.ground is not None:
        check_ground(options.ground, sources, "tracker.ground")


def _check_pictures(resolved: ResolvedConfig) -> None:
    """Raise ConfigError if a tracker with an embedder has a source without pictures."""
    if _embedder_choice(resolved.config) is None:
        return
    for entry in resolved.sources:
        if entry.choice.kind == "blank":
            name = entry.choice.options.get("name", "blank")
            raise ConfigError(
                f"tracker.{_EMBEDDER}: wants pictures, and source '{name}' has none; "
                "name the video before the recorded detections"
            )


def make_sources(resolved: ResolvedConfig) -> list[tuple[Source, PluginChoice]]:
    """Return the sources with unique names, not yet opened, and the options each was built from."""
    entries, secrets = resolved.sources, resolved.config.secrets
    for entry in entries:
        # First as written, so that an error shows the placeholder and not the secret.
        plugin_options(plugin("sources", entry.choice.kind, entry.where), entry.choice, entry.where)
    complete = [with_secrets(entry, secrets) for entry in entries]
    sources: list[Source] = [
        make_plugin("sources", choice, entry.where)
        for choice, entry in zip(complete, entries, strict=True)
    ]
    assign_names(sources, entries)
    return list(zip(sources, complete, strict=True))


def _load_zones(config: Config, names: list[str]) -> ZonesFile | None:
    """Load the zones file; raises ConfigError if it names none of these sources."""
    if config.zones is None:
        return None
    zones = load_zones(config.zones)
    if zones.cameras and not set(names) & set(zones.cameras):
        there, here = ", ".join(sorted(zones.cameras)), ", ".join(sorted(names))
        raise ConfigError(
            f"{config.zones}: cameras: want a source of this run ({here}), got {there}"
        )
    return zones
